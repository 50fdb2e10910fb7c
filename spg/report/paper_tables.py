"""The paper's tables, row by row: what it reports beside what this run found, as strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from spg.compare.claims import level_text
from spg.compare.paper import GOOGLENET, Paper, Result
from spg.report.accuracy_tables import TABLES, reported_accuracies
from spg.report.formats import DASH, number_text, p_text, percent, with_interval
from spg.report.names import KIND_NAMES, METRIC_NAMES
from spg.report.run import Run
from spg.report.tables import Table, has_boxes, judged, not_run, seeds_text

KIND = "selected"
RULES = {"threshold": KIND, "graph_cut": "graph_cut"}  # which kind of threshold a row's boxes have
TITLES = {
    "1": "Table 1 of the paper: ILSVRC validation",
    "2": "Table 2 of the paper: CUB-200-2011 test",
    "3": "Table 3 of the paper: ILSVRC validation, boxes of SPG with labels of another classifier",
    "4": "Table 4 of the paper: ILSVRC validation, true label given",
    "ablation": "Ablations of the paper: ILSVRC validation",
}
# The starred rows' top-5 error stands in the paper's column of top-5 errors.
BLOCKS = {**METRIC_NAMES, "top5_loc_star_err": METRIC_NAMES["top5_loc_err"]}


def paper_tables(paper: Paper, run: Run) -> list[Table]:
    """Return every table of paper.yaml, row by row, in its order.

    Where the test images have no boxes, those alone that report something of the same images.

    A row that this run has no number for shows a dash and the reason, with what paper.yaml says of
    the number. A verdict stands in the row that SPG is compared with.
    """
    boxed = has_boxes(run.comparison)
    keys = dict.fromkeys(r.table for r in paper.results if boxed or r.dataset == run.theirs)
    return [
        (reported_accuracies if key in TABLES else _paper_table)(key, paper, run) for key in keys
    ]


def claims_table(paper: Paper, run: Run) -> Table:
    """Return the claims with their tests; see :mod:`spg.compare.claims` for the columns."""
    interval = f"{level_text(run.confidence)} interval"
    claims = judged(run.claims)
    rows = [
        {
            "claim": row["text"],
            "reported gain, points": number_text(row["reported_points"], run.digits),
            "reported on": DASH
            if pd.isna(row["reported_dataset"])
            else paper.title_of(row["reported_dataset"]),
            f"reproduced gain ({interval})": with_interval(row, run.digits),
            "p, McNemar": p_text(row["p_mcnemar"]),
            "p, images and seeds": p_text(row["p_interval"]),
            f"p, corrected for {len(claims)} claim{'s' if len(claims) != 1 else ''}": p_text(
                row["p_holm"]
            ),
            "power": number_text(row["power"], 2),
            "detectable gain": percent(row["detectable"], 1),
            "seeds needed": _count(row["seeds_needed"]),
            "images needed": _count(row["images_needed"]),
            "verdict": row["verdict"],
        }
        for row in claims.to_dict("records")
    ]
    caption = (
        "Claims of the paper. Gain: how much lower the error of the first-named variant is, or how "
        f"much higher what is no error, on {run.dataset}; of {run.backbone} where a claim names no "
        f"network; at the map threshold {run.selection}, but PxAP at none and MaxBoxAccV2 at the "
        "one that is best on the test images, as published. McNemar: exact; with several seeds, "
        "and of shares, the sign test over images; of these trainings alone, while the verdict "
        "takes the interval and the corrected p, which are of images and seeds. Power: probability "
        "to see the reported gain here. Detectable: gain that is seen with probability 0.8. "
        "Needed: to see the reported gain with that probability, or this one where none is "
        "reported, the other number as here (PROTOCOL 14). " + not_run(run.claims).replace("*", "")
    ).strip()
    return Table("claims", caption, pd.DataFrame(rows))


def _count(number: float) -> str:
    """Return a number of seeds or images; infinity where no number would do."""
    return DASH if pd.isna(number) else f"{number:.0f}".replace("inf", "∞")


def _paper_table(key: str, paper: Paper, run: Run) -> Table:
    results = [result for result in paper.results if result.table == key]
    verdicts = _verdicts(paper, run.claims)
    by_row: dict[str, list[Result]] = {}
    for result in results:
        by_row.setdefault(result.row, []).append(result)
    blocks = dict.fromkeys(BLOCKS[result.metric] for result in results)
    same = results[0].dataset == run.theirs
    lines = []
    for name, own in by_row.items():
        line = {"method": name}
        where = paper.title_of(own[0].dataset)
        for block in blocks:
            cells = [r for r in own if BLOCKS[r.metric] == block]
            line |= _block(block, cells, where, run)
            if same:
                line[f"{block}: difference"] = _difference(cells, run)
        found = [RULES[r.rule] for r in own if _find(r, run) is not None]
        line["threshold"] = KIND_NAMES[found[0]] if found else DASH
        line["verdict"] = "; ".join(verdicts[r.id] for r in own if r.id in verdicts)
        line["remark"] = _remark(own, run)
        lines.append(line)
    frame = pd.DataFrame(lines)
    if not frame["verdict"].any():
        frame = frame.drop(columns="verdict")
    return Table(f"table_{key}", _caption(key, results[0], paper, run), frame)


def _block(title: str, cells: Sequence[Result], where: str, run: Run) -> dict[str, str]:
    """Return the columns of one error in one row; ``cells`` is empty for the paper's own dash."""
    found = _find(cells[0], run) if cells else None
    return {
        f"{title}: reported on {where}": number_text(cells[0].value, 2) if cells else DASH,
        f"{title}: reproduced on {run.dataset}": (
            DASH if found is None else with_interval(found, run.digits)
        ),
    }


def _difference(cells: Sequence[Result], run: Run) -> str:
    """Return how far ours is above the reported number: on its own data set and network alone."""
    found = _find(cells[0], run) if cells else None
    if found is None or found["backbone"] != (cells[0].backbone or GOOGLENET):
        return DASH
    return f"{100 * found['mean'] - cells[0].value:+.{run.digits}f}"


def _find(result: Result, run: Run) -> dict[str, Any] | None:
    """Return the row of comparison.csv that stands beside a reported number."""
    wanted = {
        "backbone": result.backbone or run.backbone,
        "method": result.method,
        "extractor": result.extractor,
        "threshold": RULES[result.rule],
        "metric": result.metric,
    }
    rows = run.comparison
    if result.classifier is not None:
        rows, wanted["classifier"] = run.external, result.classifier
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return None if rows.empty else dict(rows.iloc[0])


def _remark(results: Sequence[Result], run: Run) -> str:
    """Return why numbers of a row have none beside them, or nothing."""
    missing = [result for result in results if _find(result, run) is None]
    if not missing:
        return ""
    why = missing[0].missing or _not_run(missing[0], run)
    if len(missing) < len(results):
        why = ", ".join(dict.fromkeys(BLOCKS[r.metric] for r in missing)) + f": {why}"
    status = " / ".join(dict.fromkeys(r.status.replace("_", " ") for r in missing))
    notes = dict.fromkeys(note for r in missing for note in r.note.split("; "))
    return f"{why} ({'; '.join([status, *notes])})"


def _not_run(result: Result, run: Run) -> str:
    """Return why this run has no number for what it could have one for."""
    if result.classifier is not None:
        return f"{result.method} with the classes of {result.classifier} was not run"
    on = f" on {result.backbone}" if result.backbone else ""
    name = result.method if result.extractor == "cam" else f"{result.method}/{result.extractor}"
    variants = run.comparison[["backbone", "method", "extractor"]]
    wanted = [result.backbone or run.backbone, result.method, result.extractor]
    ran = (variants == wanted).all(axis=1).any()
    if ran and not has_boxes(run.comparison):
        return "the test images have no true boxes"
    if ran and RULES[result.rule] == "graph_cut":
        return f"sweep.graph_cut.extractors does not name {result.extractor}"
    return f"{name}{on} was not run"


def _verdicts(paper: Paper, claims: pd.DataFrame) -> dict[str, str]:
    """Return the verdict on each claim by the id of the reported number that should be higher."""
    judged = dict(zip(claims["claim"], claims["verdict"], strict=True))
    rows = {result.id: result.row for result in paper.results}
    return {
        claim.reported.worse: f"{rows[claim.reported.better]} is lower: {judged[claim.id]}"
        for claim in paper.claims
        if claim.reported and claim.id in judged
    }


def _caption(key: str, first: Result, paper: Paper, run: Run) -> str:
    images, seeds = int(run.comparison["images"].max()), seeds_text(run.comparison)
    text = (
        f"{TITLES.get(key, key)}. Errors in per cent. Reproduced: "
        f"{run.backbone}, or the network that a row names, on {run.dataset}, {images} test images, "
        f"{seeds}, {level_text(run.confidence)} intervals, at the map threshold "
        f"{run.selection} (GraphCut: none). A dash is no number, in the paper or in this run; the "
        "remark says why, "
        "with status and sources as in paper.yaml."
    )
    if first.dataset == run.theirs:
        return f"{text} Difference: reproduced less reported, in points."
    where = paper.title_of(first.dataset)
    return f"{text} Reported numbers are of {where}: compare the order of rows, not the level."
