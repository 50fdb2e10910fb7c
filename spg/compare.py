"""Stage ``compare``: all cells of a data set -> reproduced against reported, with verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.config import ComparisonParams, Params
from spg.data.manifest import TEST, boxes_of, read_manifest
from spg.errors import UserError
from spg.evaluate import REGIONS, cell_errors
from spg.files import write_json, write_text
from spg.metrics.boxes import box_iou, center_box, whole_image_box
from spg.metrics.localization import ERRORS, error_curve, threshold_grid
from spg.paper import Claim, Paper, Side, load_paper
from spg.seeding import generator
from spg.stats import Interval, seed_spread, two_way_interval, verdict
from spg.workspace import Cell, Workspace

KINDS = ("selected", "fixed")
CLAIMS_KIND = "selected"  # each variant at its own threshold, chosen on held-out training images
MEANINGS = {
    "reproduced": "all of it above 0",
    "not reproduced": "none of it above 0",
    "undecided": "0 lies inside, so this size cannot tell",
}
BASELINES = {"center_box": center_box, "whole_image": whole_image_box}


class Variant(NamedTuple):
    """One row of the tables: a method on a backbone, seen through an extractor."""

    backbone: str
    method: str
    extractor: str


Errors = dict[tuple[Variant, str, str], NDArray[np.float64]]
"""(variant, threshold kind, metric) -> ``Float[S, N]`` of 0 and 1."""


def compare(workspace: Workspace, params: Params, dataset: str) -> None:
    """Write comparison.csv, claims.csv, energy.csv, curves.csv, history.csv and summary.json."""
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
    _write_csv(folder / "comparison.csv", comparison)
    _write_csv(folder / "claims.csv", claims)
    _write_csv(folder / "energy.csv", energy_table(tables))
    _write_csv(folder / "curves.csv", pd.concat(_curves(workspace, params, dataset)))
    _write_csv(folder / "history.csv", pd.concat(_histories(workspace, params, dataset)))
    write_json(folder / "summary.json", summary(comparison, claims))


def grid(params: Params, dataset: str) -> dict[Variant, list[Cell]]:
    """Return the cells of each variant, seeds in order, as params.yaml lists them."""
    return {
        Variant(backbone, method, extractor): [
            Cell(dataset, backbone, method, seed) for seed in params.seeds
        ]
        for backbone in params.backbones
        for method in params.all_methods
        for extractor in params.localization.extractors[method]
    }


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
            for metric in ERRORS:
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
        interval = _interval(values, params, variant, kind, metric)
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


def claims_table(errors: Errors, paper: Paper, params: Params) -> pd.DataFrame:
    """Return one row for each claim of paper.yaml with its verdict and the sentence behind it."""
    return pd.DataFrame([_judge(claim, errors, paper, params) for claim in paper.claims])


def energy_table(tables: dict[Variant, list[pd.DataFrame]]) -> pd.DataFrame:
    """Return the mean energy and area shares of each variant, all seeds together."""
    rows = []
    for variant, seeds in tables.items():
        images = pd.concat(seeds)
        shares = {region: float(images[region].mean()) for region in REGIONS}
        rows.append({**variant._asdict(), **shares})
    return pd.DataFrame(rows)


def summary(comparison: pd.DataFrame, claims: pd.DataFrame) -> dict[str, Any]:
    """Return what `dvc metrics` and `dvc exp show` display: few numbers, short names."""
    own_classes = (comparison["metric"] == "top1_cls_err") & (comparison["threshold"] == "selected")
    shown = comparison[(comparison["metric"] == "gt_known_loc_err") | own_classes]
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


def _judge(claim: Claim, errors: Errors, paper: Paper, params: Params) -> dict[str, Any]:
    reported = paper.reported_gain(claim)
    row: dict[str, Any] = {"claim": claim.id, "text": claim.text, "reported_points": reported}
    sides = []
    for side in (claim.better, claim.worse):
        key = (_variant(side, params), CLAIMS_KIND, claim.metric)
        if key not in errors:
            method = "/".join(part for part in key[0] if part)
            return {**row, "verdict": "not run", "sentence": f"Not run: {method} has no cell here."}
        sides.append(errors[key])
    better, worse = sides
    gain = _interval(worse - better, params.comparison, claim.id)
    return {
        **row,
        **gain._asdict(),
        "verdict": verdict(gain),
        "sentence": _sentence(gain, reported, params.comparison.confidence),
    }


def _sentence(gain: Interval, reported: float | None, confidence: float) -> str:
    mean, low, high = (100 * value for value in gain)
    text = (
        f"The gain is {mean:+.2f} points, {confidence:.0%} interval {low:+.2f} to {high:+.2f}: "
        f"{MEANINGS[verdict(gain)]}"
    )
    if reported is None:
        return f"{text}."
    inside = "lies inside" if low <= reported <= high else "lies outside"
    return f"{text}; the reported {reported:.2f} {inside}."


def _variant(side: Side, params: Params) -> Variant:
    return Variant(side.backbone or params.backbones[0], side.method, side.extractor)


def _interval(values: NDArray[np.float64], params: ComparisonParams, *names: Any) -> Interval:
    return two_way_interval(
        values,
        resamples=params.resamples,
        confidence=params.confidence,
        rng=generator(params.seed, *(str(name) for name in names)),
    )


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


def _curves(workspace: Workspace, params: Params, dataset: str) -> Iterator[pd.DataFrame]:
    thresholds = threshold_grid(params.sweep.thresholds)
    for variant, cells in grid(params, dataset).items():
        for cell in cells:
            sweep = pd.read_parquet(workspace.evaluation(cell) / "sweep.parquet")
            own = sweep[(sweep["extractor"] == variant.extractor) & (sweep["split"] == TEST)]
            curve = error_curve(np.stack(list(own["iou"])), params.evaluation.iou_threshold)
            yield pd.DataFrame(
                {
                    "variant": f"{variant.method}/{variant.extractor}",
                    **variant._asdict(),
                    "seed": cell.seed,
                    "map_threshold": thresholds,
                    "gt_known_loc_err": curve,
                }
            )


def _histories(workspace: Workspace, params: Params, dataset: str) -> Iterator[pd.DataFrame]:
    order = (cell for cells in grid(params, dataset).values() for cell in cells)
    for cell in dict.fromkeys(order):
        history = pd.read_csv(workspace.run(cell) / "history.csv")
        history.insert(0, "variant", cell.method)
        history.insert(1, "seed", cell.seed)
        yield history


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
