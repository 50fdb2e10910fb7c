"""The rows of the tables: which cells belong to which variant."""

from __future__ import annotations

from typing import NamedTuple

from spg.project.params import Params
from spg.project.workspace import Cell


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
        for extractor in params.localization.extractors[method]
    }
