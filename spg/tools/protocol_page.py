"""The measured effects in PROTOCOL.md are copied from reports/, never typed: `make effects`.

So are the errors under each normalization, with the sentence on the order of methods.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from spg.data.results.tables import read_table
from spg.project.files import read_json, write_text
from spg.project.workspace import Workspace
from spg.report.names import variant_name

DATASET = "synthetic_birds"
BLOCK = re.compile(r"( *)<!-- effects of entry (\d+) -->\n.*?<!-- end -->", flags=re.DOTALL)
SETUP = re.compile(r"datasets\.\w+\.backbones\.\w+\.")
END = "<!-- end -->"
NORMALIZATIONS = re.compile(
    r"<!-- normalizations -->.*?<!-- end of normalizations -->", flags=re.DOTALL
)
MEASURED = (
    ("gt_known_loc_err", "GT-known error at the selected threshold", False),
    ("max_box_acc_v2", "MaxBoxAccV2 (higher is better)", True),
    ("px_ap", "PxAP (higher is better)", True),
)
"""Metric, title, whether the largest is the best."""
SHOWN = {"gt_known_loc_err": "GT-known", "top1_cls_err": "classification"}


def read_effects(workspace: Workspace) -> list[dict[str, Any]]:
    """Return every measured effect, by name."""
    folder = workspace.report(DATASET) / "effects"
    return [read_json(path) for path in sorted(folder.glob("*.json"))]


def with_effects(page: str, effects: Iterable[Mapping[str, Any]]) -> str:
    """Return PROTOCOL.md with the block of each entry replaced by its effects."""
    lines: dict[int, list[str]] = {}
    for effect in effects:
        lines.setdefault(effect["entry"], []).append(effect_line(effect))

    def block(match: re.Match[str]) -> str:
        indent, entry = match[1], int(match[2])
        shown = lines.get(entry, ["- not measured yet."])
        return "\n".join(
            f"{indent}{line}" for line in (f"<!-- effects of entry {entry} -->", *shown, END)
        )

    return BLOCK.sub(block, page)


def effect_line(effect: Mapping[str, Any]) -> str:
    """Return one effect as an item of a list: differences in points, with intervals."""
    settings = ", ".join(f"`{SETUP.sub('', setting)}`" for setting in effect["set"])
    parts = []
    for metric, name in SHOWN.items():
        mean, low, high = (
            100 * effect[metric]["difference"][key] for key in ("mean", "low", "high")
        )
        seen = "" if low > 0 or high < 0 else ", no effect seen"
        parts.append(f"{name} {mean:+.2f} ({low:+.2f} to {high:+.2f}){seen}")
    return f"- {settings}: {'; '.join(parts)}."


def normalizations_table(errors: pd.DataFrame, metric: str) -> str:
    """Return one metric in Markdown, per cent with intervals: a row a variant, a column a way.

    Args:
        errors: errors.csv of ``spg normalizations``.
        metric: e.g. ``gt_known_loc_err``.
    """
    own = errors[errors["metric"] == metric]
    ways = list(dict.fromkeys(own["normalization"]))
    lines = [f"| variant | {' | '.join(ways)} |", f"|---|{'---|' * len(ways)}"]
    for _, group in own.groupby(["backbone", "method", "extractor"], sort=False):
        found = group.set_index("normalization")
        cells = [
            f"{100 * found.loc[way, 'mean']:.2f} ({100 * found.loc[way, 'low']:.2f} to "
            f"{100 * found.loc[way, 'high']:.2f})"
            for way in ways
        ]
        lines.append(f"| {variant_name(group.iloc[0].to_dict())} | {' | '.join(cells)} |")
    return "\n".join(lines)


def order_sentence(errors: pd.DataFrame, metric: str, *, best_first: bool) -> str:
    """Return whether the order of the variants is the same under every normalization.

    Args:
        errors: as for :func:`normalizations_table`.
        metric: whose means are ordered.
        best_first: whether the largest mean is the best.
    """
    own = errors[errors["metric"] == metric]
    orders: dict[tuple[str, ...], list[str]] = {}
    for way, group in own.groupby("normalization", sort=False):
        ranked = group.sort_values("mean", ascending=not best_first, kind="stable")
        order = tuple(variant_name(row) for row in ranked.to_dict("records"))
        orders.setdefault(order, []).append(str(way))
    told = "; ".join(
        f"{' and '.join(f'`{way}`' for way in ways)}: {' → '.join(order)}"
        for order, ways in orders.items()
    )
    same = "is the same under all" if len(orders) == 1 else "depends on the normalization"
    return f"The order of the variants, best first, {same}: {told}."


def with_normalizations(page: str, errors: pd.DataFrame) -> str:
    """Return PROTOCOL.md with its block on normalizations replaced by what was measured."""
    parts = ["<!-- normalizations -->"]
    for metric, title, best_first in MEASURED:
        if (errors["metric"] == metric).any():
            parts += [
                f"\n  {title}, per cent, with 95 % intervals:\n",
                *(f"  {line}" for line in normalizations_table(errors, metric).splitlines()),
                f"\n  {order_sentence(errors, metric, best_first=best_first)}",
            ]
    block = "\n".join([*parts, "  <!-- end of normalizations -->"])
    return NORMALIZATIONS.sub(lambda _: block, page)


if __name__ == "__main__":
    project = Workspace(Path.cwd())
    path = project.root / "PROTOCOL.md"
    text = with_effects(path.read_text(encoding="utf-8"), read_effects(project))
    table = project.report(DATASET) / "normalizations/errors.csv"
    write_text(path, with_normalizations(text, read_table(table)))
