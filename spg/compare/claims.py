"""The claims of paper.yaml against our errors: gain, interval, tests, verdict and its sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.compare.comparison import named_interval
from spg.compare.errors import HIGHER_IS_BETTER, NO_THRESHOLD, Errors
from spg.compare.fits import ResampledOf, keep_thresholds
from spg.compare.paper import Claim, Ours, Paper
from spg.compare.statistics.intervals import Interval, verdict
from spg.compare.statistics.significance import (
    Needed,
    detectable,
    holm,
    mcnemar,
    needed,
    power,
    standard_error,
    two_sided_p,
)
from spg.compare.variants import Variant
from spg.evaluate.per_image import WHOLE_MAP
from spg.project.schema.evaluation import ComparisonParams

Key = tuple[Variant, str, str]
CLAIMS_KIND = "selected"  # each variant at its own threshold, never chosen on the image itself
SeedsOf = Callable[[str], Sequence[int]]
"""From a method to the seeds of its cells, in the order of its rows."""
WANTED_POWER = 0.8
CSV_FORMAT = "%.6g"
"""Of the numbers in what ``compare`` writes; sentences round what this leaves, as tables do."""
MEANINGS = {
    "reproduced": "all of it above 0",
    "not reproduced": "none of it above 0",
    "undecided": "0 lies inside, so this size cannot tell",
}
COLUMNS = (
    "claim", "text", "metric", "reported_points", "reported_dataset", *Interval._fields,
    "p_mcnemar", "p_interval", "p_holm", "power", "detectable", "seeds", "images", "seeds_needed",
    "images_needed", "verdict", "sentence",
)  # fmt: skip


class Gain(NamedTuple):
    """What our errors say of one claim."""

    interval: Interval
    error: float
    """Standard error, of images and seeds."""
    p_mcnemar: float
    p_interval: float
    values: NDArray[np.float64]
    """``Float[S, N]``, of the seeds that both sides have."""


def claims_table(
    errors: Errors,
    paper: Paper,
    params: ComparisonParams,
    ours: Ours,
    *,
    seeds_of: SeedsOf,
    resampled_of: ResampledOf = keep_thresholds,
) -> pd.DataFrame:
    """Return one row for each claim that is asked on a data set: its verdict and the sentence.

    Gains and ``detectable`` are fractions. ``p_holm`` corrects ``p_interval`` for all claims that
    have both sides here; ``power`` and ``detectable`` are at the level at which Holm's correction
    begins, so they promise nothing that the verdict does not keep.

    Args:
        errors: of every variant.
        paper: the claims.
        params: of intervals and level.
        ours: what our numbers are of; its ``googlenet`` is the backbone of a side that names none.
        seeds_of: which seeds a method's rows are; the two sides of a claim are compared at those
            that both have.
        resampled_of: gives what is resampled with thresholds chosen anew.
    """
    claims = paper.claims_on(ours.dataset)
    keys = {claim.id: _keys(claim, ours.googlenet) for claim in claims}
    gains = {
        name: _gain(sides, errors, params, name, seeds_of, resampled_of)
        for name, sides in keys.items()
    }
    judged = {name: gain for name, gain in gains.items() if gain}
    adjusted = dict(zip(judged, holm([g.p_interval for g in judged.values()]), strict=True))
    rows = []
    for claim in claims:
        reported, where = paper.reported_gain(claim), paper.reported_on(claim)
        row: dict[str, Any] = {
            "claim": claim.id, "text": claim.text, "metric": claim.metric,
            "reported_points": reported, "reported_dataset": where,
        }  # fmt: skip
        gain = judged.get(claim.id)
        if gain is None:
            row |= _not_run(keys[claim.id], errors)
        else:
            on = "" if where in (None, ours.dataset) else f" on {paper.title_of(str(where))}"
            row |= _judge(gain, adjusted, claim.id, reported, on, params.confidence)
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def level_text(confidence: float) -> str:
    """Return a level of confidence as per cent, no digit lost.

    Example:
        >>> level_text(0.95), level_text(0.975)
        ('95%', '97.5%')
    """
    return f"{100 * confidence:g}%"


def _keys(claim: Claim, backbone: str) -> list[Key]:
    """Return which errors the claim compares: those of its better side, then of its worse."""
    keys = []
    for side in (claim.better, claim.worse):
        metric = side.metric or claim.metric
        kind = NO_THRESHOLD if metric in WHOLE_MAP else CLAIMS_KIND
        variant = Variant(side.backbone or backbone, side.method, side.extractor)
        keys.append((variant, kind, metric))
    return keys


def _gain(
    keys: Sequence[Key],
    errors: Errors,
    params: ComparisonParams,
    name: str,
    seeds_of: SeedsOf,
    resampled_of: ResampledOf,
) -> Gain | None:
    """Return what ``errors`` say of a claim, or None where a side or a common seed is missing."""
    seeds = [seeds_of(variant.method) for variant, _, _ in keys]
    common = [seed for seed in seeds[0] if seed in seeds[1]]
    if not common or any(key not in errors for key in keys):
        return None
    places = [[own.index(seed) for seed in common] for own in seeds]
    higher = keys[0][2] in HIGHER_IS_BETTER
    better, worse = (errors[key][rows] for key, rows in zip(keys, places, strict=True))
    gains = better - worse if higher else worse - better
    ours, theirs = (resampled_of(*key) for key in keys)
    resampled = None
    if ours is not None and theirs is not None:
        resampled = (1 if higher else -1) * (ours[:, places[0]] - theirs[:, places[1]])
    interval, error = named_interval(gains, params, name, resampled=resampled)
    return Gain(
        interval=interval,
        error=error,
        p_mcnemar=mcnemar(gains),
        p_interval=two_sided_p(float(gains.mean()), error),
        values=gains,
    )


def _judge(
    gain: Gain,
    adjusted: Mapping[str, float],
    name: str,
    reported: float | None,
    on: str,
    confidence: float,
) -> dict[str, Any]:
    """Return a claim's numbers and verdict; ``on`` is where the gain is reported, if elsewhere."""
    level = (1 - confidence) / len(adjusted)
    seen = np.nan if reported is None else power(reported / 100, gain.error, level=level)
    least = detectable(gain.error, level=level, wanted=WANTED_POWER)
    survives = adjusted[name] <= 1 - confidence
    found = verdict(gain.interval)
    doubt = "" if survives or found == "undecided" else _doubt(adjusted, name)
    seeds, images = gain.values.shape
    wanted = abs(gain.interval.mean) if reported is None else abs(reported) / 100
    # Where thresholds are cross-fitted, the error holds their choice too, which the values do not.
    kept = standard_error(gain.values)
    widened = gain.values * (gain.error / kept if kept > 0 else 1.0)
    more = needed(widened, wanted, level=level, wanted=WANTED_POWER)
    return {
        **gain.interval._asdict(),
        "p_mcnemar": gain.p_mcnemar,
        "p_interval": gain.p_interval,
        "p_holm": adjusted[name],
        "power": seen,
        "detectable": least,
        "seeds": seeds,
        "images": images,
        "seeds_needed": more.seeds,
        "images_needed": more.images,
        "verdict": found if survives else "undecided",
        "sentence": _measured(gain.interval, reported, on, confidence, doubt)
        + _size(gain, reported, on, seen, least)
        + _more(more, reported),
    }


def _not_run(keys: Sequence[Key], errors: Errors) -> dict[str, Any]:
    variant, _, metric = next((key for key in keys if key not in errors), (None, "", ""))
    if variant is None:
        why = "its sides have no seed in common"
    elif any(ran == variant for ran, *_ in errors):
        why = f"these images lack the boxes or masks that {metric} needs"
    else:
        why = f"{'/'.join(variant)} has no cell here"
    return {"verdict": "not run", "sentence": f"Not run: {why}."}


def _measured(
    interval: Interval, reported: float | None, on: str, confidence: float, doubt: str
) -> str:
    mean, low, high = (100 * float(CSV_FORMAT % value) for value in interval)
    text = (
        f"The gain is {mean:+.2f} points, {level_text(confidence)} interval {low:+.2f} to "
        f"{high:+.2f}: {MEANINGS[verdict(interval)]}{doubt}"
    )
    if reported is None:
        return f"{text}."
    inside = "lies inside" if low <= reported <= high else "lies outside"
    return f"{text}; the reported {reported:.2f}{on} {inside}."


def _doubt(adjusted: Mapping[str, float], name: str) -> str:
    return (
        f", but p is {adjusted[name]:.3f} when corrected for {len(adjusted)} claims, so undecided"
    )


def _size(gain: Gain, reported: float | None, on: str, seen: float, least: float) -> str:
    """Return what this size can see, or nothing where no spread was seen."""
    if np.isnan(least):
        return ""
    seeds, images = gain.values.shape
    here = f" With {images} images and {seeds} seed{'s' if seeds > 1 else ''}"
    points = f"{100 * least:.1f} points"
    if reported is None:
        return f"{here} a gain is seen with probability {WANTED_POWER} from {points} on."
    return (
        f"{here} a gain of {reported:.2f} points, the paper's{on}, would be seen with probability "
        f"{seen:.2f}; for {WANTED_POWER} it takes {points}."
    )


def _more(more: Needed, reported: float | None) -> str:
    """Return what it would take to see the paper's gain, or ours where it reports none."""
    if np.isnan(more.seeds) and np.isnan(more.images):
        return ""
    which = "this gain" if reported is None else "the paper's gain"
    ways = [
        f"{value:.0f} {name}{'s' if value > 1 else ''}"
        for value, name in ((more.seeds, "seed"), (more.images, "image"))
        if np.isfinite(value)
    ]
    if not ways:
        return f" Neither more seeds nor more images alone would show {which} so surely."
    return f" To see {which} so surely, with all else as here, takes {' or '.join(ways)}."
