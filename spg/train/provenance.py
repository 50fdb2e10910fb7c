"""What a trained cell came from: its parameters, its inputs and the machine's kind."""

from __future__ import annotations

from dataclasses import asdict

from spg.networks.compute.device import pick_device, resolve_precision
from spg.networks.compute.distributed import world
from spg.networks.compute.machine import machine_facts, package_versions
from spg.project.params import Params
from spg.project.workspace import Cell


def provenance(
    params: Params, cell: Cell, *, classes: list[str], inputs: dict[str, str]
) -> dict[str, object]:
    """Return what is needed to say why two trainings of one cell differ.

    No clock, path or host name: the same run on the same machine gives the same text.

    Args:
        params: all parameters.
        cell: the trained cell.
        classes: names of the classes, in the order of the logits.
        inputs: fingerprints of the files that the training read, by name.
    """
    setup = params.setup(cell.dataset, cell.backbone)
    guided = cell.method in params.variants
    return {
        "cell": asdict(cell),
        "classes": classes,
        "params": {
            "protocol": params.protocol,
            "source": params.datasets[cell.dataset].source.model_dump(),
            "prepare": params.datasets[cell.dataset].prepare.model_dump(),
            "setup": setup.model_dump(),
            "execution": params.execution.model_dump(),
            "spg": params.spg_of(cell.method).model_dump() if guided else None,
            "guidance": params.guidance.model_dump() if guided else None,
        },
        "inputs": inputs,
        "machine": {
            **machine_facts(),
            "processes": world().size,
            "precision": resolve_precision(setup.train.precision, pick_device()),
        },
        "packages": package_versions(),
    }
