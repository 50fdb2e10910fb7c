"""Thresholds by pseudo-boxes and percentiles with their thresholds, through sweep and evaluate."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import sharing

from spg.data.images.manifest import SCHEMA, boxes_of, read_manifest, write_manifest
from spg.data.results.tables import read_table
from spg.evaluate.image_errors import select_threshold
from spg.evaluate.metrics.boxes import best_iou
from spg.evaluate.metrics.maps import localization_map
from spg.evaluate.metrics.rules import largest_box
from spg.evaluate.stage import evaluate_cell
from spg.evaluate.sweep.stage import sweep_cell
from spg.project.files import read_json
from spg.tools.normalizations.stage import measure_normalizations

NAME = "synthetic_birds"
GRID = np.arange(1, 10) / 10
PERCENTILES = [0.2, 0.6, 0.8]


def measured(workspace, params, cell):
    sweep_cell(workspace, params, cell)
    evaluate_cell(workspace, params, cell)
    table = read_table(workspace.evaluation(cell) / "per_image.parquet")
    metrics = read_json(workspace.evaluation(cell) / "metrics.json")["cam"]
    return metrics, table[table["extractor"] == "cam"]


def under(params, **changes):
    evaluation = {"percentile": changes.pop("percentile", 0.6)}
    return params.model_copy(
        update={
            "sweep": params.sweep.model_copy(update=changes),
            "evaluation": params.evaluation.model_copy(update=evaluation),
        }
    )


# ---- Pseudo-boxes ----


@pytest.fixture
def proposed(finished, tmp_path):
    """The finished project, whose held-out images have small proposed boxes in a corner."""
    workspace = sharing(finished, tmp_path, "maps")
    folder = workspace.packed(NAME)
    folder.mkdir(parents=True)
    for path in finished.packed(NAME).iterdir():
        if path.name != "manifest.parquet":
            (folder / path.name).symlink_to(path.resolve())
    rows = pq.read_table(finished.packed(NAME) / "manifest.parquet").to_pylist()
    rng = np.random.default_rng(0)
    for row in rows:
        if row["split"] == "train_fullsup":
            x, y, w, h = (int(v) for v in (*rng.integers(0, 15, 2), *rng.integers(12, 25, 2)))
            row["pseudo_boxes"] = [[float(x), float(y), float(x + w), float(y + h)]]
    write_manifest(folder / "manifest.parquet", pa.Table.from_pylist(rows, SCHEMA))
    return workspace


def test_proposed_boxes_choose_a_threshold_of_their_own(proposed, finished, two_methods, cell_of):
    cell = cell_of("spg")
    metrics, table = measured(proposed, two_methods, cell)
    manifest = read_manifest(proposed.packed(NAME) / "manifest.parquet").set_index("image_id")
    order = read_table(proposed.maps(cell) / "scores.parquet")["image_id"]
    maps = np.load(proposed.maps(cell) / "cam.npy")
    wrong = []
    for image_id, raw_map in zip(order, maps, strict=True):
        row = manifest.loc[image_id]
        if row["split"] == "train_fullsup":
            loc_map = localization_map(raw_map, (row["width"], row["height"]))
            boxes = boxes_of(row["pseudo_boxes"])
            found = [best_iou(largest_box(loc_map >= t)[None], boxes)[0] for t in GRID]
            wrong.append(np.array(found) < 0.5)
    chosen = select_threshold(np.mean(wrong, axis=0), GRID)
    assert metrics["pseudo"]["map_threshold"] == chosen
    assert metrics["pseudo"]["gt_known_loc_err"] == (table["iou_pseudo"] < 0.5).mean()
    before = read_json(finished.evaluation(cell) / "metrics.json")["cam"]
    assert {k: v for k, v in metrics.items() if "pseudo" not in k} == before


def test_without_proposals_there_is_no_such_kind(finished, cell_of):
    metrics = read_json(finished.evaluation(cell_of("spg")) / "metrics.json")["cam"]
    assert "pseudo" not in metrics
    table = read_table(finished.evaluation(cell_of("spg")) / "per_image.parquet")
    assert not [name for name in table if "pseudo" in name]


# ---- Percentiles ----


@pytest.fixture(scope="module")
def alone(finished, tmp_path_factory, two_methods, cell_of):
    """What each percentile gives by itself."""
    found = {}
    for percentile in PERCENTILES:
        workspace = sharing(finished, tmp_path_factory.mktemp("alone"), "data", "maps")
        params = under(
            two_methods, normalization="ivr", percentiles=[percentile], percentile=percentile
        )
        metrics, table = measured(workspace, params, cell_of("spg"))
        sweep = read_table(workspace.sweep(cell_of("spg")) / "sweep.parquet")
        found[percentile] = metrics, table, sweep[sweep["extractor"] == "cam"]
    return found


def errors_of(sweep, split):
    own = sweep[sweep["split"] == split]
    return (np.stack(own["iou"].to_list()) < 0.5).mean(axis=0)


def test_the_pair_of_percentile_and_threshold_is_chosen_together(
    alone, finished, tmp_path, two_methods, cell_of
):
    workspace = sharing(finished, tmp_path, "data", "maps")
    params = under(two_methods, normalization="ivr", percentiles=PERCENTILES)
    metrics, table = measured(workspace, params, cell_of("spg"))
    for kind, split in (("selected", "train_fullsup"), ("oracle", "test")):
        curves = {p: errors_of(sweep, split) for p, (_, _, sweep) in alone.items()}
        percentile, threshold = metrics[kind]["percentile"], metrics[kind]["map_threshold"]
        place = int(np.abs(GRID - threshold).argmin())
        assert curves[percentile][place] == min(curve.min() for curve in curves.values())
        want = alone[percentile][2]
        iou = np.stack(want[want["split"] == "test"]["iou"].to_list())[:, place]
        assert table[f"iou_{kind}"].tolist() == iou.tolist()
        assert metrics[kind]["gt_known_loc_err"] == (iou < 0.5).mean()
    fixed = alone[0.6]
    assert metrics["fixed"] == {**fixed[0]["fixed"], "percentile": 0.6}
    assert metrics["cam_code"] == fixed[0]["cam_code"]
    selected = alone[metrics["selected"]["percentile"]][0]
    for name in ("px_ap", "peak_p_iou", "max_box_acc", "max_box_acc_v2", "object_energy"):
        assert metrics[name] == selected[name]
    assert table["px_ap"].mean() == pytest.approx(metrics["px_ap"])
    assert table["peak_p_iou"].mean() == pytest.approx(metrics["peak_p_iou"])


@pytest.mark.parametrize("name", ["max", "pas"])
def test_a_normalization_without_percentiles_has_none(
    finished, tmp_path, two_methods, cell_of, name
):
    workspace = sharing(finished, tmp_path, "data", "maps")
    metrics, table = measured(workspace, under(two_methods, normalization=name), cell_of("spg"))
    assert "percentile" not in metrics["selected"]
    assert table["percentile_selected"].isna().all()
    assert read_json(workspace.sweep(cell_of("spg")) / "sweep.json")["percentiles"] == []


# ---- All four ----


def test_the_study_has_every_variant_under_every_normalization(finished, tmp_path, two_methods):
    workspace = sharing(finished, tmp_path, "data", "maps", "eval", "sweep")
    workspace.paper_file.symlink_to(finished.paper_file)
    params = under(two_methods, percentiles=PERCENTILES)
    measure_normalizations(workspace, params, NAME)
    folder = workspace.report(NAME) / "normalizations"
    errors, claims = (read_table(folder / f"{name}.csv") for name in ("errors", "claims"))
    assert list(dict.fromkeys(errors["normalization"])) == ["min_max", "max", "pas", "ivr"]
    keys = ["backbone", "method", "extractor", "metric"]
    sizes = errors.groupby("normalization").size()
    assert sizes.nunique() == 1
    assert not errors.duplicated(["normalization", *keys]).any()
    assert set(errors["metric"]) == {"gt_known_loc_err", "max_box_acc_v2", "px_ap"}
    pipeline = read_table(finished.report(NAME) / "comparison.csv").set_index([*keys, "threshold"])
    own = errors[errors["normalization"] == "min_max"].set_index([*keys, "threshold"])
    columns = ["mean", "low", "high", "seeds", "images"]
    pd.testing.assert_frame_equal(own[columns], pipeline.loc[own.index, columns])
    assert claims["verdict"].ne("not run").all()
    assert not list(workspace.scratch.glob("normalization-*"))
    before = (folder / "errors.csv").read_bytes()
    measure_normalizations(workspace, params, NAME)
    assert (folder / "errors.csv").read_bytes() == before
