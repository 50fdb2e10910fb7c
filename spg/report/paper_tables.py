"""The paper's tables, row by row: what it reports beside what this run found, as strings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from spg.compare.paper import Paper, Result
from spg.data.images.manifest import class_names
from spg.data.results.tables import read_table
from spg.project.params import Params
from spg.report.tables import (
    KIND_NAMES,
    METRIC_NAMES,
    Table,
    judged,
    not_run,
    percent,
    selection,
)

KIND = "selected"
RULES = {"threshold": KIND, "graph_cut": "graph_cut"}  # which kind of threshold a row's boxes have
DASH = "–"
BACKBONES = {"vgg16": "VGG", "inception_v3": "Inception", "resnet50": "ResNet"}
TITLES = {
    "1": "Table 1 of the paper: ILSVRC validation",
    "2": "Table 2 of the paper: CUB-200-2011 test",
    "3": "Table 3 of the paper: ILSVRC validation, boxes of SPG with labels of another classifier",
    "4": "Table 4 of the paper: ILSVRC validation, true label given",
    "ablation": "Ablations of the paper: ILSVRC validation",
    "wsolevaluation": "Table of wsolevaluation: MaxBoxAccV2, for OpenImages30k PxAP, test splits",
    "normalization": "Table of Kim and others, ICCV 2021: maps of wsolevaluation's networks, in "
    "four normalizations, MaxBoxAccV2, for OpenImages30k PxAP, test splits",
    "wsolevaluation_v1": "Means of wsolevaluation's first version: MaxBoxAcc, OpenImages30k PxAP",
    "hal": "The authors' checkpoints, evaluated by halbielee/SPG_pytorch",
}
# The tables of accuracies, and which of ours stands beside them.
ACCURACIES = {
    "wsolevaluation": "max_box_acc_v2",
    "wsolevaluation_v1": "max_box_acc",
    "hal": None,
    "normalization": "max_box_acc_v2",
}
ACCURACY_DIGITS = {"wsolevaluation": 1, "wsolevaluation_v1": 1, "hal": 3, "normalization": 2}
"""After the point, as printed."""
ORACLE = (
    "the threshold is the one that is best on the test images. Reproduced: mean and standard "
    "deviation of the seeds."
)
SINGLE_THRESHOLD = (
    "images squashed to 224 x 224, one threshold (0.2 by default, 0.05 in its scripts), the first "
    "true box of an image alone."
)
ACCURACY_TITLES = {
    "gt_known_loc_acc": "GT-known loc. acc.",
    "top1_loc_acc": "Top-1 loc. acc.",
    "top5_loc_acc": "Top-5 loc. acc.",
    "top1_cls_acc": "Top-1 cls. acc.",
    "top5_cls_acc": "Top-5 cls. acc.",
}
# The starred rows' top-5 error stands in the paper's column of top-5 errors.
BLOCKS = {**METRIC_NAMES, "top5_loc_star_err": METRIC_NAMES["top5_loc_err"]}


class Run(NamedTuple):
    """What ``compare`` found, and how to show it."""

    dataset: str
    theirs: str | None
    """Which of the paper's data sets that is (:meth:`spg.compare.paper.Paper.whole`)."""
    backbone: str
    """The one that stands beside the paper's, where there are several."""
    comparison: pd.DataFrame
    external: pd.DataFrame
    """The same with the classes of external classifiers."""
    accuracies: pd.DataFrame
    claims: pd.DataFrame
    confidence: float
    digits: int
    selection: str
    """How thresholds were selected, as :func:`spg.report.tables.selection` says it."""
    normalization: str
    """Of the maps."""


def read_run(
    folder: Path, params: Params, dataset: str, manifest: pd.DataFrame, paper: Paper
) -> Run:
    """Return what ``compare`` left in a report's folder, and how params.yaml wants it shown.

    Args:
        folder: of the report.
        params: all parameters.
        dataset: whose report.
        manifest: of all its images.
        paper: what is reported.
    """
    entry = params.datasets[dataset]
    return Run(
        dataset=dataset,
        theirs=paper.whole(entry.source.kind, len(class_names(manifest))),
        backbone=params.backbones[0],
        comparison=read_table(folder / "comparison.csv"),
        external=read_table(folder / "external.csv"),
        accuracies=read_table(folder / "accuracies.csv"),
        claims=read_table(folder / "claims.csv"),
        confidence=params.comparison.confidence,
        digits=params.report.digits,
        selection=selection(manifest, params.evaluation.folds, entry.prepare),
        normalization=params.sweep.normalization,
    )


def reported_numbers(paper: Paper, theirs: str | None) -> str:
    """Return which numbers stand in columns called *reported*, as the end of a sentence.

    Args:
        paper: what is reported.
        theirs: which of the paper's data sets the run's is.
    """
    where = paper.stands_beside(theirs)
    text = f"on {paper.title_of(where)} with the paper's own network, where it has a number"
    if where == theirs:
        return text
    return f"{text}; only the order of rows can be compared, not the level"


def paper_tables(paper: Paper, run: Run) -> list[Table]:
    """Return every table of paper.yaml, row by row, in its order.

    A row that this run has no number for shows a dash and the reason, with what paper.yaml says of
    the number. A verdict stands in the row that SPG is compared with.
    """
    keys = dict.fromkeys(result.table for result in paper.results)
    return [
        (_accuracy_table if key in ACCURACIES else _paper_table)(key, paper, run) for key in keys
    ]


def claims_table(paper: Paper, run: Run) -> Table:
    """Return the claims with their tests; see :mod:`spg.compare.claims` for the columns."""
    interval = f"{run.confidence:.0%} interval"
    claims = judged(run.claims)
    rows = [
        {
            "claim": row["text"],
            "reported gain, points": _number(row["reported_points"], run.digits),
            "reported on": DASH
            if pd.isna(row["reported_dataset"])
            else paper.title_of(row["reported_dataset"]),
            f"reproduced gain ({interval})": _with_interval(row, run.digits),
            "p, McNemar": _number(row["p_mcnemar"], 3),
            "p, images and seeds": _number(row["p_interval"], 3),
            f"p, corrected for {len(claims)} claim{'s' if len(claims) != 1 else ''}": _number(
                row["p_holm"], 3
            ),
            "power": _number(row["power"], 2),
            "detectable gain": percent(row["detectable"], 1),
            "seeds needed": _count(row["seeds_needed"]),
            "images needed": _count(row["images_needed"]),
            "verdict": row["verdict"],
        }
        for row in claims.to_dict("records")
    ]
    caption = (
        "Claims of the paper. Gain: how much lower the error of the first-named variant is, or how "
        f"much higher what is no error, on {run.dataset}, at the map threshold {run.selection}. "
        "McNemar: exact, "
        "of these trainings alone; the verdict takes the interval and the corrected p, which are "
        "of images and seeds. Power: probability to see the reported gain here. Detectable: gain "
        "that is seen with probability 0.8. Needed: to see the reported gain with that "
        "probability, or this one where none is reported, the other number as here (PROTOCOL 14). "
        + not_run(run.claims).replace("*", "")
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
        f"{title}: reported on {where}": _number(cells[0].value, 2) if cells else DASH,
        f"{title}: reproduced on {run.dataset}": (
            DASH if found is None else _with_interval(found, run.digits)
        ),
    }


def _difference(cells: Sequence[Result], run: Run) -> str:
    """Return how far ours is above the reported number: of use on its own data set alone."""
    found = _find(cells[0], run) if cells else None
    return DASH if found is None else f"{100 * found['mean'] - cells[0].value:+.{run.digits}f}"


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
    why = missing[0].missing or _not_run(missing[0])
    if len(missing) < len(results):
        why = ", ".join(dict.fromkeys(BLOCKS[r.metric] for r in missing)) + f": {why}"
    status = " / ".join(dict.fromkeys(r.status.replace("_", " ") for r in missing))
    notes = dict.fromkeys(note for r in missing for note in r.note.split("; "))
    return f"{why} ({'; '.join([status, *notes])})"


def _not_run(result: Result) -> str:
    if result.classifier is not None:
        return f"{result.method} with the classes of {result.classifier} was not run"
    on = f" on {result.backbone}" if result.backbone else ""
    name = result.method if result.extractor == "cam" else f"{result.method}/{result.extractor}"
    return f"{name}{on} was not run"


def _accuracy_table(key: str, paper: Paper, run: Run) -> Table:
    """Return a table of accuracies: all that is reported, and ours of this run in one column."""
    results = [result for result in paper.results if result.table == key]
    metric = ACCURACIES[key]
    lines: dict[str, dict[str, str]] = {}
    for result in results:
        line = lines.setdefault(result.row, {"method": result.row})
        line[_column(result, paper)] = f"{result.value:.{ACCURACY_DIGITS[key]}f}"
    for result in results:
        line = lines[result.row]
        if metric is not None:
            line[f"reproduced: {run.backbone} on {run.dataset}"] = _accuracy(result, metric, run)
        line["remark"] = result.missing or ""
    how = ORACLE if metric else SINGLE_THRESHOLD
    confirmed = sum(result.status == "confirmed" for result in results)
    sources = "Single source."
    if confirmed:
        sources = f"A second source confirms {confirmed} of {len(results)} numbers (paper.yaml)."
    caption = f"{TITLES[key]}. Accuracies in per cent, higher is better; {how} {sources}"
    return Table(f"table_{key}", caption, pd.DataFrame(list(lines.values())))


def _column(result: Result, paper: Paper) -> str:
    if result.metric in ACCURACY_TITLES:
        return ACCURACY_TITLES[result.metric]
    if result.dataset == "mean":
        return "mean of the data sets"
    name = BACKBONES.get(str(result.backbone), str(result.backbone))
    return f"{paper.datasets[result.dataset].short}, {name}"


def _accuracy(result: Result, metric: str, run: Run) -> str:
    """Return ours, mean and spread of the seeds, or a dash; maps are normalized as theirs."""
    if result.normalization != run.normalization:
        return DASH
    wanted = {"backbone": run.backbone, "method": result.method, "extractor": result.extractor}
    rows = run.accuracies
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    if rows.empty:
        return DASH
    return f"{percent(rows.iloc[0][metric], 1)} ± {percent(rows.iloc[0][f'{metric}_std'], 1)}"


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
    images, seeds = int(run.comparison["images"].max()), int(run.comparison["seeds"].max())
    text = (
        f"{TITLES.get(key, key)}. Errors in per cent. Reproduced: "
        f"{run.backbone} on {run.dataset}, {images} test images, {seeds} seed"
        f"{'s' if seeds > 1 else ''}, {run.confidence:.0%} intervals, at the map threshold "
        f"{run.selection} (GraphCut: none). A dash is no number, in the paper or in this run; the "
        "remark says why, "
        "with status and sources as in paper.yaml."
    )
    if first.dataset == run.theirs:
        return f"{text} Difference: reproduced less reported, in points."
    where = paper.title_of(first.dataset)
    return f"{text} Reported numbers are of {where}: compare the order of rows, not the level."


def _with_interval(row: dict[str, Any], digits: int) -> str:
    if pd.isna(row["mean"]):
        return DASH
    mean, low, high = (percent(row[name], digits) for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def _number(value: Any, digits: int) -> str:
    return DASH if pd.isna(value) else f"{float(value):.{digits}f}"
