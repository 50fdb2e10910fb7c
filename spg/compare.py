"""Stage ``compare``: all cells of a data set -> reproduced against reported, with verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from spg.claims import Errors, claims_table, named_interval
from spg.config import Params
from spg.data.manifest import boxes_of, read_manifest
from spg.details import detail_tables
from spg.errors import UserError
from spg.evaluate import KINDS, cell_errors
from spg.files import write_json, write_text
from spg.metrics.boxes import box_iou, center_box, whole_image_box
from spg.metrics.localization import ERRORS
from spg.paper import Paper, load_paper
from spg.schema import ComparisonParams
from spg.stats import seed_spread
from spg.variants import Variant, grid
from spg.workspace import Cell, Workspace

BASELINES = {"center_box": center_box, "whole_image": whole_image_box}


def compare(workspace: Workspace, params: Params, dataset: str) -> None:
    """Write the tables of the report as CSV, and summary.json, which DVC shows."""
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
    claims = claims_table(errors, paper, params)
    folder = workspace.report(dataset)
    every = {"comparison": comparison, "claims": claims}
    every |= detail_tables(workspace, params, dataset, tables)
    for name, table in every.items():
        text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_text(folder / f"{name}.csv", text)
    write_json(folder / "summary.json", summary(comparison, claims))


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
        for kind in kinds:
            cells = [cell_errors(table, kind, iou_threshold=iou_threshold) for table in seeds]
            for metric in (name for name in ERRORS if name in cells[0]):
                stacked = np.stack([cell[metric] for cell in cells]).astype(np.float64)
                errors[variant, kind, metric] = stacked  # [S, N]
    return errors


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
    """Return one row for each variant, threshold kind and metric, beside the reported number.

    Values are fractions; ``reported`` is too, and belongs to ``reported_dataset``.
    """
    rows = []
    for (variant, kind, metric), values in errors.items():
        interval = named_interval(values, params, variant, kind, metric)
        reported = _reported(paper, variant, metric)
        rows.append(
            {
                **variant._asdict(),
                "threshold": kind,
                "metric": metric,
                **interval._asdict(),
                "seed_std": seed_spread(values),
                "seeds": values.shape[0],
                "images": values.shape[1],
                **reported,
            }
        )
    return pd.DataFrame(rows)


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


def _reported(paper: Paper, variant: Variant, metric: str) -> dict[str, Any]:
    own = variant.extractor == "cam"
    found = [r for r in paper.results if own and (r.method, r.metric) == (variant.method, metric)]
    ilsvrc = [result for result in found if result.dataset == "ilsvrc"]
    if not ilsvrc:
        return {"reported": None, "reported_dataset": None, "reported_table": None}
    first = ilsvrc[0]
    return {
        "reported": first.value / 100,
        "reported_dataset": first.dataset,
        "reported_table": first.table,
    }


def _per_image(workspace: Workspace, cell: Cell, extractor: str) -> pd.DataFrame:
    path = workspace.evaluation(cell) / "per_image.parquet"
    if not path.exists():
        raise UserError(f"{path}: no such file; run `spg evaluate` for this cell, or `dvc repro`")
    table = pd.read_parquet(path)
    return table[table["extractor"] == extractor].reset_index(drop=True)
