"""The claims of paper.yaml against our errors: gain, interval, tests, verdict and its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from spg.compare.comparison import named_interval
from spg.compare.errors import Errors
from spg.compare.paper import Claim, Paper
from spg.compare.statistics.intervals import Interval, verdict
from spg.compare.statistics.significance import (
    detectable,
    holm,
    mcnemar,
    power,
    standard_error,
    two_sided_p,
)
from spg.compare.variants import Variant
from spg.project.schema import ComparisonParams

Key = tuple[Variant, str, str]
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


class Gain(NamedTuple):
    """What our errors say of one claim."""

    interval: Interval
    error: float
    """Standard error, of images and seeds."""
    p_mcnemar: float
    p_interval: float
    shape: tuple[int, ...]
    """Seeds and images."""


def claims_table(
    errors: Errors, paper: Paper, params: ComparisonParams, *, backbone: str
) -> pd.DataFrame:
    """Return one row for each claim of paper.yaml with its verdict and the sentence behind it.

    Gains and ``detectable`` are fractions. ``p_holm`` corrects ``p_interval`` for all claims that
    have both sides here; ``power`` and ``detectable`` are at the level at which Holm's correction
    begins, so they promise nothing that the verdict does not keep.

    Args:
        errors: of every variant.
        paper: the claims.
        params: of intervals and level.
        backbone: of a side that names none.
    """
    keys = {claim.id: _keys(claim, backbone) for claim in paper.claims}
    gains = {name: _gain(sides, errors, params, name) for name, sides in keys.items()}
    judged = {name: gain for name, gain in gains.items() if gain}
    adjusted = dict(zip(judged, holm([g.p_interval for g in judged.values()]), strict=True))
    rows = []
    for claim in paper.claims:
        reported = paper.reported_gain(claim)
        row: dict[str, Any] = {"claim": claim.id, "text": claim.text, "reported_points": reported}
        gain = judged.get(claim.id)
        if gain is None:
            row |= _not_run(keys[claim.id], errors)
        else:
            row |= _judge(gain, adjusted, claim.id, reported, params.confidence)
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _keys(claim: Claim, backbone: str) -> list[Key]:
    """Return which errors the claim compares: those of its better side, then of its worse."""
    return [
        (Variant(side.backbone or backbone, side.method, side.extractor), CLAIMS_KIND, claim.metric)
        for side in (claim.better, claim.worse)
    ]


def _gain(keys: Sequence[Key], errors: Errors, params: ComparisonParams, name: str) -> Gain | None:
    """Return what ``errors`` say of a claim, or None where a side did not run."""
    if any(key not in errors for key in keys):
        return None
    better, worse = (errors[key] for key in keys)
    gains = worse - better
    error = standard_error(gains)
    return Gain(
        interval=named_interval(gains, params, name),
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


def _not_run(keys: Sequence[Key], errors: Errors) -> dict[str, Any]:
    missing = next(key[0] for key in keys if key not in errors)
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
