"""Numbers as text: the only place where a fraction becomes per cent in a table."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

DASH = "–"
"""Where there is no number."""


def number_text(value: object, digits: int) -> str:
    """Format a number, or a dash where there is none."""
    return DASH if pd.isna(value) else f"{float(value):.{digits}f}"  # type: ignore[arg-type]


def p_text(value: object) -> str:
    """Format a p value; a small one is not 0."""
    return "< 0.001" if float(value) < 0.0005 else number_text(value, 3)  # type: ignore[arg-type]


def percent(value: object, digits: int) -> str:
    """Format a fraction as per cent, or a dash where there is none."""
    return DASH if pd.isna(value) else f"{100 * float(value):.{digits}f}"  # type: ignore[arg-type]


def with_interval(row: Mapping[str, object], digits: int) -> str:
    """Format a row's mean with its interval, fractions as per cent, or a dash."""
    if pd.isna(row["mean"]):
        return DASH
    mean, low, high = (percent(row[name], digits) for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"
