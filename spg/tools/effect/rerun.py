"""A cell's stages in a workspace of its own."""

from __future__ import annotations

from spg.evaluate.stage import evaluate_cell
from spg.evaluate.sweep.stage import sweep_cell
from spg.localize.stage import localize_cell
from spg.project.params import Params
from spg.project.workspace import Cell, Workspace
from spg.train.stage import train_cell

ROOMS = (
    "spg/project",
    "spg/data/birds",
    "spg/data/images",
    "spg/data/inputs",
    "spg/data/results",
    "spg/networks/compute",
    "spg/networks/parts",
    "spg/networks/backbones",
    "spg/networks/methods",
    "spg/networks/weights",
    "spg/train",
    "spg/localize",
    "spg/evaluate",
)
"""Whose edit starts an interrupted rerun over: the rooms of every stage of a cell."""


def run_cell(own: Workspace, params: Params, cell: Cell) -> None:
    """Run a cell's stages, except those whose results are there, linked or of an earlier run."""
    if not (own.run(cell) / "model.safetensors").exists():
        train_cell(own, params, cell)
    if not own.maps(cell).exists():
        localize_cell(own, params, cell)
    if not (own.evaluation(cell) / "metrics.json").exists():
        sweep_cell(own, params, cell)
        evaluate_cell(own, params, cell)
