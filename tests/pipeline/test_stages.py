"""The stages behind prepare and weights, run on a tiny project and recomputed independently."""

from __future__ import annotations

import json
import pickle
import shutil

import cv2
import numpy as np
import pandas as pd
import PIL.Image
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
import torchvision
from tiny import sharing

from spg.compare.claims import claims_table
from spg.compare.comparison import comparison_table, summary
from spg.compare.errors import collect_errors
from spg.compare.paper import Ours, load_paper
from spg.compare.stage import compare
from spg.compare.variants import Variant
from spg.data.images.manifest import TEST, boxes_of, read_manifest, write_manifest
from spg.data.images.packed import EncodedImage, PackedImages, shard_name, write_shard
from spg.data.inputs.colors import normalize_images
from spg.evaluate.image_errors import ERRORS, select_threshold
from spg.evaluate.metrics.boxes import best_iou
from spg.evaluate.metrics.graph_cut import graph_cut_box
from spg.evaluate.metrics.maps import localization_map
from spg.evaluate.per_image import COVERED, PIXEL_IOU, WHOLE_MAP
from spg.evaluate.stage import evaluate, evaluate_cell
from spg.evaluate.sweep.image import Image
from spg.evaluate.sweep.rows import graph_cut_columns
from spg.evaluate.sweep.stage import Source, sweep_cell
from spg.localize.map_file import MapWriter
from spg.localize.maps import top_classes
from spg.localize.stage import localize_cell
from spg.networks.backbones.inception_v3 import InceptionV3Stem
from spg.networks.parts.build import load_network
from spg.project.errors import UserError
from spg.project.parallel import in_order
from spg.project.params import parse_params
from spg.project.schema.evaluation import GraphCutParams

NAME = "synthetic_birds"
VARIANTS = [("spg_plain", "cam"), ("spg_plain", "grad_cam"), ("spg_plain", "backprop")]
VARIANTS += [("spg", "cam")]
SEEDS = (0, 1)
KINDS = ("fixed", "selected", "oracle")  # of a threshold on the grid
VERDICTS = {"reproduced", "not reproduced", "undecided", "not run"}


@pytest.fixture
def again(finished, tmp_path):
    """A project with the maps of the finished one and a copy of what came of them."""
    workspace = sharing(finished, tmp_path, "data", "weights", "runs", "maps")
    for folder in ("sweep", "eval"):
        shutil.copytree(finished.root / folder, workspace.root / folder)
    shutil.copy(finished.paper_file, workspace.paper_file)
    return workspace


@pytest.fixture(scope="module")
def manifest(finished):
    return read_manifest(finished.packed(NAME) / "manifest.parquet")


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def metrics_of(workspace, cell):
    return json.loads((workspace.evaluation(cell) / "metrics.json").read_text())


def per_image(workspace, cell, extractor):
    table = pd.read_parquet(workspace.evaluation(cell) / "per_image.parquet")
    return table[table["extractor"] == extractor].reset_index(drop=True)


def sweep_of(workspace, cell):
    return pd.read_parquet(workspace.sweep(cell) / "sweep.parquet")


# ---- localize ----


def test_every_stage_leaves_its_files(finished, cells):
    for cell in cells:
        assert set(files_in(finished.run(cell))) == {
            "model.safetensors", "history.csv", "epochs.safetensors", "provenance.json"
        }  # fmt: skip
        extractors = ["cam", "grad_cam", "backprop"] if cell.method == "spg_plain" else ["cam"]
        assert set(files_in(finished.maps(cell))) == {
            "scores.parquet", *(f"{name}.npy" for name in extractors)
        }  # fmt: skip
        assert set(files_in(finished.sweep(cell))) == {"sweep.parquet", "sweep.json"}
        assert set(files_in(finished.evaluation(cell))) == {
            "per_image.parquet", "curves.parquet", "metrics.json"
        }  # fmt: skip
    assert set(files_in(finished.report(NAME))) == {
        "comparison.csv", "claims.csv", "energy.csv", "outcomes.csv", "accuracies.csv",
        "curves.csv", "history.csv", "external.csv", "summary.json",
            "trace.json",
    }  # fmt: skip
    assert not list(finished.root.rglob("*.part"))
    assert not list(finished.root.rglob("*.pt"))


def test_maps_and_scores_are_those_of_the_network_in_the_manifests_order(
    finished, manifest, two_methods, cells
):
    packed = PackedImages(finished.packed(NAME))
    places = [p for p, s in enumerate(manifest["split"]) if s in ("train_fullsup", "test")]
    resize = torchvision.transforms.Resize([32, 32], antialias=True)
    pixels = [resize(torch.from_numpy(packed.image(p)).permute(2, 0, 1)) for p in places]
    images = normalize_images(torch.stack(pixels), InceptionV3Stem.colors)
    labels = torch.tensor(manifest["class_id"].to_numpy()[places])
    for cell in cells:
        model = load_network(finished, two_methods, cell, 3)
        with torch.no_grad():
            outputs = model(images)
        scores = pd.read_parquet(finished.maps(cell) / "scores.parquet")
        assert scores["image_id"].tolist() == manifest["image_id"].to_numpy()[places].tolist()
        softmax = outputs.logits.softmax(dim=1)
        for place, row in scores.iterrows():
            order = softmax[place].argsort(descending=True)
            assert [row[f"top{k}"] for k in (1, 2, 3)] == order.tolist()
            got = [row[f"score{k}"] for k in (1, 2, 3)]
            assert got == pytest.approx(softmax[place][order].tolist(), rel=1e-4)
        maps = np.load(finished.maps(cell) / "cam.npy")
        assert maps.dtype == np.float32
        want = outputs.class_maps[torch.arange(len(labels)), labels].numpy()
        assert np.allclose(maps, want, rtol=1e-4, atol=1e-5)


def test_localizing_twice_gives_the_same_bytes(finished, tmp_path, two_methods, cell_of):
    cell = cell_of("spg_plain")
    workspace = sharing(finished, tmp_path, "data", "weights", "runs")
    localize_cell(workspace, two_methods, cell)
    assert files_in(workspace.maps(cell)) == files_in(finished.maps(cell))


def test_the_best_five_classes_come_best_first():
    logits = torch.tensor([[0.0, 3.0, 1.0, -2.0, 2.0, 0.5, -1.0]])
    table = top_classes(logits.softmax(dim=1))
    assert table.columns.tolist() == [
        *(f"top{k}" for k in range(1, 6)), *(f"score{k}" for k in range(1, 6))
    ]  # fmt: skip
    assert table.iloc[0, :5].tolist() == [1, 4, 2, 5, 0]
    want = np.exp([3, 2, 1, 0.5, 0]) / np.exp(logits.numpy()).sum()
    assert table.iloc[0, 5:].tolist() == pytest.approx(want.tolist())
    assert top_classes(logits[:, :3].softmax(dim=1)).columns.tolist() == [
        "top1", "top2", "top3", "score1", "score2", "score3"
    ]  # fmt: skip


def test_maps_written_batch_by_batch_are_one_array(tmp_path):
    maps = torch.randn(7, 2, 3).numpy()
    with MapWriter(tmp_path / "maps.npy", 7) as writer:
        for start in (0, 3, 6):
            writer.append(maps[start : start + 3])
    np.save(tmp_path / "whole.npy", maps)
    assert (tmp_path / "maps.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_an_untrained_cell_is_one_sentence(tiny_workspace, tmp_path, two_methods, cell_of):
    workspace = sharing(tiny_workspace, tmp_path, "data", "weights")
    with pytest.raises(UserError, match=r"model\.safetensors: no such file; run the stage"):
        localize_cell(workspace, two_methods, cell_of("spg"))
    assert not workspace.maps(cell_of("spg")).exists()


# ---- sweep ----


def test_the_sweep_has_a_row_for_each_extractor_and_image(finished, manifest, cells):
    wanted = manifest[manifest["split"] != "train_weaksup"]
    for cell in cells:
        for _, rows in sweep_of(finished, cell).groupby("extractor"):
            assert rows["image_id"].tolist() == wanted["image_id"].tolist()
            assert rows["split"].tolist() == wanted["split"].tolist()
            iou = np.stack(rows["iou"])
            assert iou.shape == (len(wanted), 9)
            assert ((iou >= 0) & (iou <= 1)).all()


def test_areas_are_the_masks_shares_and_energies_lie_between(finished, manifest, cells):
    raw = finished.raw(NAME)
    rows = pd.concat(sweep_of(finished, cell) for cell in cells)
    for _, row in rows.iterrows():
        for kind, region in (("segmentations", "object"), ("part_segmentations", "part")):
            file = (raw / kind / row["image_id"]).with_suffix(".png")
            mask = np.asarray(PIL.Image.open(file)) > 127
            assert row[f"{region}_area"] == pytest.approx(mask.mean())
        assert 0 <= row["part_energy"] <= row["object_energy"] <= 1


def test_without_masks_energies_are_unknown_and_errors_the_same(
    finished, tmp_path, two_methods, cell_of, manifest
):
    workspace = sharing(finished, tmp_path, "maps")
    folder = workspace.packed(NAME)
    folder.mkdir(parents=True)
    image = PIL.Image.new("RGB", (8, 8))
    image.save(tmp_path / "image.png")
    content = (tmp_path / "image.png").read_bytes()
    write_shard(folder / shard_name(0), [EncodedImage(content, None, None)] * len(manifest))
    table = pq.read_table(finished.packed(NAME) / "manifest.parquet")
    write_manifest(folder / "manifest.parquet", table)
    cell = cell_of("spg")
    sweep_cell(workspace, two_methods, cell)
    evaluate_cell(workspace, two_methods, cell)
    mine, other = metrics_of(workspace, cell)["cam"], metrics_of(finished, cell)["cam"]
    for region in ("part_energy", "object_energy", "part_area", "object_area"):
        assert mine[region] is None
        assert other[region] is not None
    for kind in ("fixed", "selected"):
        assert mine[kind] == other[kind] | {PIXEL_IOU: None}
        assert 0 < other[kind][PIXEL_IOU] < 1


def test_any_number_of_held_out_images_may_come_before_the_tests(
    finished, tmp_path, two_methods, cell_of
):
    """As OpenImages30k's 2,500: tables are read some rows at a time, and no test among them."""
    workspace, cell = sharing(finished, tmp_path, "data", "maps"), cell_of("spg")
    shutil.copytree(finished.sweep(cell), workspace.sweep(cell))
    table = pq.read_table(finished.sweep(cell) / "sweep.parquet")
    tests = pc.equal(table["split"], TEST)
    held_out = table.filter(pc.invert(tests))
    many = pa.concat_tables([held_out] * (1 + 1100 // len(held_out)) + [table.filter(tests)])
    pq.write_table(many, workspace.sweep(cell) / "sweep.parquet")
    evaluate_cell(workspace, two_methods, cell)
    assert files_in(workspace.evaluation(cell)) == files_in(finished.evaluation(cell))


@pytest.fixture
def many_tasks(monkeypatch):
    """Tasks of 7, 7 and 1 of the 15 images, with as many processes as SPG_WORKERS says."""
    monkeypatch.setattr("spg.evaluate.sweep.stage.MAPS_A_TASK", 7)
    monkeypatch.setattr("spg.evaluate.sweep.stage.TASKS_A_PROCESS", 1)


@pytest.mark.usefixtures("many_tasks")
@pytest.mark.parametrize("workers", ["0", "1", "2", "3"])
def test_any_number_of_processes_sweeps_to_the_same_bytes(
    finished, tmp_path, two_methods, cell_of, monkeypatch, workers
):
    workspace, cell = sharing(finished, tmp_path, "data", "maps"), cell_of("spg_plain")
    monkeypatch.setenv("SPG_WORKERS", workers)
    sweep_cell(workspace, two_methods, cell)
    # that of one task an extractor, in this process
    assert files_in(workspace.sweep(cell)) == files_in(finished.sweep(cell))


@pytest.mark.usefixtures("many_tasks")
def test_row_groups_hold_an_extractors_rows_in_order_whatever_the_tasks(
    finished, tmp_path, two_methods, cell_of, monkeypatch
):
    workspace, cell = sharing(finished, tmp_path, "data", "maps"), cell_of("spg_plain")
    monkeypatch.setattr("spg.evaluate.sweep.stage.ROWS_PER_GROUP", 14)
    sweep_cell(workspace, two_methods, cell)
    folder, whole = workspace.sweep(cell), finished.sweep(cell)
    file = pq.ParquetFile(folder / "sweep.parquet")
    sizes = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
    assert sizes == [14, 1] * 3
    # as data frames, in which NaN is equal to itself
    want = pq.read_table(whole / "sweep.parquet").to_pandas()
    pd.testing.assert_frame_equal(file.read().to_pandas(), want, check_exact=True)
    assert files_in(folder)["sweep.json"] == files_in(whole)["sweep.json"]


@pytest.mark.parametrize(("size", "workers"), [(1, 3), (3, 1), (7, 1), (15, 0)])
def test_no_process_starts_for_a_few_maps(
    finished, tmp_path, two_methods, cell_of, monkeypatch, size, workers
):
    started = []

    def noting(run, tasks, *, workers):
        started.append(workers)
        return in_order(run, tasks, workers=0)

    monkeypatch.setattr("spg.evaluate.sweep.stage.in_order", noting)
    monkeypatch.setattr("spg.evaluate.sweep.stage.MAPS_A_TASK", size)
    monkeypatch.setenv("SPG_WORKERS", "3")
    workspace = sharing(finished, tmp_path, "data", "maps")
    sweep_cell(workspace, two_methods, cell_of("spg_plain"))  # 45 maps
    assert started == [workers]


def test_another_process_opens_a_cells_files_once(finished, cell_of):
    source = Source(finished.maps(cell_of("spg")), ("cam",), finished.packed(NAME))
    sent = pickle.dumps(source)
    assert len(sent) < 1000
    assert pickle.loads(sent) is pickle.loads(sent)


def test_this_process_sees_that_maps_have_changed(finished, tmp_path, two_methods, cell_of):
    workspace, cell = sharing(finished, tmp_path, "data"), cell_of("spg")
    shutil.copytree(finished.maps(cell), workspace.maps(cell))
    sweep_cell(workspace, two_methods, cell)
    maps = workspace.maps(cell) / "cam.npy"
    changed = -np.load(maps)
    maps.unlink()
    np.save(maps, changed)
    sweep_cell(workspace, two_methods, cell)
    mine, other = sweep_of(workspace, cell), sweep_of(finished, cell)
    assert mine["image_id"].equals(other["image_id"])
    assert not mine["object_energy"].equals(other["object_energy"])


# ---- evaluate ----


def box_by_contours(raw_map, size_wh, threshold):
    """The box rule with other libraries: torch interpolates, OpenCV finds the contours."""
    tensor = torch.from_numpy(np.array(raw_map))[None, None]
    loc_map = F.interpolate(tensor, size=size_wh[::-1], mode="bilinear")[0, 0].numpy()
    spread = np.ptp(loc_map)
    if spread == 0:
        return np.zeros(4)
    mask = ((loc_map - loc_map.min()) / spread >= threshold).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    x, y, width, height = cv2.boundingRect(max(contours, key=cv2.contourArea))
    return np.array([x, y, x + width, y + height])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "extractor"), VARIANTS)
def test_boxes_and_ious_are_those_of_the_maps(finished, manifest, cell_of, method, extractor, kind):
    same = total = 0
    for seed in SEEDS:
        cell = cell_of(method, seed)
        table = per_image(finished, cell, extractor)
        threshold = metrics_of(finished, cell)[extractor][kind]["map_threshold"]
        scores = pd.read_parquet(finished.maps(cell) / "scores.parquet")
        raw_maps = np.load(finished.maps(cell) / f"{extractor}.npy")
        maps = dict(zip(scores["image_id"], raw_maps, strict=True))
        truth = manifest.set_index("image_id")
        for _, row in table.iterrows():
            image = truth.loc[row["image_id"]]
            box = box_by_contours(
                maps[row["image_id"]], (image["width"], image["height"]), threshold
            )
            same += np.array_equal(row[f"box_{kind}"], box)
            total += 1
            iou = torchvision.ops.box_iou(
                torch.tensor(np.array([row[f"box_{kind}"]])),
                torch.from_numpy(boxes_of(image["boxes"])),
            )
            assert row[f"iou_{kind}"] == pytest.approx(float(iou.max()), abs=1e-6)
    assert total == 18
    assert same >= total - 1  # a pixel on the threshold may fall either way


def test_backprop_alone_has_boxes_by_graph_cut_in_the_original_image(
    finished, manifest, two_methods, cell_of
):
    cell, rule = cell_of("spg_plain"), two_methods.sweep.graph_cut
    sweep = sweep_of(finished, cell)
    packed = PackedImages(finished.packed("synthetic_birds"))
    raw_maps = np.load(finished.maps(cell) / "backprop.npy")
    own = sweep[sweep["extractor"] == "backprop"].reset_index(drop=True)
    places = {image_id: place for place, image_id in enumerate(manifest["image_id"])}
    for number, row in own.iterrows():
        image, place = manifest.loc[places[row["image_id"]]], places[row["image_id"]]
        size = (int(image["width"]), int(image["height"]))
        saliency = localization_map(raw_maps[number], size)
        quantiles = {"background": rule.background, "foreground": rule.foreground}
        box = graph_cut_box(packed.image(place), saliency, **quantiles)
        assert row["graph_cut_box"].tolist() == box.tolist()
        assert row["graph_cut_iou"] == best_iou(box[None], boxes_of(image["boxes"]))[0]
    assert own["graph_cut_iou"].gt(0).any()
    assert sweep[sweep["extractor"] != "backprop"]["graph_cut_iou"].isna().all()
    metrics = metrics_of(finished, cell)
    assert [name for name in metrics if "graph_cut" in metrics[name]] == ["backprop"]
    errors = metrics["backprop"]["graph_cut"]
    tests = own[own["split"] == "test"]
    assert errors["gt_known_loc_err"] == pytest.approx((tests["graph_cut_iou"] < 0.5).mean())
    assert "top5_loc_star_err" not in errors  # it has one box a map


def test_a_box_by_graph_cut_of_a_shrunk_image_lies_in_the_original():
    rng = np.random.default_rng(0)
    pixels = np.full((40, 60, 3), 60, dtype=np.uint8) + rng.integers(0, 9, (40, 60, 3), np.uint8)
    pixels[10:30, 15:45] += 90
    saliency = rng.random((40, 60)) * 0.1
    saliency[12:24, 18:30] += 1
    boxes = np.array([[45.0, 20, 135, 60]])
    image = Image("a", "test", (180, 80), boxes, np.zeros((0, 4)), None, None)
    rule = GraphCutParams(extractors=["backprop"], background=0.3, foreground=0.95)
    found = graph_cut_columns(saliency, pixels, image, rule)
    assert found["graph_cut_box"].tolist() == [45, 20, 135, 60]
    assert found["graph_cut_iou"] == 1


@pytest.mark.parametrize(("method", "extractor"), VARIANTS)
def test_metrics_are_the_means_of_the_per_image_table(
    finished, manifest, cell_of, method, extractor
):
    tests = manifest[manifest["split"] == "test"]
    for seed in SEEDS:
        cell = cell_of(method, seed)
        table, metrics = per_image(finished, cell, extractor), metrics_of(finished, cell)[extractor]
        assert table["image_id"].tolist() == tests["image_id"].tolist()
        assert table["class_id"].tolist() == tests["class_id"].tolist()
        for kind in KINDS:
            counts = dict.fromkeys(ERRORS, 0)
            for _, row in table.iterrows():
                guesses = [row[f"top{k}"] for k in (1, 2, 3)]  # of three classes
                box = row[f"iou_{kind}"] >= 0.5
                counts["gt_known_loc_err"] += not box
                counts["top1_loc_err"] += not (box and guesses[0] == row["class_id"])
                counts["top5_loc_err"] += not (box and row["class_id"] in guesses)
                counts["top1_cls_err"] += guesses[0] != row["class_id"]
                counts["top5_cls_err"] += row["class_id"] not in guesses
                either = box or row[f"second_iou_{kind}"] >= 0.5
                hit = [either, either, box]  # (c1, b1), (c1, b2), (c2, b1), (c2, b2), (c3, b1)
                guessed = row["class_id"] in guesses
                counts["top5_loc_star_err"] += not (guessed and hit[guesses.index(row["class_id"])])
                names = ("correct",) if guesses[0] == row["class_id"] else ("wrong_class",)
                assert (row[f"outcome_{kind}"] in names) == box
            want = {name: count / len(tests) for name, count in counts.items()}
            got = {name: metrics[kind][name] for name in ERRORS}
            assert got == pytest.approx(want)
        for region in ("part_energy", "object_energy", "part_area", "object_area"):
            assert metrics[region] == pytest.approx(table[region].mean())
        assert metrics["fixed"]["map_threshold"] == 0.5


@pytest.mark.parametrize(("method", "extractor"), VARIANTS)
def test_selected_and_oracle_agree_with_the_sweep(finished, cell_of, method, extractor):
    for seed in SEEDS:
        cell = cell_of(method, seed)
        metrics, sweep = metrics_of(finished, cell)[extractor], sweep_of(finished, cell)
        own = sweep[sweep["extractor"] == extractor]
        curves = {
            split: (np.stack(rows["iou"]) < 0.5).mean(axis=0)
            for split, rows in own.groupby("split")
        }
        place = round(10 * metrics["selected"]["map_threshold"]) - 1
        assert curves["train_fullsup"][place] == curves["train_fullsup"].min()
        assert metrics["selected"]["gt_known_loc_err"] == pytest.approx(curves["test"][place])
        assert metrics["oracle"]["gt_known_loc_err"] == pytest.approx(curves["test"].min())
        best = select_threshold(curves["test"], np.arange(1, 10) / 10)
        assert metrics["oracle"]["map_threshold"] == pytest.approx(best)
        assert metrics["max_box_acc"] == pytest.approx(1 - curves["test"].min())
        every = np.stack(own.loc[own["split"] == "test", "iou_all"])
        v2 = [(every >= level).mean(axis=0).max() for level in (0.3, 0.5, 0.7)]
        assert metrics["max_box_acc_v2"] == pytest.approx(np.mean(v2))
        levels = [metrics[f"max_box_acc_v2_{level}"] for level in (30, 50, 70)]
        assert levels == pytest.approx(v2)


def replace_iou(workspace, cell, split, iou):
    sweep = sweep_of(workspace, cell)
    chosen = sweep["split"] == split
    sweep["iou"] = [
        np.array(iou, dtype=np.float64) if hit else old
        for hit, old in zip(chosen, sweep["iou"], strict=True)
    ]
    sweep.to_parquet(workspace.sweep(cell) / "sweep.parquet", index=False)


@pytest.mark.parametrize("place", [1, 7])
def test_the_threshold_is_selected_on_held_out_training_images_alone(
    again, two_methods, cell_of, place
):
    cell = cell_of("spg")
    best_here = np.eye(9)[place]
    before = metrics_of(again, cell)["cam"]["selected"]["map_threshold"]
    replace_iou(again, cell, "test", best_here)
    evaluate_cell(again, two_methods, cell)
    after = metrics_of(again, cell)["cam"]
    assert after["selected"]["map_threshold"] == before
    assert after["oracle"]["map_threshold"] == (place + 1) / 10
    assert after["oracle"]["gt_known_loc_err"] == 0
    replace_iou(again, cell, "train_fullsup", best_here)
    evaluate_cell(again, two_methods, cell)
    assert metrics_of(again, cell)["cam"]["selected"]["map_threshold"] == (place + 1) / 10


def test_evaluating_twice_gives_the_same_bytes(finished, again, two_methods, cells):
    for cell in cells:
        sweep_cell(again, two_methods, cell)
        evaluate_cell(again, two_methods, cell)
        assert files_in(again.evaluation(cell)) == files_in(finished.evaluation(cell))


def test_all_cells_at_once_are_each_of_them_alone(finished, tmp_path, two_methods, cells):
    workspace = sharing(finished, tmp_path, "data", "maps", "sweep")
    evaluate(workspace, two_methods, NAME)
    for cell in cells:
        assert files_in(workspace.evaluation(cell)) == files_in(finished.evaluation(cell))
    assert len(list(workspace.evaluations(NAME).iterdir())) == len(cells)


def test_the_fixed_threshold_is_the_params(again, tiny_mapping, cell_of):
    evaluation = {**tiny_mapping["evaluation"], "map_threshold": 0.3}
    params = parse_params({**tiny_mapping, "evaluation": evaluation}, "")
    cell = cell_of("spg")
    before = per_image(again, cell, "cam")
    evaluate_cell(again, params, cell)
    after = per_image(again, cell, "cam")
    assert metrics_of(again, cell)["cam"]["fixed"]["map_threshold"] == 0.3
    grown = [
        (new[0] <= old[0]) and (new[1] <= old[1]) and (new[2] >= old[2]) and (new[3] >= old[3])
        for old, new in zip(before["box_fixed"], after["box_fixed"], strict=True)
    ]
    assert sum(grown) > len(grown) / 2
    assert not all(map(np.array_equal, before["box_fixed"], after["box_fixed"]))


# ---- compare ----


@pytest.fixture(scope="module")
def comparison(finished):
    return pd.read_csv(finished.report(NAME) / "comparison.csv", keep_default_na=False)


@pytest.fixture(scope="module")
def claims(finished):
    return pd.read_csv(finished.report(NAME) / "claims.csv").set_index("claim")


def one_row(comparison, **keys):
    for column, value in keys.items():
        comparison = comparison[comparison[column] == value]
    assert len(comparison) == 1
    return comparison.iloc[0]


def test_there_is_a_row_for_each_variant_kind_and_metric(comparison):
    per_variant = (len(KINDS) + 1) * len(ERRORS)  # and the boxes of the CAM code
    per_baseline = len(ERRORS) - 1  # which has no second box, so no top-5*
    graph_cut = len(ERRORS) - 1  # of Backprop's maps, which have one box
    per_variant += len(KINDS) * len((*COVERED, PIXEL_IOU)) + len(WHOLE_MAP)
    assert len(comparison) == len(VARIANTS) * per_variant + graph_cut + 2 * per_baseline
    methods = list(dict.fromkeys(zip(comparison["method"], comparison["extractor"], strict=True)))
    assert methods == [*VARIANTS, ("center_box", "none"), ("whole_image", "none")]
    assert (comparison["low"] <= comparison["mean"]).all()
    assert (comparison["mean"] <= comparison["high"]).all()


@pytest.mark.parametrize(("method", "extractor"), VARIANTS)
def test_means_and_spreads_are_those_of_the_cells(finished, comparison, cell_of, method, extractor):
    for kind in KINDS:
        for metric in ERRORS:
            row = one_row(
                comparison, method=method, extractor=extractor, threshold=kind, metric=metric
            )
            cells = [
                metrics_of(finished, cell_of(method, seed))[extractor][kind][metric]
                for seed in SEEDS
            ]
            assert row["mean"] == pytest.approx(np.mean(cells), abs=1e-6)
            assert row["seed_std"] == pytest.approx(np.std(cells, ddof=1), abs=1e-6)
            assert (row["seeds"], row["images"]) == (2, 9)


def test_baselines_are_the_naive_boxes(comparison, manifest):
    wrong = {"center_box": [], "whole_image": []}
    for _, image in manifest[manifest["split"] == "test"].iterrows():
        width, height = image["width"], image["height"]
        inset = (1 - 0.5**0.5) / 2
        guesses = {
            "center_box": [
                inset * width,
                inset * height,
                (1 - inset) * width,
                (1 - inset) * height,
            ],
            "whole_image": [0, 0, width, height],
        }
        for name, guess in guesses.items():
            iou = torchvision.ops.box_iou(
                torch.tensor([guess], dtype=torch.float64),
                torch.from_numpy(boxes_of(image["boxes"])),
            )
            wrong[name].append(float(iou.max()) < 0.5)
    plain = {"method": "spg_plain", "extractor": "cam", "threshold": "selected"}
    for name, values in wrong.items():
        row = one_row(comparison, method=name, metric="gt_known_loc_err")
        assert row["threshold"] == "none"
        assert row["mean"] == pytest.approx(np.mean(values), abs=1e-6)
        assert row["reported"] == ""
        for metric in ("top1_cls_err", "top5_cls_err"):  # the classes are SPG-plain's
            classes = one_row(comparison, metric=metric, **plain)["mean"]
            assert one_row(comparison, method=name, metric=metric)["mean"] == classes
        top1 = one_row(comparison, method=name, metric="top1_loc_err")["mean"]
        assert top1 >= max(row["mean"], one_row(comparison, metric="top1_cls_err", **plain)["mean"])


@pytest.mark.parametrize(
    ("method", "metric", "value"),
    [
        ("spg", "gt_known_loc_err", 0.3531),
        ("spg", "top1_loc_err", 0.5140),
        ("spg", "top5_loc_err", 0.4000),
        ("spg_plain", "gt_known_loc_err", 0.3732),
        ("spg_plain", "top1_loc_err", 0.5371),
        ("spg_plain", "top5_loc_err", 0.4181),
    ],
)
def test_reported_values_stand_beside_ours(comparison, method, metric, value):
    for kind in KINDS:
        row = one_row(comparison, method=method, extractor="cam", threshold=kind, metric=metric)
        assert float(row["reported"]) == value
        assert row["reported_dataset"] == "ilsvrc"


def test_what_the_paper_does_not_report_stays_empty(comparison):
    unreported = comparison[
        comparison["metric"].str.endswith("cls_err") | (comparison["extractor"] != "cam")
    ]
    assert (unreported["reported"] == "").all()


def test_claims_are_judged_where_both_sides_ran(claims, comparison):
    assert set(claims["verdict"]) <= VERDICTS
    assert (claims["verdict"] == "not run").to_dict() == {
        "spg_beats_plain": False,
        "cascade_helps": True,
        "sharing_helps": True,
        "branch_c_helps": True,
        "spg_beats_gap": True,
        "spg_beats_has": True,
        "spg_beats_acol": True,
        "grad_cam_resnet_beats_vgg": True,
        "spg_raises_px_ap": False,
        "spg_raises_max_box_acc_v2": False,
        "plain_prefers_parts": False,
        "spg_covers_more": False,
        "spg_spills_less": False,
    }
    sides = [
        one_row(
            comparison,
            method=method,
            extractor="cam",
            threshold="selected",
            metric="gt_known_loc_err",
        )["mean"]
        for method in ("spg_plain", "spg")
    ]
    judged = claims.loc["spg_beats_plain"]
    assert judged["mean"] == pytest.approx(sides[0] - sides[1], abs=1e-5)
    assert judged["low"] <= judged["mean"] <= judged["high"]
    assert judged["reported_points"] == 2.01
    assert "2.01" in judged["sentence"]


def test_comparing_twice_gives_the_same_bytes(finished, again, two_methods):
    compare(again, two_methods, NAME)
    assert files_in(again.report(NAME)) == files_in(finished.report(NAME))


def test_curves_and_histories_cover_every_cell(finished):
    curves = pd.read_csv(finished.report(NAME) / "curves.csv")
    assert len(curves) == len(VARIANTS) * len(SEEDS) * 9
    for _, curve in curves.groupby(["method", "extractor", "seed"]):
        assert curve["map_threshold"].tolist() == pytest.approx([k / 10 for k in range(1, 10)])
    history = pd.read_csv(finished.report(NAME) / "history.csv")
    assert len(history) == 2 * len(SEEDS) * 2  # methods, seeds, epochs


def test_the_summary_repeats_the_comparison(finished, comparison):
    told = json.loads((finished.report(NAME) / "summary.json").read_text())
    row = one_row(
        comparison, method="spg", threshold="selected", metric="gt_known_loc_err", extractor="cam"
    )
    assert told["spg"]["gt_known_loc_err"] == pytest.approx(row["mean"], abs=1e-5)
    assert set(told) >= {"spg", "spg_plain", "center_box", "whole_image", "gain"}
    assert set(told["gain"]) == {
        "spg_beats_plain", "spg_raises_px_ap", "spg_raises_max_box_acc_v2", "plain_prefers_parts",
        "spg_covers_more", "spg_spills_less",
    }  # fmt: skip
    assert 0 < told["spg"]["px_ap"] < 1


def test_a_missing_cell_is_one_sentence(again, two_methods, cell_of):
    (again.evaluation(cell_of("spg", 1)) / "per_image.parquet").unlink()
    with pytest.raises(UserError, match=r"inception_v3-spg-1.per_image\.parquet: no such file"):
        compare(again, two_methods, NAME)


def test_cells_of_other_images_are_not_compared(finished, cell_of):
    table = per_image(finished, cell_of("spg"), "cam")
    other = table.assign(image_id=table["image_id"].to_numpy()[::-1])
    tables = {Variant("inception_v3", "spg", "cam"): [table, other]}
    with pytest.raises(UserError, match="different images"):
        collect_errors(tables, iou_threshold=0.5)


# ---- Claims on errors made by hand ----


def errors_of(rates):
    """Errors of ``{(method, extractor): share of wrong images}`` for two seeds, 40 images."""
    images = np.arange(40) / 40
    return {
        (Variant("inception_v3", *variant), kind, metric): np.tile(
            (images < rate).astype(np.float64), (2, 1)
        )
        for variant, rate in rates.items()
        for kind in ("selected", "fixed")
        for metric in ("gt_known_loc_err", "top1_cls_err")
    }


def judged(errors, paper, params):
    return claims_table(
        errors,
        paper,
        params.comparison,
        Ours(None, "inception_v3", "min_max"),
        seeds_of=lambda _: SEEDS,
    )


@pytest.mark.parametrize(
    ("spg", "plain", "verdict"),
    [
        (0.1, 0.9, "reproduced"),
        (0.9, 0.1, "not reproduced"),
        (0.5, 0.5, "undecided"),  # not one image tells them apart
        (0.5, 0.525, "undecided"),
    ],
)
def test_verdicts_follow_the_gain_of_the_better_side(finished, params, spg, plain, verdict):
    errors = errors_of({("spg", "cam"): spg, ("spg_plain", "cam"): plain})
    table = judged(errors, load_paper(finished.paper_file), params).set_index("claim")
    assert table.loc["spg_beats_plain", "mean"] == pytest.approx(plain - spg)
    assert table.loc["spg_beats_plain", "verdict"] == verdict
    assert table.loc["cascade_helps", "verdict"] == "not run"


def test_claims_are_judged_at_the_selected_threshold(finished, params):
    errors = errors_of({("spg", "cam"): 0.1, ("spg_plain", "cam"): 0.9})
    for key in errors:
        if key[1] == "fixed":
            errors[key] = 1 - errors[key]
    table = judged(errors, load_paper(finished.paper_file), params).set_index("claim")
    assert table.loc["spg_beats_plain", "verdict"] == "reproduced"


def test_no_two_variants_share_a_line_of_the_summary(finished, params):
    rates = {("spg_plain", "cam"): 0.1, ("spg_plain", "grad_cam"): 0.2}
    rates |= {("spg", "cam"): 0.3, ("spg", "grad_cam"): 0.4}
    errors, paper = errors_of(rates), load_paper(finished.paper_file)
    comparison = comparison_table(
        errors, paper, params.comparison, Ours(None, "inception_v3", "min_max")
    )
    told = summary(comparison, judged(errors, paper, params))
    del told["gain"]
    values = sorted(line["gt_known_loc_err"] for line in told.values())
    assert values == pytest.approx([0.1, 0.2, 0.3, 0.4])
