"""Stage ``compare``: all cells of a data set -> reproduced against reported, with verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from spg.compare.claims import Errors, claims_table, named_interval
from spg.compare.other_classes import classifiers_of, external_guesses, with_classes
from spg.compare.paper import Paper, load_paper
from spg.compare.side_tables import detail_tables
from spg.compare.statistics.intervals import Interval, seed_spread
from spg.compare.variants import Variant, grid
from spg.data.images.manifest import boxes_of, read_manifest
from spg.data.results.tables import read_table
from spg.evaluate.image_errors import ERRORS
from spg.evaluate.metrics.boxes import box_iou, center_box, whole_image_box
from spg.evaluate.stage import KINDS, cell_errors, kinds_of
from spg.project.errors import UserError
from spg.project.files import whole_files, write_json, write_text
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.schema import ComparisonParams
from spg.project.workspace import Cell, Workspace

BASELINES = {"center_box": center_box, "whole_image": whole_image_box}
EXTERNAL_KINDS = ("selected",)  # of the threshold, in external.csv
OWN_CLASSES = "own"
COLUMNS = (
    *Variant._fields, "classifier", "threshold", "metric", *Interval._fields, "seed_std", "seeds",
    "images", "reported", "reported_dataset", "reported_table",
)  # fmt: skip


@sole_writer(Workspace.report)
def compare(workspace: Workspace, params: Params, dataset: str) -> None:
    """Write the tables of the report as CSV, and summary.json, which DVC shows.

    external.csv is comparison.csv with the classes of each external classifier (Table 3).
    """
    paper = load_paper(workspace.paper_file)
    tables = {
        variant: [_per_image(workspace, cell, variant.extractor) for cell in cells]
        for variant, cells in grid(params, dataset).items()
    }
    delta = params.evaluation.iou_threshold
    errors = collect_errors(tables, iou_threshold=delta)
    manifest = read_manifest(workspace.packed(dataset) / "manifest.parquet")
    errors |= baseline_errors(manifest, next(iter(tables.values())), iou_threshold=delta)
    comparison = comparison_table(errors, paper, params.comparison)
    external = external_table(workspace, params, dataset, tables)
    claims = claims_table(errors, paper, params)
    folder = workspace.report(dataset)
    every = {"comparison": comparison, "claims": claims, "external": external}
    every |= detail_tables(workspace, params, dataset, tables)
    with whole_files(folder, *(f"{name}.csv" for name in every), "summary.json") as temporary:
        for name, table in every.items():
            text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
            write_text(temporary / f"{name}.csv", text)
        write_json(temporary / "summary.json", summary(comparison, claims))


def collect_errors(
    tables: dict[Variant, list[pd.DataFrame]],
    *,
    iou_threshold: float,
    kinds: tuple[str, ...] = KINDS,
) -> Errors:
    """Stack the per-image errors of each variant's seeds.

    Raises:
        UserError: when two cells were not evaluated on the same images.
    """
    images = [table["image_id"].to_numpy() for seeds in tables.values() for table in seeds]
    if any(not np.array_equal(ids, images[0]) for ids in images):
        raise UserError("eval/: cells were evaluated on different images; run `dvc repro`")
    errors: Errors = {}
    for variant, seeds in tables.items():
        for kind in kinds_of(seeds[0], kinds):
            cells = [cell_errors(table, kind, iou_threshold=iou_threshold) for table in seeds]
            for metric in (name for name in ERRORS if name in cells[0]):
                stacked = np.stack([cell[metric] for cell in cells]).astype(np.float64)
                errors[variant, kind, metric] = stacked  # [S, N]
    return errors


def external_table(
    workspace: Workspace, params: Params, dataset: str, tables: dict[Variant, list[pd.DataFrame]]
) -> pd.DataFrame:
    """Return :func:`comparison_rows` with each external classifier's classes, and its name."""
    paper, delta = load_paper(workspace.paper_file), params.evaluation.iou_threshold
    rows = []
    for name, members in classifiers_of(params).items():
        guesses = external_guesses(workspace, dataset, members)
        theirs = {
            variant: [with_classes(table, guesses) for table in seeds]
            for variant, seeds in tables.items()
        }
        errors = collect_errors(theirs, iou_threshold=delta, kinds=EXTERNAL_KINDS)
        rows += comparison_rows(errors, paper, params.comparison, classifier=name)
    return pd.DataFrame(rows, columns=COLUMNS)


def baseline_errors(
    manifest: pd.DataFrame, classifier: list[pd.DataFrame], *, iou_threshold: float
) -> Errors:
    """Return the errors of the naive boxes, which need no threshold (PROTOCOL 16).

    Args:
        manifest: sizes and true boxes.
        classifier: per-image tables of one variant, a seed each; a naive box names no class, so
            these classes stand beside it in top-1 and top-5.
        iou_threshold: delta.
    """
    tests = manifest.set_index("image_id").loc[classifier[0]["image_id"]]
    errors: Errors = {}
    for name, guess in BASELINES.items():
        boxes = zip(tests["width"], tests["height"], tests["boxes"], strict=True)
        iou = [box_iou(guess(w, h)[None], boxes_of(true)).max() for w, h, true in boxes]
        tables = {Variant("none", name, "none"): [t.assign(iou_none=iou) for t in classifier]}
        errors |= collect_errors(tables, iou_threshold=iou_threshold, kinds=("none",))
    return errors


def comparison_table(errors: Errors, paper: Paper, params: ComparisonParams) -> pd.DataFrame:
    """Return :func:`comparison_rows` of the variants' own classes as a table."""
    return pd.DataFrame(comparison_rows(errors, paper, params), columns=COLUMNS)


def comparison_rows(
    errors: Errors, paper: Paper, params: ComparisonParams, *, classifier: str = OWN_CLASSES
) -> list[dict[str, Any]]:
    """Return one row for each variant, threshold kind and metric, beside the reported number.

    Values are fractions; ``reported`` is too, and belongs to ``reported_dataset``. ``classifier``
    is whose classes the errors are of; ``own``: the variant's.
    """
    rows = []
    for (variant, kind, metric), values in errors.items():
        interval = named_interval(values, params, variant, kind, metric)
        reported = _reported(paper, variant, metric, classifier)
        rows.append(
            {
                **variant._asdict(),
                "classifier": classifier,
                "threshold": kind,
                "metric": metric,
                **interval._asdict(),
                "seed_std": seed_spread(values),
                "seeds": values.shape[0],
                "images": values.shape[1],
                **reported,
            }
        )
    return rows


def summary(comparison: pd.DataFrame, claims: pd.DataFrame) -> dict[str, Any]:
    """Return what `dvc metrics` and `dvc exp show` display: few numbers, short names."""
    own_classes = (comparison["metric"] == "top1_cls_err") & (comparison["threshold"] == "selected")
    gt_known = comparison["metric"] == "gt_known_loc_err"
    shown_kinds = comparison["threshold"].isin(["none", "selected", "fixed"])
    shown = comparison[(gt_known & shown_kinds) | own_classes]
    several = shown["backbone"].nunique() > 2  # "none" is one of them
    result: dict[str, Any] = {}
    for row in shown.to_dict("records"):
        extractor = "" if row["extractor"] in ("cam", "none") else f"_{row['extractor']}"
        backbone = f"{row['backbone']}-" if several else ""
        at_fixed = "_fixed" if row["threshold"] == "fixed" else ""
        line = result.setdefault(f"{backbone}{row['method']}{extractor}", {})
        line[f"{row['metric']}{at_fixed}"] = round(row["mean"], 6)
    judged = claims[claims["verdict"] != "not run"]
    result["gain"] = {row["claim"]: round(row["mean"], 6) for row in judged.to_dict("records")}
    return result


def _reported(paper: Paper, variant: Variant, metric: str, classifier: str) -> dict[str, Any]:
    found = paper.find(variant, metric, None if classifier == OWN_CLASSES else classifier)
    if found is None:
        return dict.fromkeys(("reported", "reported_dataset", "reported_table"))
    return {
        "reported": found.value / 100,
        "reported_dataset": found.dataset,
        "reported_table": found.table,
    }


def _per_image(workspace: Workspace, cell: Cell, extractor: str) -> pd.DataFrame:
    path = workspace.evaluation(cell) / "per_image.parquet"
    if not path.exists():
        raise UserError(f"{path}: no such file; run `spg evaluate` for this cell, or `dvc repro`")
    table = read_table(path)
    return table[table["extractor"] == extractor].reset_index(drop=True)
