"""Tables as text.

Every table of the report is a :class:`Table`; :mod:`spg.report.render` has the languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from spg.compare.claims import level_text
from spg.report.formats import DASH, number_text, percent, with_interval
from spg.report.names import ACCURACY_NAMES, KIND_NAMES, METRIC_NAMES, VALUE_NAMES, variant_name

Row = Mapping[str, object]

KIND_NOTES = {
    "oracle": "the best threshold on these very test images, which no one may report as a result",
    "pseudo": "the best threshold by proposed boxes of the images that *selected* has true ones of",
    "cam_code": "that code's own three thresholds and boxes (PROTOCOL 10, 17)",
    "graph_cut": "no threshold, but the image's colors too, the box rule of the work cited for "
    "Backprop (PROTOCOL 11)",
}
"""What a kind of threshold is, where its name does not say it."""

NO_BOXES = (
    "The test images have no true boxes, so nothing is said of localization: no GT-known, top-1 or "
    "top-5 localization error, no MaxBoxAcc, no outcome of an image, no verdict on them. What is "
    "left are classification errors, the maps in the gallery and, where there are masks, PxAP, "
    "pIoU and the claims on what maps cover."
)


class Table(NamedTuple):
    """One table, every cell text."""

    name: str
    """A word: the end of its label in LaTeX and of its id in HTML; empty where it needs none."""
    caption: str
    """A paragraph; empty where the page's own text says what the table shows."""
    frame: pd.DataFrame
    """The first column names the row."""
    marked: bool = False
    """Whether cells hold Markdown of their own, which only Markdown can show."""


def kind_notes(comparison: pd.DataFrame) -> str:
    """Return what those kinds of threshold in a comparison.csv are whose names do not say it."""
    found = set(comparison["threshold"])
    notes = [f"*{KIND_NAMES[kind]}*: {note}" for kind, note in KIND_NOTES.items() if kind in found]
    return f"{'; '.join(notes)}." if notes else ""


def has_boxes(comparison: pd.DataFrame) -> bool:
    """Return whether the test images of a comparison.csv have true boxes."""
    return bool((comparison["metric"] == "gt_known_loc_err").any())


def seeds_text(comparison: pd.DataFrame) -> str:
    """Return how many seeds the rows of a comparison.csv have: ``6 seeds``, ``3 to 6 seeds``."""
    fewest, most = int(comparison["seeds"].min()), int(comparison["seeds"].max())
    if fewest < most:
        return f"{fewest} to {most} seeds"
    return "1 seed" if most == 1 else f"{most} seeds"


def main_table(comparison: pd.DataFrame, *, metric: str, digits: int, confidence: float) -> Table:
    """Return the table of one metric: every variant and baseline, reproduced beside reported.

    What maps are worth without boxes or without a chosen threshold stands beside it.

    Args:
        comparison: comparison.csv.
        metric: one of `METRIC_NAMES`.
        digits: after the point.
        confidence: of the intervals, as ``comparison.confidence``.
    """
    rows = comparison[comparison["metric"] == metric]
    selected = rows[rows["threshold"].isin(["selected", "none"])]
    fixed = _by_variant(rows[rows["threshold"] == "fixed"])
    values = {name: _by_variant(comparison[comparison["metric"] == name]) for name in VALUE_NAMES}
    values = {name: found for name, found in values.items() if len(found)}

    def cells(row: Row) -> list[str]:
        place = (row["backbone"], row["method"], row["extractor"])
        return [
            variant_name(row),
            percent(row["mean"], digits),
            f"{percent(row['low'], digits)} to {percent(row['high'], digits)}",
            str(row["seeds"]),
            DASH if row["seeds"] == 1 else percent(row["seed_std"], digits),
            percent(fixed.get(place), digits),
            percent(row["reported"], digits),
            *(percent(found.get(place), digits) for found in values.values()),
        ]

    interval = f"{level_text(confidence)} interval"
    header = ["variant", "selected", interval, "seeds", "std of seeds", "fixed", "reported"]
    header += [VALUE_NAMES[name] for name in values]
    return _table(header, [cells(row) for row in selected.to_dict("records")])


def metrics_table(comparison: pd.DataFrame, *, digits: int) -> Table:
    """Return all metrics side by side, at the selected threshold."""
    rows = comparison[comparison["threshold"].isin(["selected", "none"])]
    keys = ["backbone", "method", "extractor"]
    wide = rows.pivot_table(index=keys, columns="metric", values="mean", sort=False).reset_index()
    header = ["variant", *METRIC_NAMES.values()]
    lines = [
        [variant_name(row), *(percent(row.get(metric), digits) for metric in METRIC_NAMES)]
        for row in wide.to_dict("records")
    ]
    return _table(header, lines)


def kinds_table(comparison: pd.DataFrame, *, digits: int) -> Table:
    """Return the GT-known error of each variant at each kind of threshold that any has."""
    rows = comparison[comparison["metric"] == "gt_known_loc_err"]
    keys = ["backbone", "method", "extractor"]
    wide = rows.pivot_table(index=keys, columns="threshold", values="mean", sort=False)
    kinds = [kind for kind in KIND_NAMES if kind in wide]
    lines = [
        [variant_name(row), *(percent(row.get(kind), digits) for kind in kinds)]
        for row in wide.reset_index().to_dict("records")
        if "none" not in row or pd.isna(row["none"])
    ]
    return _table(["variant", *(KIND_NAMES[kind] for kind in kinds)], lines)


def external_table(external: pd.DataFrame, *, digits: int) -> Table:
    """Return localization and classification error with the classes of other networks."""
    keys = ["backbone", "method", "extractor", "classifier"]
    wide = external.pivot_table(index=keys, columns="metric", values="mean", sort=False)
    names = {name: title for name, title in METRIC_NAMES.items() if name != "gt_known_loc_err"}
    lines = [
        [variant_name(row), str(row["classifier"]), *(percent(row.get(n), digits) for n in names)]
        for row in wide.reset_index().to_dict("records")
    ]
    return _table(["boxes of", "classes of", *names.values()], lines)


def outcome_table(outcomes: pd.DataFrame, *, digits: int) -> Table:
    """Return the share of images with each outcome at the selected threshold."""
    names = list(outcomes.columns[4:])
    lines = [
        [variant_name(row), *(percent(row[name], digits) for name in names)]
        for row in outcomes[outcomes["threshold"] == "selected"].to_dict("records")
    ]
    return _table(["variant", *(name.replace("_", " ") for name in names)], lines)


def accuracy_table(accuracies: pd.DataFrame, comparison: pd.DataFrame, *, digits: int) -> Table:
    """Return wsolevaluation's accuracies with their intervals, those that any variant has.

    Without masks there is neither PxAP nor pIoU. MaxBoxAcc and pIoU at the selected threshold have
    the standard deviation of the seeds instead of an interval, if there are several.

    Args:
        accuracies: accuracies.csv.
        comparison: comparison.csv, whose rows without a threshold have the intervals.
        digits: after the point.
    """
    variant = ["backbone", "method", "extractor"]
    rows = comparison[comparison["threshold"] == "none"].to_dict("records")
    known = {(*(row[name] for name in variant), row["metric"]): row for row in rows}
    seeds = comparison.groupby(variant)["seeds"].max().to_dict()

    def cell(row: Row, name: str) -> str:
        interval = known.get((*(row[key] for key in variant), name))
        if interval is not None:
            return with_interval(interval, digits)
        if pd.isna(row[name]) or seeds[tuple(row[key] for key in variant)] == 1:
            return percent(row[name], digits)
        return f"{percent(row[name], digits)} ± {percent(row[f'{name}_std'], digits)}"

    names = [name for name in ACCURACY_NAMES if accuracies[name].notna().any()]
    lines = [
        [variant_name(row), *(cell(row, name) for name in names)]
        for row in accuracies.to_dict("records")
    ]
    return _table(["variant", *(ACCURACY_NAMES[name] for name in names)], lines)


def _by_variant(rows: pd.DataFrame) -> pd.Series[float]:
    """Return the means of rows by backbone, method and extractor."""
    return rows.set_index(["backbone", "method", "extractor"])["mean"]


def judged(claims: pd.DataFrame) -> pd.DataFrame:
    """Return the claims both sides of which ran."""
    return claims[claims["verdict"] != "not run"]


def not_run(claims: pd.DataFrame) -> str:
    """Return one sentence that names the claims without a verdict here; empty if all have one."""
    texts = [f"*{text}*" for text in claims.loc[claims["verdict"] == "not run", "text"]]
    return f"Not run here: {'; '.join(texts)}." if texts else ""


def claims_table(claims: pd.DataFrame, *, digits: int, confidence: float) -> Table:
    """Return each claim that ran with its verdict; see :func:`not_run` for the others."""
    interval = f"{level_text(confidence)} interval"

    def reported(row: Row) -> str:
        return number_text(row["reported_points"], digits)

    header = ["claim", "reported gain, points", f"reproduced gain ({interval})", "verdict"]
    lines = [
        [str(row["text"]), reported(row), with_interval(row, digits), f"**{row['verdict']}**"]
        for row in judged(claims).to_dict("records")
    ]
    return _table(header, lines)


def energy_table(energy: pd.DataFrame, *, digits: int) -> Table:
    """Return the shares of map energy on telling parts, where known, and object, beside areas."""
    header = ["variant", "energy on parts", "times its area", "energy on object", "times its area"]
    lines = []
    for row in energy.to_dict("records"):
        cells = [variant_name(row)]
        for region in ("part", "object"):
            share, area = float(row[f"{region}_energy"]), float(row[f"{region}_area"])
            cells += [percent(share, digits), number_text(share / area if area else None, 2)]
        lines.append(cells)
    return _table(header, lines)


def _table(header: list[str], rows: list[list[str]]) -> Table:
    return Table("", "", pd.DataFrame(rows, columns=header), marked=True)
