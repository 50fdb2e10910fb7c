"""``spg verify --statistically``: new seeds on this machine against the committed seeds' spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from spg.compare.statistics.equivalence import (
    CANNOT_TELL,
    DIFFERENT,
    SAME,
    Committed,
    Equivalence,
    chance_of_same,
    compare_seeds,
)
from spg.data.results.tables import read_table
from spg.project.errors import UserError
from spg.project.files import read_json
from spg.project.locks import writing
from spg.project.parallel import default_workers, in_order
from spg.project.params import Params
from spg.project.workspace import Cell, Workspace
from spg.tools.again import link_inputs, place_of
from spg.tools.effect.rerun import run_cell

METRIC, KIND, EXTRACTOR = "gt_known_loc_err", "selected", "cam"
STATUS = {SAME: 0, DIFFERENT: 1, CANNOT_TELL: 3}
"""Of the command; 2 is that of a user's mistake."""


def reseed(
    workspace: Workspace, params: Params, first: Cell, count: int, *, margin: float
) -> tuple[Equivalence, Committed, list[float]]:
    """Train new seeds and compare their GT-known errors with those of the committed report.

    Packed data and stem weights have to be there; of the committed seeds only
    ``reports/DATASET/comparison.csv`` is read. What is finished stays in .scratch, so that an
    interrupted run goes on and more seeds train those alone that are new.

    Args:
        workspace: the project.
        params: all parameters.
        first: the cell of the first new seed.
        count: of new seeds, from that of ``first`` on.
        margin: fraction; differences below it do not matter.

    Returns:
        what the seeds say, what is committed, and the error of each new seed.

    Raises:
        UserError: when data or report are missing, or a seed is one of the committed ones.
    """
    cells = [replace(first, seed=first.seed + number) for number in range(count)]
    taken = sorted({cell.seed for cell in cells} & set(params.seeds_of(first.method)))
    if taken:
        raise UserError(
            f"--seed {first.seed}: {', '.join(map(str, taken))} is among the committed seeds of "
            f"params.yaml; choose new ones, e.g. --seed {max(params.seeds_of(first.method)) + 100}"
        )
    known = committed(read_table(workspace.report(first.dataset) / "comparison.csv"), first)
    own = place_of(workspace, params, first, "reseed")
    with writing(workspace, own.root):
        link_inputs(workspace, own, first)
        workers = min(default_workers(), count)
        for _ in in_order(partial(run_cell, own, params), cells, workers=workers):
            pass
        errors = [
            float(read_json(own.evaluation(cell) / "metrics.json")[EXTRACTOR][KIND][METRIC])
            for cell in cells
        ]
    return compare_seeds(known, errors, margin=margin), known, errors


def committed(comparison: pd.DataFrame, cell: Cell) -> Committed:
    """Return what a comparison.csv says of the seeds of a cell's method.

    Raises:
        UserError: when it has fewer than two.
    """
    wanted = {
        "backbone": cell.backbone, "method": cell.method, "extractor": EXTRACTOR,
        "threshold": KIND, "metric": METRIC,
    }  # fmt: skip
    rows = comparison
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    seeds = 0 if rows.empty else int(rows.iloc[0]["seeds"])
    if seeds < 2:
        raise UserError(
            f"reports/{cell.dataset}/comparison.csv: has {seeds} seeds of {cell.method} on "
            f"{cell.backbone}; a spread takes two"
        )
    row = rows.iloc[0]
    return Committed(float(row["mean"]), float(row["seed_std"]), seeds)


def told(
    found: Equivalence, known: Committed, errors: Sequence[float], margin: float
) -> Iterator[str]:
    """Yield the lines that say what was found, in per cent and points."""
    shown = ", ".join(f"{100 * error:.2f}" for error in errors)
    yield f"GT-known error of {len(errors)} new seeds: {shown} %"
    yield f"committed: {100 * known.mean:.2f} %, std {100 * known.std:.2f}, {known.seeds} seeds"
    yield (
        f"difference {100 * found.difference:+.2f} points (90 % interval {100 * found.low:+.2f} to "
        f"{100 * found.high:+.2f}), margin {100 * margin:g}; p of no difference "
        f"{found.p_different:.3f}, of a difference of the margin {found.p_same:.3f}"
    )
    verdict = found.verdict
    if verdict == CANNOT_TELL:
        verdict += f" with {len(errors)} seeds"
    chance = chance_of_same(known, len(errors), margin=margin)
    yield (
        f'{verdict}; if nothing differs, {len(errors)} seeds say "the same" with probability '
        f"{chance:.2f}"
    )
