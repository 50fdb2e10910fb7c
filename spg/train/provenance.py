"""What a trained cell came from: its parameters, its inputs and the machine's kind."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from spg.networks.compute.device import pick_device, resolve_precision
from spg.networks.compute.distributed import world
from spg.networks.compute.machine import machine_facts, package_versions
from spg.project.params import Params
from spg.project.workspace import Cell


def identity(
    params: Params, cell: Cell, *, classes: list[str], inputs: dict[str, str]
) -> dict[str, Any]:
    """Return what a training computes, wherever it does: parameters and inputs.

    Two trainings with equal identity and equal code are the same one, and may go on from each
    other's checkpoint.

    Args:
        params: all parameters.
        cell: the trained cell.
        classes: names of the classes, in the order of the logits.
        inputs: fingerprints of the files that the training read, by name.
    """
    guided = cell.method in params.variants
    section = params.section_of(cell.method)
    return {
        "cell": asdict(cell),
        "classes": classes,
        "params": {
            "protocol": params.protocol,
            "source": params.datasets[cell.dataset].source.model_dump(),
            "prepare": params.datasets[cell.dataset].prepare.model_dump(),
            "setup": params.setup(cell.dataset, cell.backbone).model_dump(),
            "execution": params.execution.model_dump(),
            "spg": params.spg_of(cell.method).model_dump() if guided else None,
            "guidance": params.guidance.model_dump() if guided else None,
            **({} if guided or not section else {cell.method: section}),
        },
        "inputs": inputs,
    }


def record(precision: str) -> dict[str, Any]:
    """Return where a training was computed: the machine's kind and the packages.

    No clock, path or host name: the same run on the same machine gives the same text.

    Args:
        precision: of the training, as params.yaml has it.
    """
    return {
        "machine": {
            **machine_facts(),
            "processes": world().size,
            "precision": resolve_precision(precision, pick_device()),
        },
        "packages": package_versions(),
    }
