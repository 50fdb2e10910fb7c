"""What a workspace of its own reads of another one: sections of params.yaml, links to results."""

from __future__ import annotations

import json
from pathlib import Path

from spg.project.errors import UserError
from spg.project.params import Params
from spg.project.workspace import Cell

_PLAN = (
    "dataset", "backbones", "methods", "own_methods", "guided", "ablations", "seeds",
    "ablation_seeds", "plugins", "external_classifier", "ensembles", "report",
)  # fmt: skip
"""Sections of params.yaml that say which cells there are and how they are shown; no cell reads them
to compute its numbers."""


def read_by(params: Params, cell: Cell) -> str:
    """Return, as JSON, what cells of this data set and backbone may read of params.yaml.

    Neither which cells there are nor other data sets and backbones: a further backbone leaves what
    was measured as it is.
    """
    mapping = params.model_dump(mode="json")
    data = mapping["datasets"][cell.dataset]
    data["backbones"] = {cell.backbone: data["backbones"][cell.backbone]}
    read = {key: value for key, value in mapping.items() if key not in _PLAN}
    return json.dumps(read | {"datasets": {cell.dataset: data}}, sort_keys=True)


def link(source: Path, target: Path) -> None:
    """Let ``target`` lead to a result of another workspace, unless it is there.

    Raises:
        UserError: when there is no ``source``.
    """
    if not source.exists():
        raise UserError(f"{source}: no such file; run `dvc repro` first")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())
