"""The measured effects in PROTOCOL.md are copied from reports/, never typed: `make effects`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spg.project.files import read_json, write_text
from spg.project.workspace import Workspace

DATASET = "synthetic_birds"
BLOCK = re.compile(r"( *)<!-- effects of entry (\d+) -->\n.*?<!-- end -->", flags=re.DOTALL)
SETUP = re.compile(r"datasets\.\w+\.backbones\.\w+\.")
END = "<!-- end -->"
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


if __name__ == "__main__":
    project = Workspace(Path.cwd())
    path = project.root / "PROTOCOL.md"
    write_text(path, with_effects(path.read_text(encoding="utf-8"), read_effects(project)))
