"""Published checkpoints in and out: the authors' and wsolevaluation's (PROTOCOL 22).

An imported checkpoint is a cell like any other, without a training. What cannot be placed to the
last key, shape and type is refused whole: a network with a guessed layer would still give numbers.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from spg.data.images.manifest import class_names, read_manifest
from spg.data.layouts.spec import spec_of
from spg.data.results.provenance import read_provenance
from spg.networks.parts.build import build_network
from spg.networks.parts.model_file import check_finite, load_model, save_model
from spg.project.errors import UserError
from spg.project.files import write_json
from spg.project.params import Params
from spg.project.workspace import PROVENANCE, Cell, Workspace
from spg.tools.checkpoints.convert import mismatches, reorders, to_ours, to_published
from spg.tools.checkpoints.names import (
    HEADS,
    LayoutName,
    Published,
    published_names,
    recognize,
    told_stride,
)
from spg.tools.checkpoints.torch_file import parse_state_dict, save_state_dict
from spg.train.provenance import identity, record

MODEL = "model.safetensors"
COUNTER = "num_batches_tracked"  # buffers that PyTorch before 0.4.1 did not have
LISTED = 10  # mismatches in an error


def import_checkpoint(
    workspace: Workspace,
    params: Params,
    layout: LayoutName,
    source: Path,
    output: Path,
    *,
    dataset: str | None = None,
    seed: int = 0,
) -> Cell:
    """Write a published checkpoint as a cell: model.safetensors and provenance.json.

    Args:
        workspace: the project.
        params: all parameters; they have an entry for the backbone at width 1.
        layout: whose names the file has.
        source: the file of ``torch.save``.
        output: the cell's folder, or a path that ends in ``.safetensors``.
        dataset: entry of ``datasets``; by default the one that the number of classes tells.
        seed: of the cell.

    Returns:
        the cell.

    Raises:
        UserError: one sentence; nothing is written then.
    """
    target = _free_target(output)
    content = _read(source)
    state = parse_state_dict(content, source)
    network, num_classes = _recognize(layout, state, source)
    dataset = dataset or _dataset_of(params, num_classes)
    cell = Cell(dataset, network.backbone, network.method, seed)
    _check_setup(params, cell, told_stride(network, state), source)
    model, _ = build_network(params, cell, num_classes)
    ours = model.state_dict()
    stride = params.setup(cell.dataset, cell.backbone).stem.stride
    names = published_names(network, ours, stride=stride)
    filled = [key for key, name in names.items() if name.endswith(COUNTER) and name not in state]
    wanted = {key: name for key, name in names.items() if key not in filled}
    _refuse(mismatches(network, state, ours, wanted), network, source)
    check_finite(state, source)
    model.load_state_dict(to_ours(network, state, ours, names))
    classes = _class_names(workspace, params, dataset, num_classes)
    precision = params.setup(cell.dataset, cell.backbone).train.precision
    facts = identity(params, cell, classes=classes, inputs={}) | record(precision)
    # the model last: without it there is no cell, whatever else is there
    imported = _imported(network, content, num_classes, filled)
    write_json(target.with_name(PROVENANCE), facts | {"imported": imported})
    save_model(target, model)
    return cell


def export_checkpoint(params: Params, layout: LayoutName, source: Path, output: Path) -> None:
    """Write a cell's model as a file of ``torch.save`` with published names, in their order.

    Args:
        params: all parameters; they still describe the network of the cell.
        layout: whose names are wanted.
        source: the cell's folder, or its model.safetensors with provenance.json beside it.
        output: the file, e.g. ``spg.pth``.

    Raises:
        UserError: one sentence, e.g. when the layout has no such network.
    """
    path = model_file(source)
    if output.resolve() == path.resolve():
        raise UserError(f"{output}: is the cell itself; export it to another file")
    facts = _read_facts(path.with_name(PROVENANCE))
    cell = facts.cell
    network = Published(layout, cell.backbone, "spg" if facts.guided else cell.method)
    if network not in HEADS:
        raise UserError(f"{path}: layout {layout} has no {cell.backbone} with {cell.method}")
    _check_setup(params, cell, None, path)
    model, _ = build_network(params, cell, facts.num_classes)
    load_model(path, model)
    names = published_names(network, model.state_dict(), stride=facts.stride)
    names = {key: name for key, name in names.items() if key not in facts.filled}
    extra = {"architecture": cell.backbone} if layout == "wsolevaluation" else {}
    save_state_dict(output, to_published(network, model.state_dict(), names), **extra)


def _imported(
    network: Published, content: bytes, num_classes: int, filled: list[str]
) -> dict[str, object]:
    """Return what the provenance of an imported cell says of its file."""
    return {
        "layout": network.layout,
        "sha256": hashlib.sha256(content).hexdigest(),
        "label_order": "devkit" if reorders(network, num_classes) else "sorted",
        "filled": filled,
    }


def model_file(path: Path) -> Path:
    """Return the file of a cell's network, which its folder may stand for."""
    return path if path.suffix == ".safetensors" else path / MODEL


def _free_target(output: Path) -> Path:
    target = model_file(output)
    taken = next(iter(sorted(target.parent.glob("*.safetensors"))), None)
    if taken is not None:
        raise UserError(f"{taken}: is there already; remove it, or import into another folder")
    return target


def _read(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise UserError(f"{source}: {error.strerror}") from None


def _recognize(layout: LayoutName, state: dict[str, Tensor], source: Path) -> tuple[Published, int]:
    """Return the network and its number of classes, which the classifier's rows tell."""
    try:
        network = recognize(layout, state)
    except ValueError as error:
        raise UserError(f"{source}: {error}") from None
    (name, *_) = (f"{name}.weight" for ours, name in HEADS[network].items() if ours[-3:] == ".a4")
    if name not in state or state[name].ndim < 2:
        raise UserError(
            f"{source}: has no {name}, so it is no {network.backbone} with {network.method} of "
            f"layout {layout}"
        )
    return network, len(state[name])


def _dataset_of(params: Params, num_classes: int) -> str:
    found = [
        name
        for name, entry in params.datasets.items()
        if spec_of(name, entry.source).published_classes == num_classes
    ]
    if len(found) != 1:
        raise UserError(
            f"{num_classes} classes do not tell which of {sorted(params.datasets)} is meant; "
            "say it with --dataset"
        )
    return found[0]


def _check_setup(params: Params, cell: Cell, stride: int | None, source: Path) -> None:
    if cell.dataset not in params.datasets:
        raise UserError(
            f"params.yaml: datasets has no {cell.dataset!r}; there are {sorted(params.datasets)}"
        )
    stem = params.setup(cell.dataset, cell.backbone).stem
    key = f"datasets.{cell.dataset}.backbones.{cell.backbone}.stem"
    if stem.width != 1.0:
        raise UserError(f"{source}: published networks have {key}.width 1.0, not {stem.width}")
    if stride is not None and stride != stem.stride:
        raise UserError(f"{source}: has maps of stride {stride}; set {key}.stride to it")
    if cell.method == "spg" and "spg" not in params.variants:
        raise UserError("params.yaml: variants has no 'spg'")


def _refuse(problems: list[str], network: Published, source: Path) -> None:
    if not problems:
        return
    more = f", and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
    advice = "see that `protocol` in params.yaml is the reading that it was trained with"
    if any(half in problem for problem in problems for half in (" float16 ", " bfloat16 ")):
        advice = "save its tensors as float32, by .float() of each"
    raise UserError(
        f"{source}: does not fit {network.backbone} with {network.method} of layout "
        f"{network.layout}: it {', '.join(problems[:LISTED])}{more}; {advice}"
    )


def _class_names(workspace: Workspace, params: Params, dataset: str, num_classes: int) -> list[str]:
    manifest = workspace.packed(dataset) / "manifest.parquet"
    if manifest.exists():
        names = class_names(read_manifest(manifest))
        if len(names) == num_classes:
            return names
    known = spec_of(dataset, params.datasets[dataset].source).class_names
    names = known() if known is not None else []
    if len(names) == num_classes:
        return names
    return [f"class {number}" for number in range(num_classes)]


class _Facts(NamedTuple):
    """What an export needs of a cell's provenance."""

    cell: Cell
    num_classes: int
    guided: bool
    stride: int
    filled: list[str]


def _read_facts(path: Path) -> _Facts:
    record = read_provenance(path)
    try:
        guided = record.params["spg"] is not None
        stride = record.params["setup"]["stem"]["stride"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not the record of a trained cell ({error!r})") from None
    filled = record.imported.get("filled", [])
    return _Facts(record.cell, len(record.classes), guided, stride, filled)
