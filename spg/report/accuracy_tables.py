"""The tables of accuracies that others report, wsolevaluation's first, with ours beside them.

Ours stand there for every backbone that ran, with the difference where the images are those of the
reported number; on another data set only the order of rows can be compared. The mean over all data
sets is of several reports: :func:`whole_table`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from spg.compare.paper import Paper, Result
from spg.project.errors import UserError
from spg.report.formats import DASH, percent, with_interval
from spg.report.run import Measured, Run
from spg.report.tables import Table

TITLES = {
    "wsolevaluation": "Table of wsolevaluation: MaxBoxAccV2, for OpenImages30k PxAP, test splits",
    "normalization": "Table of Kim and others, ICCV 2021: maps of wsolevaluation's networks, in "
    "four normalizations, MaxBoxAccV2, for OpenImages30k PxAP, test splits",
    "wsolevaluation_v1": "Means of wsolevaluation's first version: MaxBoxAcc, OpenImages30k PxAP",
    "hal": "The authors' checkpoints, evaluated by halbielee/SPG_pytorch",
}
TABLES = {
    "wsolevaluation": "max_box_acc_v2",
    "wsolevaluation_v1": "max_box_acc",
    "hal": None,
    "normalization": "max_box_acc_v2",
}
"""The tables, and which of ours stands beside them; PxAP where that is what is reported."""
DIGITS = {"wsolevaluation": 1, "wsolevaluation_v1": 1, "hal": 3, "normalization": 2}
"""After the point, as printed."""
BACKBONES = {"vgg16": "VGG", "inception_v3": "Inception", "resnet50": "ResNet", "mean": "mean"}
REPRODUCED = (
    "Reproduced: one decimal, with the interval over images and seeds where a number has one, else "
    "with the standard deviation of the seeds; means of backbones or data sets have neither."
)
ORACLE = f"the threshold is the one that is best on the test images. {REPRODUCED}"
SINGLE_THRESHOLD = (
    "images squashed to 224 x 224, one threshold (0.2 by default, 0.05 in its scripts), the first "
    "true box of an image alone."
)
COLUMN_TITLES = {
    "gt_known_loc_acc": "GT-known loc. acc.",
    "top1_loc_acc": "Top-1 loc. acc.",
    "top5_loc_acc": "Top-5 loc. acc.",
    "top1_cls_acc": "Top-1 cls. acc.",
    "top5_cls_acc": "Top-5 cls. acc.",
}


def reported_accuracies(key: str, paper: Paper, run: Run) -> Table:
    """Return one table: all that is reported, row by row, and ours beside it.

    Args:
        key: of the table in paper.yaml.
        paper: what is reported.
        run: what this run found.
    """
    results = [result for result in paper.results if result.table == key]
    metric, same = _metric(results, TABLES[key], run), _same(results, run)
    by_row: dict[str, list[Result]] = {}
    for result in results:
        by_row.setdefault(result.row, []).append(result)
    lines = []
    for name, own in by_row.items():
        line = {"method": name}
        line |= {_column(one, paper): f"{one.value:.{DIGITS[key]}f}" for one in own}
        if metric is not None:
            line |= _reproduced(own, metric, same, run)
        lines.append(line | {"remark": own[0].missing or ""})
    confirmed = sum(result.status == "confirmed" for result in results)
    sources = "Single source."
    if confirmed:
        sources = f"A second source confirms {confirmed} of {len(results)} numbers (paper.yaml)."
    how = SINGLE_THRESHOLD if metric is None else ORACLE
    apart = " Difference: reproduced less reported, in points." if metric and same else ""
    other = f" Ours are of the evaluator `{run.evaluator}`." if _is_other(run) else ""
    counted = other if metric else ""
    caption = (
        f"{TITLES[key]}. Accuracies in per cent, higher is better; {how}{counted}{apart} {sources}"
    )
    return Table(f"table_{key}", caption, pd.DataFrame(lines))


def whole_table(paper: Paper, reports: Sequence[Measured]) -> Table:
    """Return wsolevaluation's table as it is printed, with what some reports found below each row.

    A backbone that did not run has a dash, and so have a mean of backbones that lacks one and the
    mean over the data sets where one of them is not there.

    Args:
        paper: what is reported.
        reports: each on another of the table's data sets.

    Raises:
        UserError: when one is on another data set than the table's, or two on the same.
    """
    key = "wsolevaluation"
    results = [result for result in paper.results if result.table == key]
    ours = _on_their_data(results, reports)
    lines = []
    for name in dict.fromkeys(result.row for result in results):
        own = [result for result in results if result.row == name]
        found = {_column(one, paper): _of(one, own, key, ours) for one in own}
        reported = {_column(one, paper): one.value for one in own}
        lines += [
            {"method": name} | {column: f"{value:.1f}" for column, value in reported.items()},
            {"method": "reproduced"} | {column: _text(row) for column, row in found.items()},
            {"method": "difference"}
            | {column: _difference(row, reported[column]) for column, row in found.items()},
        ]
    caption = f"{TITLES[key]}. In per cent, higher is better; {ORACLE} Difference: in points."
    return Table(key, caption, pd.DataFrame(lines))


def _on_their_data(results: Sequence[Result], reports: Sequence[Measured]) -> dict[str, Measured]:
    """Return the reports by the data set of the table that each is on."""
    known = {result.dataset for result in results} - {"mean"}
    found: dict[str, Measured] = {}
    for report in reports:
        if report.theirs not in known:
            raise UserError(
                f"{report.dataset}: wsolevaluation's table is of {', '.join(sorted(known))}, whole"
            )
        if _is_other(report):
            raise UserError(
                f"{report.dataset}: its boxes are those of the evaluator {report.evaluator!r}; set "
                "sweep.protocol: wsolevaluation in params.yaml and run `dvc repro`"
            )
        if report.theirs in found:
            raise UserError(f"{report.dataset}: two reports are on {report.theirs}; name one")
        found[report.theirs] = report
    return found


def _is_other(run: Run | Measured) -> bool:
    """Return whether boxes and pixels were counted otherwise than in these tables."""
    return run.evaluator != "wsolevaluation"


def _of(
    result: Result, own: Sequence[Result], key: str, ours: Mapping[str, Measured]
) -> dict[str, Any] | None:
    """Return ours of one number of a row, of the mean over the data sets too."""
    if result.dataset != "mean":
        run = ours.get(result.dataset)
        metric = None if run is None else _metric(own, TABLES[key], run)
        if run is None or metric is None:
            return None
        return _by_backbone(own, metric, run).get(str(result.backbone))
    sets = dict.fromkeys(one.dataset for one in own if one.dataset != "mean")
    means = [next(o for o in own if (o.dataset, o.backbone) == (name, "mean")) for name in sets]
    return _mean([_of(one, own, key, ours) for one in means])


def _mean(rows: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """Return the mean of some numbers, or None where one is missing."""
    known = [row["mean"] for row in rows if row is not None]
    return {"mean": sum(known) / len(known)} if known and len(known) == len(rows) else None


def _metric(results: Sequence[Result], metric: str | None, run: Run | Measured) -> str | None:
    """Return what of ours stands beside a table: what it reports on this very data set, if so."""
    on_ours = {result.metric for result in results if result.dataset == run.theirs}
    return metric if metric is None or metric in on_ours or not on_ours else on_ours.pop()


def _same(results: Sequence[Result], run: Run) -> bool:
    """Return whether something of the run's own data set is reported."""
    return any(result.dataset == run.theirs for result in results)


def _reproduced(own: Sequence[Result], metric: str, same: bool, run: Run) -> dict[str, str]:
    """Return ours of one row: a column for each backbone that ran, and their mean."""
    reported = {str(one.backbone): one.value for one in own if one.dataset == run.theirs}
    cells = {}
    for name, row in _by_backbone(own, metric, run).items():
        title = BACKBONES.get(name, name)
        cells[f"reproduced on {run.dataset}, {title}"] = _text(row)
        if same:
            cells[f"difference, {title}"] = _difference(row, reported.get(name))
    return cells


def _by_backbone(
    own: Sequence[Result], metric: str, run: Run | Measured
) -> dict[str, dict[str, Any] | None]:
    """Return ours of one row by backbone, their mean too where one is reported."""
    found = {name: _found(own[0], name, metric, run) for name in _backbones(run)}
    if any((one.dataset, one.backbone) == (run.theirs, "mean") for one in own):
        found["mean"] = _mean([found.get(name) for name in BACKBONES if name != "mean"])
    return found


def _backbones(run: Run | Measured) -> list[str]:
    """Return those that ran; the naive boxes have none."""
    return [name for name in dict.fromkeys(run.accuracies["backbone"]) if name != "none"]


def _found(
    result: Result, backbone: str, metric: str, run: Run | Measured
) -> dict[str, Any] | None:
    """Return our number beside a reported one; of maps that are normalized as theirs alone."""
    if result.method is None or result.normalization != run.normalization:
        return None
    wanted = {"backbone": backbone, "method": result.method, "extractor": result.extractor}
    compared = _where(run.comparison, wanted | {"metric": metric})
    if compared:
        return compared
    row = _where(run.accuracies, wanted)
    if row is None or pd.isna(row[metric]):
        return None
    other = _where(run.comparison, wanted)
    once = other is not None and other["seeds"] == 1  # one seed has no spread
    return {"mean": row[metric]} | ({} if once else {"std": row[f"{metric}_std"]})


def _difference(row: Mapping[str, Any] | None, reported: float | None) -> str:
    """Return ours less a reported number, which is in per cent, or a dash where one is missing."""
    if row is None or reported is None:
        return DASH
    return f"{100 * row['mean'] - reported:+.1f}"


def _where(table: pd.DataFrame, wanted: Mapping[str, str]) -> dict[str, Any] | None:
    for column, value in wanted.items():
        table = table[table[column] == value]
    return None if table.empty else dict(table.iloc[0])


def _text(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return DASH
    if "low" in row:
        return with_interval(row, 1)
    spread = f" ± {percent(row['std'], 1)}" if "std" in row else ""
    return f"{percent(row['mean'], 1)}{spread}"


def _column(result: Result, paper: Paper) -> str:
    if result.metric in COLUMN_TITLES:
        return COLUMN_TITLES[result.metric]
    if result.dataset == "mean":
        return "mean of the data sets"
    name = BACKBONES.get(str(result.backbone), str(result.backbone))
    return f"{paper.datasets[result.dataset].short}, {name}"
