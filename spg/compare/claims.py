"""The claims of paper.yaml against our errors: gain, interval, tests, verdict and its sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.compare.paper import Claim, Paper, Side
from spg.compare.statistics.intervals import Interval, two_way_interval, verdict
from spg.compare.statistics.significance import (
    detectable,
    holm,
    mcnemar,
    power,
    standard_error,
    two_sided_p,
)
from spg.compare.variants import Variant
from spg.project.params import Params
from spg.project.schema import ComparisonParams
from spg.project.seeding import generator

CLAIMS_KIND = "selected"  # each variant at its own threshold, chosen on held-out training images
WANTED_POWER = 0.8
MEANINGS = {
    "reproduced": "all of it above 0",
    "not reproduced": "none of it above 0",
    "undecided": "0 lies inside, so this size cannot tell",
}
COLUMNS = (
    "claim", "text", "reported_points", *Interval._fields, "p_mcnemar", "p_interval", "p_holm",
    "power", "detectable", "seeds", "images", "verdict", "sentence",
)  # fmt: skip

Errors = dict[tuple[Variant, str, str], NDArray[np.float64]]
"""(variant, threshold kind, metric) -> ``Float[S, N]`` of 0 and 1."""


class Gain(NamedTuple):
    """What our errors say of one claim."""

    interval: Interval
    error: float
    """Standard error, of images and seeds."""
    p_mcnemar: float
    p_interval: float
    shape: tuple[int, ...]
    """Seeds and images."""


def claims_table(errors: Errors, paper: Paper, params: Params) -> pd.DataFrame:
    """Return one row for each claim of paper.yaml with its verdict and the sentence behind it.

    Gains and ``detectable`` are fractions. ``p_holm`` corrects ``p_interval`` for all claims that
    have both sides here; ``power`` and ``detectable`` are at the level at which Holm's correction
    begins, so they promise nothing that the verdict does not keep.
    """
    gains = {claim.id: _gain(claim, errors, params) for claim in paper.claims}
    judged = {name: gain for name, gain in gains.items() if gain}
    adjusted = dict(zip(judged, holm([g.p_interval for g in judged.values()]), strict=True))
    rows = []
    for claim in paper.claims:
        reported = paper.reported_gain(claim)
        row: dict[str, Any] = {"claim": claim.id, "text": claim.text, "reported_points": reported}
        gain = judged.get(claim.id)
        if gain is None:
            row |= _not_run(claim, errors, params)
        else:
            row |= _judge(gain, adjusted, claim.id, reported, params.comparison.confidence)
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def named_interval(values: NDArray[np.float64], params: ComparisonParams, *names: Any) -> Interval:
    """Return the two-way interval of ``values`` with random numbers of their own name."""
    return two_way_interval(
        values,
        resamples=params.resamples,
        confidence=params.confidence,
        rng=generator(params.seed, *(str(name) for name in names)),
    )


def _gain(claim: Claim, errors: Errors, params: Params) -> Gain | None:
    """Return what ``errors`` say of a claim, or None where a side did not run."""
    keys = [
        (_variant(side, params), CLAIMS_KIND, claim.metric) for side in (claim.better, claim.worse)
    ]
    if any(key not in errors for key in keys):
        return None
    better, worse = (errors[key] for key in keys)
    gains = worse - better
    error = standard_error(gains)
    return Gain(
        interval=named_interval(gains, params.comparison, claim.id),
        error=error,
        p_mcnemar=mcnemar(gains),
        p_interval=two_sided_p(float(gains.mean()), error),
        shape=gains.shape,
    )


def _judge(
    gain: Gain, adjusted: Mapping[str, float], name: str, reported: float | None, confidence: float
) -> dict[str, Any]:
    level = (1 - confidence) / len(adjusted)
    seen = np.nan if reported is None else power(reported / 100, gain.error, level=level)
    least = detectable(gain.error, level=level, wanted=WANTED_POWER)
    survives = adjusted[name] <= 1 - confidence
    found = verdict(gain.interval)
    doubt = "" if survives or found == "undecided" else _doubt(adjusted, name)
    seeds, images = gain.shape
    return {
        **gain.interval._asdict(),
        "p_mcnemar": gain.p_mcnemar,
        "p_interval": gain.p_interval,
        "p_holm": adjusted[name],
        "power": seen,
        "detectable": least,
        "seeds": seeds,
        "images": images,
        "verdict": found if survives else "undecided",
        "sentence": _measured(gain.interval, reported, confidence, doubt)
        + _size(gain, reported, seen, least),
    }


def _not_run(claim: Claim, errors: Errors, params: Params) -> dict[str, Any]:
    variants = [_variant(side, params) for side in (claim.better, claim.worse)]
    missing = next(v for v in variants if (v, CLAIMS_KIND, claim.metric) not in errors)
    return {"verdict": "not run", "sentence": f"Not run: {'/'.join(missing)} has no cell here."}


def _measured(interval: Interval, reported: float | None, confidence: float, doubt: str) -> str:
    mean, low, high = (100 * value for value in interval)
    text = (
        f"The gain is {mean:+.2f} points, {confidence:.0%} interval {low:+.2f} to {high:+.2f}: "
        f"{MEANINGS[verdict(interval)]}{doubt}"
    )
    if reported is None:
        return f"{text}."
    inside = "lies inside" if low <= reported <= high else "lies outside"
    return f"{text}; the reported {reported:.2f} {inside}."


def _doubt(adjusted: Mapping[str, float], name: str) -> str:
    return (
        f", but p is {adjusted[name]:.3f} when corrected for {len(adjusted)} claims, so undecided"
    )


def _size(gain: Gain, reported: float | None, seen: float, least: float) -> str:
    """Return what this size can see, or nothing where no spread was seen."""
    if np.isnan(least):
        return ""
    seeds, images = gain.shape
    here = f" With {images} images and {seeds} seed{'s' if seeds > 1 else ''}"
    points = f"{100 * least:.1f} points"
    if reported is None:
        return f"{here} a gain is seen with probability {WANTED_POWER} from {points} on."
    return (
        f"{here} a gain of {reported:.2f} points, the paper's, would be seen with probability "
        f"{seen:.2f}; for {WANTED_POWER} it takes {points}."
    )


def _variant(side: Side, params: Params) -> Variant:
    return Variant(side.backbone or params.backbones[0], side.method, side.extractor)
