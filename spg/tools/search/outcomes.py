"""What came of the trials of a search: which is best, and which are not told apart from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.compare.statistics.intervals import Interval, two_way_interval
from spg.project.schema.evaluation import ComparisonParams
from spg.tools.search.criterion import Held


class Tried(NamedTuple):
    """A trial and what came of it."""

    number: int
    drawn: Mapping[str, Any]
    """By key of params.yaml."""
    seeds: Sequence[Held]
    """Of each seed; none where the trial failed."""
    why: str = ""
    """It failed."""

    @property
    def error(self) -> float:
        """Mean over the seeds; NaN where it failed."""
        return float(np.mean([seed.error for seed in self.seeds])) if self.seeds else np.nan


def best_of(found: Sequence[Tried]) -> Tried:
    """Return the trial with the lowest error; of equal ones the first."""
    return min((one for one in found if one.seeds), key=lambda one: one.error)


def as_table(found: Sequence[Tried]) -> pd.DataFrame:
    """Return a row a trial, best first: its settings, its error and that of each seed."""
    rows = []
    for one in found:
        errors = {f"error_of_seed_{place}": held.error for place, held in enumerate(one.seeds)}
        rows.append({"trial": one.number, **one.drawn, "error": one.error, **errors,
                     "failed": one.why})  # fmt: skip
    return pd.DataFrame(rows).sort_values("error", kind="stable", na_position="last")


def told(found: Sequence[Tried], rule: ComparisonParams) -> Iterator[str]:
    """Yield what the terminal shows: the trials, the best one, and how far apart they lie."""
    table = as_table(found).drop(columns="failed")
    of_settings = {key: key.rsplit(".", 1)[-1] if key.count(".") > 1 else key for key in table}
    yield table.rename(columns=of_settings).to_string(index=False, float_format="{:.4g}".format)
    for one in found:
        if one.why:
            yield f"trial {one.number} failed: {one.why}"
    best, good = best_of(found), [one for one in found if one.seeds]
    errors = 100 * np.array([one.error for one in good])
    spread = errors.std(ddof=1) if len(errors) > 1 else 0.0
    share = f"{100 * best.error:.2f} %"
    yield f"best: trial {best.number}, {share} on held-out images{_range(best, rule)}"
    yield (
        f"all {len(good)} trials: {errors.min():.2f} to {errors.max():.2f} %, median "
        f"{np.median(errors):.2f}, standard deviation {spread:.2f}"
    )
    alike = [one.number for one in good if one is not best and not _is_worse(one, best, rule)]
    if alike:
        yield (
            f"not told apart from it by these images: {len(alike)} of the others, "
            f"trials {', '.join(map(str, alike))}"
        )


def _range(one: Tried, rule: ComparisonParams) -> str:
    wrong = _wrong(one)
    if wrong is None:
        return ""
    interval = _interval(wrong, rule)
    return (
        f" ({100 * rule.confidence:g} % interval {100 * interval.low:.2f} to "
        f"{100 * interval.high:.2f}; images: {wrong.shape[1]}, seeds: {wrong.shape[0]})"
    )


def _is_worse(one: Tried, best: Tried, rule: ComparisonParams) -> bool:
    """Return whether the interval of the paired difference excludes none at all."""
    mine, theirs = _wrong(one), _wrong(best)
    if mine is None or theirs is None:
        return one.error > best.error
    return _interval(mine - theirs, rule).low > 0


def _wrong(one: Tried) -> NDArray[np.float64] | None:
    """Return ``Float[S, M]``: 1 where a held-out image's box is wrong, at some levels a share."""
    rows = [held.wrong for held in one.seeds]
    known = [row for row in rows if row is not None]
    return np.stack(known) if len(known) == len(rows) else None


def _interval(values: NDArray[np.float64], rule: ComparisonParams) -> Interval:
    rng = np.random.default_rng(rule.seed)
    return two_way_interval(values, resamples=rule.resamples, confidence=rule.confidence, rng=rng)
