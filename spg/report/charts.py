"""Charts of results: outcomes, IoU and claims. Tables in, matplotlib figures out."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from spg.evaluate.outcomes import OUTCOMES
from spg.report.figures import by_panel, name_lines, panels
from spg.report.names import variant_name

GRAY = "0.4"
PANELS = {
    "gt_known_loc_err": "GT-known error",
    "px_ap": "PxAP",
    "max_box_acc_v2": "MaxBoxAccV2",
    "covered_object": "object covered",
}
"""What the gains of the stage telling are drawn of."""
STYLES = ("-", "--", "-.", ":")


def outcome_bars(outcomes: pd.DataFrame) -> Figure:
    """Draw what becomes of the images: one bar a variant, stacked to 100 %.

    Args:
        outcomes: outcomes.csv at one kind of threshold: method, extractor and a share an outcome.
    """
    names = [variant_name(row) for row in outcomes.to_dict("records")]
    figure = Figure(figsize=(7, 0.35 * len(names) + 1.3), layout="constrained")
    axis = figure.subplots()
    left = pd.Series(0.0, index=range(len(names)))
    colors = sns.color_palette("colorblind", len(OUTCOMES))
    for outcome, color in zip(OUTCOMES, colors, strict=True):
        share = 100 * outcomes[outcome].reset_index(drop=True)
        axis.barh(
            range(len(names)), share, left=left, color=color, label=outcome.replace("_", " "),
            edgecolor="white", linewidth=0.5,
        )  # fmt: skip
        left = left + share
    axis.set(yticks=range(len(names)), yticklabels=names, xlabel="share of test images, %")
    axis.set(xlim=(0, 100))
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def iou_distributions(ious: pd.DataFrame, *, iou_threshold: float) -> Figure:
    """Draw the share of images whose box has at most a given IoU; the lower the better.

    Args:
        ious: columns method, extractor and iou, one row an image and seed, selected threshold.
        iou_threshold: from which a box is right; where a curve crosses it is the error.
    """
    drawn = by_panel(ious)
    order = list(dict.fromkeys(line for rows in drawn.values() for line in rows["line"]))
    colors = sns.color_palette("colorblind", len(order))
    figure, axes = panels(len(drawn))
    for axis, (title, rows) in zip(axes, drawn.items(), strict=True):
        for number, (name, color) in enumerate(zip(order, colors, strict=True)):
            own, style = rows[rows["line"] == name], STYLES[number % len(STYLES)]
            sns.ecdfplot(own, x="iou", ax=axis, color=color, label=name, linestyle=style)
        axis.axvline(
            iou_threshold, color=GRAY, linestyle=":", label=f"right from {iou_threshold} on"
        )
        axis.set(
            xlabel="IoU of the box at the selected threshold",
            ylabel="share of images with at most this IoU",
            title=title,
            xlim=(0, 1),
        )
    name_lines(figure, axes)
    return figure


def forest_plot(claims: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Draw each claim's gain with its interval beside the reported gain.

    Args:
        claims: claims.csv without the claims that were not run.
        titles: of the data sets that reported gains are of.
    """
    figure = Figure(figsize=(9, 0.6 * len(claims) + 1.3), layout="constrained")
    axis = figure.subplots()
    places = range(len(claims))
    gain, low, high = (100 * claims[name] for name in ("mean", "low", "high"))
    axis.errorbar(
        gain, places, xerr=[gain - low, high - gain], fmt="o", color=sns.color_palette()[0],
        capsize=3, label="reproduced, with interval",
    )  # fmt: skip
    for marker, (dataset, title) in zip("Ds", titles.items(), strict=False):
        axis.scatter(
            claims["reported_points"].where(claims["reported_dataset"] == dataset), places,
            marker=marker, facecolors="none", edgecolors="black", zorder=3,
            label=f"reported on {title}",
        )  # fmt: skip
    axis.axvline(0, color=GRAY, linestyle=":")
    labels = [f"{fill(str(row.text), 58)}\n{row.verdict}" for row in claims.itertuples()]
    axis.set(yticks=places, yticklabels=labels, ylim=(len(claims) - 0.5, -0.5))
    axis.set(xlabel="gain, points of per cent (above 0: the claim holds)")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def gain_panels(gains: pd.DataFrame) -> Figure:
    """Draw gains with their intervals, a panel a metric and a line a set of telling parts.

    Args:
        gains: gains.csv of the stage telling: telling, metric, mean, low, high; fractions.
    """
    metrics = [name for name in PANELS if name in set(gains["metric"])]
    sets = list(dict.fromkeys(gains["telling"]))
    figure = Figure(figsize=(2.6 * len(metrics) + 1.5, 0.5 * len(sets) + 1.3), layout="constrained")
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        rows = gains[gains["metric"] == metric].set_index("telling").loc[sets]
        gain, low, high = (100 * rows[name] for name in ("mean", "low", "high"))
        axis.errorbar(
            gain, range(len(sets)), xerr=[gain - low, high - gain], fmt="o", capsize=3,
            color=sns.color_palette()[0],
        )  # fmt: skip
        axis.axvline(0, color=GRAY, linestyle=":")
        axis.set(title=PANELS[metric], xlabel="gain, points of per cent")
    axes[0].set(yticks=range(len(sets)), yticklabels=[name.replace("_", " ") for name in sets])
    axes[0].set_ylim(len(sets) - 0.5, -0.5)
    return figure
