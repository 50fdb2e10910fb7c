"""Tables beside the comparison: where maps look, what becomes of images, curves and histories."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from spg.compare.statistics.intervals import seed_spread
from spg.compare.variants import Variant, grid
from spg.data.results.tables import read_table
from spg.evaluate.outcomes import OUTCOMES
from spg.evaluate.stage import REGIONS, kinds_of
from spg.project.files import read_json
from spg.project.params import Params
from spg.project.workspace import Workspace

ACCURACIES = ("max_box_acc", "max_box_acc_v2", "px_ap")
CURVE_POINTS = 100  # of the thresholds in curves.csv, which is for drawing; numbers use all


def detail_tables(
    workspace: Workspace, params: Params, dataset: str, tables: dict[Variant, list[pd.DataFrame]]
) -> dict[str, pd.DataFrame]:
    """Return the tables by their name; ``tables`` are the per-image tables of each variant."""
    metrics = {
        variant: [
            read_json(workspace.evaluation(cell) / "metrics.json")[variant.extractor]
            for cell in cells
        ]
        for variant, cells in grid(params, dataset).items()
    }
    return {
        "energy": energy_table(tables),
        "outcomes": outcome_table(tables),
        "accuracies": accuracy_table(metrics),
        "curves": pd.concat(_curves(workspace, params, dataset)),
        "history": pd.concat(_histories(workspace, params, dataset)),
    }


def energy_table(tables: dict[Variant, list[pd.DataFrame]]) -> pd.DataFrame:
    """Return the mean energy and area shares of each variant, all seeds together."""
    rows = []
    for variant, seeds in tables.items():
        images = pd.concat(seeds)
        shares = {region: float(images[region].mean()) for region in REGIONS}
        rows.append({**variant._asdict(), **shares})
    return pd.DataFrame(rows)


def outcome_table(tables: dict[Variant, list[pd.DataFrame]]) -> pd.DataFrame:
    """Return the share of images with each outcome, all seeds together, by kind of threshold."""
    rows = []
    for variant, seeds in tables.items():
        images = pd.concat(seeds)
        for kind in kinds_of(images):
            shares = {name: float((images[f"outcome_{kind}"] == name).mean()) for name in OUTCOMES}
            rows.append({**variant._asdict(), "threshold": kind, **shares})
    return pd.DataFrame(rows)


def accuracy_table(metrics: dict[Variant, list[dict[str, Any]]]) -> pd.DataFrame:
    """Return wsolevaluation's accuracies of each variant, the mean and the spread of its seeds."""
    rows = []
    for variant, cells in metrics.items():
        row: dict[str, Any] = variant._asdict()
        for name in ACCURACIES:
            values = np.array([cell[name] for cell in cells], dtype=np.float64)  # None: no masks
            row |= {name: values.mean(), f"{name}_std": seed_spread(values[:, None])}
        rows.append(row)
    return pd.DataFrame(rows)


def _curves(workspace: Workspace, params: Params, dataset: str) -> Iterator[pd.DataFrame]:
    for variant, cells in grid(params, dataset).items():
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


def _histories(workspace: Workspace, params: Params, dataset: str) -> Iterator[pd.DataFrame]:
    order = (cell for cells in grid(params, dataset).values() for cell in cells)
    for cell in dict.fromkeys(order):
        history = read_table(workspace.run(cell) / "history.csv")
        history.insert(0, "variant", cell.method)
        history.insert(1, "seed", cell.seed)
        yield history
