"""Every image's errors at every threshold, where thresholds are cross-fitted (PROTOCOL 10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.compare.cross_fitted import Curves
from spg.compare.errors import Tables
from spg.compare.variants import Grid, Variant
from spg.data.images.manifest import TEST
from spg.data.results.columns import read_batches
from spg.evaluate.image_errors import ERRORS
from spg.evaluate.per_image import cell_errors
from spg.evaluate.sweep.table import FACTS, TABLE
from spg.project.files import read_json
from spg.project.workspace import Workspace

CurvesOf = Callable[[Variant, str, str], Curves | None]
"""From a variant, a kind of threshold and a metric to its curves; ``None``: nothing is fitted."""


def no_curves(_variant: Variant, _kind: str, _metric: str) -> None:
    """Return the curves where no threshold is cross-fitted: none."""
    return


def curves_of(
    workspace: Workspace,
    rows: Grid,
    tables: Tables,
    folds: NDArray[np.int64],
    *,
    iou_threshold: float,
) -> CurvesOf:
    """Return a function that reads a variant's curves from its sweeps when they are asked for.

    Args:
        workspace: the project.
        rows: the cells of each variant.
        tables: their per-image tables, whose classes count.
        folds: ``Int[N]``, of the test images in the tables' order.
        iou_threshold: delta.
    """

    @lru_cache(maxsize=2)  # the two sides of a claim; each holds some 50 MB
    def swept(variant: Variant) -> list[_Swept]:
        paths = [workspace.sweep(cell) for cell in rows[variant]]
        return [_read(path, variant.extractor) for path in paths]

    def curves(variant: Variant, kind: str, metric: str) -> Curves | None:
        if kind != "selected" or variant not in rows or metric not in ERRORS:
            return None
        seeds = swept(variant)
        values = [
            _errors(table, one, metric, iou_threshold)
            for table, one in zip(tables[variant], seeds, strict=True)
        ]
        wrong = np.stack([one.iou < iou_threshold for one in seeds])
        return Curves(wrong, np.stack(values), folds, seeds[0].thresholds)

    return curves


class _Swept(NamedTuple):
    thresholds: NDArray[np.float64]
    iou: NDArray[np.float64]  # [N, T]
    second_iou: NDArray[np.float64]


def _read(folder: Path, extractor: str) -> _Swept:
    parts: dict[str, list[NDArray[np.float64]]] = {"iou": [], "second_iou": []}
    for batch in read_batches(folder / TABLE, ("extractor", "split", *parts)):
        own = (batch["extractor"] == extractor) & (batch["split"] == TEST)
        for name, values in parts.items():
            values.append(batch[name][own])
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    return _Swept(np.array(read_json(folder / FACTS)["thresholds"]), **joined)


def _errors(
    table: pd.DataFrame, swept: _Swept, metric: str, iou_threshold: float
) -> NDArray[np.float64]:
    """Return one error of every image at every threshold, ``Float[N, T]``."""
    known: Mapping[str, object] = {
        str(name): table[name].to_numpy()
        for name in table
        if str(name).startswith("top") or name == "class_id"
    }
    columns = [
        cell_errors(
            {**known, "iou_each": iou, "second_iou_each": second}, "each",
            iou_threshold=iou_threshold,
        )[metric]
        for iou, second in zip(swept.iou.T, swept.second_iou.T, strict=True)
    ]  # fmt: skip
    return np.stack(columns, axis=1).astype(np.float64)
