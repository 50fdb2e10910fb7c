"""Tables beside the comparison: where maps look, what becomes of images, curves and histories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from spg.compare.errors import Tables
from spg.compare.statistics.intervals import seed_spread
from spg.compare.variants import Grid, Variant
from spg.data.results.tables import read_table
from spg.evaluate.image_errors import AT_LEVELS, ERRORS
from spg.evaluate.outcomes import OUTCOMES
from spg.evaluate.per_image import PIXEL_IOU, REGIONS, kinds_of
from spg.project.files import read_json
from spg.project.workspace import Workspace

ACCURACIES = ("max_box_acc", "max_box_acc_v2", *AT_LEVELS, "px_ap", "peak_p_iou")
CURVE_POINTS = 100  # of the thresholds in curves.csv, which is for drawing; numbers use all


def detail_tables(workspace: Workspace, rows: Grid, tables: Tables) -> dict[str, pd.DataFrame]:
    """Return the tables by their name.

    Args:
        workspace: the project.
        rows: the cells of each variant.
        tables: their per-image tables.
    """
    metrics = {
        variant: [
            read_json(workspace.evaluation(cell) / "metrics.json")[variant.extractor]
            for cell in cells
        ]
        for variant, cells in rows.items()
    }
    return {
        "energy": energy_table(tables, measured_in(metrics)),
        "outcomes": outcome_table(tables),
        "accuracies": accuracy_table(metrics),
        "curves": pd.concat(_curves(workspace, rows)),
        "history": pd.concat(_histories(workspace, rows)),
    }


def measured_in(metrics: Mapping[Variant, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return the names of what ``sweep.measures`` measured, from any cell's metrics.json."""
    cell = next(iter(metrics.values()))[0]
    names = [name for name, value in cell.items() if not isinstance(value, dict)]
    known = [name for name in REGIONS if name in names]
    return [*known, *(name for name in names if name not in (*known, *ACCURACIES, *ERRORS))]


def energy_table(tables: Tables, measured: Sequence[str]) -> pd.DataFrame:
    """Return the mean of each measure for each variant, all seeds together.

    Args:
        tables: per-image tables.
        measured: their columns of measures.
    """
    rows = []
    for variant, seeds in tables.items():
        images = pd.concat(seeds)
        means = {name: float(images[name].mean()) for name in measured}
        rows.append({**variant._asdict(), **means})
    return pd.DataFrame(rows)


def outcome_table(tables: Tables) -> pd.DataFrame:
    """Return the share of images with each outcome, all seeds together, by kind of threshold."""
    rows = []
    for variant, seeds in tables.items():
        images = pd.concat(seeds)
        for kind in kinds_of(images):
            shares = {name: float((images[f"outcome_{kind}"] == name).mean()) for name in OUTCOMES}
            rows.append({**variant._asdict(), "threshold": kind, **shares})
    return pd.DataFrame(rows, columns=[*Variant._fields, "threshold", *OUTCOMES])


def accuracy_table(metrics: Mapping[Variant, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """Return wsolevaluation's accuracies of each variant, the mean and the spread of its seeds.

    Beside them pIoU, at its peak and at the selected threshold.
    """
    rows = []
    for variant, cells in metrics.items():
        row: dict[str, Any] = variant._asdict()
        own = {name: [cell[name] for cell in cells] for name in ACCURACIES}
        own[PIXEL_IOU] = [cell["selected"].get(PIXEL_IOU) for cell in cells]
        for name, found in own.items():
            values = np.array(found, dtype=np.float64)  # None: no boxes or masks
            row |= {name: values.mean(), f"{name}_std": seed_spread(values[:, None])}
        rows.append(row)
    return pd.DataFrame(rows)


def _curves(workspace: Workspace, rows: Grid) -> Iterator[pd.DataFrame]:
    for variant, cells in rows.items():
        for cell in cells:
            curves = read_table(workspace.evaluation(cell) / "curves.parquet")
            own = curves[curves["extractor"] == variant.extractor]
            step = max(1, (len(own) + 1) // CURVE_POINTS)
            own = own.iloc[step - 1 :: step]
            name = f"{variant.method}/{variant.extractor}"
            yield pd.DataFrame(
                {
                    "variant": name,
                    **variant._asdict(),
                    "seed": cell.seed,
                    "map_threshold": own["map_threshold"],
                    "gt_known_loc_err": own["gt_known_loc_err"],
                }
            )


def _histories(workspace: Workspace, rows: Grid) -> Iterator[pd.DataFrame]:
    order = (cell for cells in rows.values() for cell in cells)
    for cell in dict.fromkeys(order):
        history = read_table(workspace.run(cell) / "history.csv")
        history.insert(0, "backbone", cell.backbone)
        history.insert(1, "method", cell.method)
        history.insert(2, "seed", cell.seed)
        yield history
