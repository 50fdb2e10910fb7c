"""The rows of the tables: which cells belong to which variant, and their per-image tables."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from spg.data.results.tables import read_table
from spg.project.errors import UserError
from spg.project.params import Params
from spg.project.workspace import Cell, Workspace


class Variant(NamedTuple):
    """One row of the tables: a method on a backbone, seen through an extractor."""

    backbone: str
    method: str
    extractor: str


Grid = dict[Variant, list[Cell]]
"""The cells of each variant, seeds in order; variants in the order of the tables."""


def grid(params: Params, dataset: str) -> Grid:
    """Return the cells of each variant, seeds in order, as params.yaml lists them."""
    return {
        Variant(backbone, method, extractor): [
            Cell(dataset, backbone, method, seed) for seed in params.seeds_of(method)
        ]
        for backbone in params.backbones
        for method in params.all_methods
        for extractor in params.extractors_of(dataset, method)
    }


def read_tables(workspace: Workspace, rows: Grid) -> dict[Variant, list[pd.DataFrame]]:
    """Return the per-image tables of each variant's seeds (:mod:`spg.evaluate.per_image`).

    Raises:
        UserError: when a cell was not evaluated.
    """
    return {
        variant: [_per_image(workspace, cell, variant.extractor) for cell in cells]
        for variant, cells in rows.items()
    }


def _per_image(workspace: Workspace, cell: Cell, extractor: str) -> pd.DataFrame:
    path = workspace.evaluation(cell) / "per_image.parquet"
    if not path.exists():
        raise UserError(f"{path}: no such file; run `spg evaluate` for this cell, or `dvc repro`")
    table = read_table(path)
    return table[table["extractor"] == extractor].reset_index(drop=True)
