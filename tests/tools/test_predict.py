"""`spg predict` says of a test image what the pipeline said of it."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import spg.tools.predict
from spg.data.images.manifest import class_names, read_manifest
from spg.data.prepare.recode import recode
from spg.evaluate.metrics.maps import localization_map
from spg.evaluate.metrics.normalization import normalizers
from spg.evaluate.metrics.rules import largest_box
from spg.project.errors import UserError
from spg.project.files import read_json, write_json
from spg.tools.predict import overlay_files, predict, read_image

NAME = "synthetic_birds"


@pytest.mark.parametrize("method", ["spg_plain", "spg"])
def test_class_score_and_box_are_those_of_the_stages(
    finished, two_methods, cell_of, tmp_path, method
):
    cell = cell_of(method)
    scores = pd.read_parquet(finished.maps(cell) / "scores.parquet")
    maps = np.load(finished.maps(cell) / "cam.npy")
    manifest = read_manifest(finished.packed(NAME) / "manifest.parquet").set_index("image_id")
    names = class_names(manifest.reset_index())
    paths = [finished.raw(NAME) / "images" / image for image in scores["image_id"]]
    found = predict(
        two_methods, paths, checkpoint=finished.run(cell) / "model.safetensors", output=tmp_path
    )
    compared = 0
    for row, raw_map, said in zip(scores.itertuples(), maps, found, strict=True):
        assert said.class_name == names[row.top1]
        assert said.score == pytest.approx(row.score1, rel=1e-4)
        known = manifest.loc[row.image_id]
        if row.top1 == known["class_id"]:  # the stages keep the map of the true class alone
            loc_map = localization_map(raw_map, (int(known["width"]), int(known["height"])))
            box = largest_box(loc_map >= two_methods.evaluation.map_threshold)
            assert said.box == pytest.approx(box.tolist(), abs=1)
            compared += 1
    assert compared


def test_the_map_is_normalized_as_params_say(finished, two_methods, cell_of, tmp_path):
    """A box at a threshold of one normalization says nothing at that of another."""
    cell, name = cell_of("spg"), "ivr"
    sweep = two_methods.sweep.model_copy(update={"normalization": name})
    params = two_methods.model_copy(update={"sweep": sweep})
    scores = pd.read_parquet(finished.maps(cell) / "scores.parquet")
    maps = np.load(finished.maps(cell) / "cam.npy")
    manifest = read_manifest(finished.packed(NAME) / "manifest.parquet").set_index("image_id")
    paths = [finished.raw(NAME) / "images" / image for image in scores["image_id"]]
    found = predict(
        params, paths, checkpoint=finished.run(cell) / "model.safetensors", output=tmp_path
    )
    normalize = normalizers(name, [params.evaluation.percentile])[0]
    compared, other = 0, 0
    for row, raw_map, said in zip(scores.itertuples(), maps, found, strict=True):
        known = manifest.loc[row.image_id]
        if row.top1 == known["class_id"]:
            size = (int(known["width"]), int(known["height"]))
            threshold = params.evaluation.map_threshold
            box = largest_box(localization_map(raw_map, size, normalize=normalize) >= threshold)
            assert said.box == pytest.approx(box.tolist(), abs=1)
            compared += 1
            other += (
                box.tolist() != largest_box(localization_map(raw_map, size) >= threshold).tolist()
            )
    assert compared
    assert other


def test_it_computes_where_the_stages_do(finished, two_methods, cell_of, tmp_path, monkeypatch):
    asked = []

    def pick():
        asked.append("device")
        return torch.device("cpu")

    monkeypatch.setattr(spg.tools.predict, "pick_device", pick)
    image = next((finished.raw(NAME) / "images").rglob("*.jpg"))
    checkpoint = finished.run(cell_of("spg")) / "model.safetensors"
    assert list(predict(two_methods, [image], checkpoint=checkpoint, output=tmp_path))
    assert asked


def test_branches_that_only_teach_are_not_computed(
    finished, two_methods, cell_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "spg.networks.methods.spg.Model.forward", lambda *_: pytest.fail("B and C were computed")
    )
    image = next((finished.raw(NAME) / "images").rglob("*.jpg"))
    checkpoint = finished.run(cell_of("spg")) / "model.safetensors"
    assert list(predict(two_methods, [image], checkpoint=checkpoint, output=tmp_path))


def odd_images(folder):
    """Images as people have them; the last three are none."""
    rng = np.random.default_rng(0)
    color = Image.fromarray(rng.integers(0, 255, (30, 40, 3)).astype(np.uint8))
    kinds = {
        "high.png": color.resize((300, 1)), "wide.png": color.resize((1, 300)),
        "one.png": color.resize((1, 1)), "cmyk.jpg": color.convert("CMYK"),
        "lab.tif": Image.new("LAB", (40, 30)), "long.png": color.resize((3000, 2)),
        "large.png": color.resize((2500, 1800)), "a b'c.png": color, "grey.jpg": color.convert("L"),
    }  # fmt: skip
    for name, image in kinds.items():
        image.save(folder / name)
    frames = [Image.new("P", (40, 30)), color.convert("P")]
    color.convert("P").save(folder / "frames.gif", save_all=True, append_images=frames)
    Image.fromarray(np.zeros((30, 40), np.float32)).save(folder / "float.tif")
    (folder / "empty.jpg").touch()
    (folder / "folder.jpg").mkdir()
    bad = ["float.tif", "empty.jpg", "folder.jpg", "missing.jpg"]
    return [folder / name for name in (*kinds, "frames.gif")], [folder / name for name in bad]


def test_an_odd_image_costs_nothing_to_the_others(finished, two_methods, cell_of, tmp_path):
    good, bad = odd_images(tmp_path)
    mixed = [path for pair in zip(good, [*bad, *[None] * len(good)], strict=False) for path in pair]
    paths = [path for path in mixed if path is not None]
    checkpoint = finished.run(cell_of("spg")) / "model.safetensors"
    every = predict(two_methods, paths, checkpoint=checkpoint, output=tmp_path / "o")
    found = list(islice(every, len(good)))
    with pytest.raises(UserError, match=r"4 of 14 images were left out: ") as caught:
        next(every)
    assert [one.image for one in found] == [str(path) for path in good]
    assert all(str(path) in str(caught.value) for path in bad)
    for one in found:
        assert cv2.imread(one.overlay) is not None
        width, height = Image.open(one.image).size
        x1, y1, x2, y2 = one.box
        assert 0 <= x1 <= x2 <= width
        assert 0 <= y1 <= y2 <= height


def test_pixels_are_those_that_prepare_packs(tmp_path):
    """A tag that would turn the image is ignored, as it is where boxes are measured."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3)).astype(np.uint8))
    image.save(tmp_path / "turned.jpg", exif=exif)
    image.convert("CMYK").save(tmp_path / "cmyk.jpg")
    for name in ("turned.jpg", "cmyk.jpg"):
        packed = recode((tmp_path / name).read_bytes(), short_side=None, quality=95).encoded
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        want = cv2.imdecode(np.frombuffer(packed, np.uint8), flags)[:, :, ::-1]
        assert np.array_equal(read_image(tmp_path / name), want)
        assert want.shape == (30, 40, 3)


def test_overlays_replace_neither_photographs_nor_each_other(tmp_path):
    paths = [tmp_path / name for name in ("x.png", "a/x.jpg", "b/x.jpg", "x-2.jpg", "y.jpg")]
    names = [file.name for file in overlay_files(paths, tmp_path)]
    assert names == ["x.spg.png", "x-2.spg.png", "x-3.spg.png", "x-2-2.spg.png", "y.spg.png"]
    again = overlay_files([tmp_path / "x.spg.png", tmp_path / "x.spg.jpg"], tmp_path)
    assert [file.name for file in again] == ["x.spg.spg.png", "x.spg-2.spg.png"]
    overlay = overlay_files([tmp_path / "x.jpg", tmp_path / "x.spg.png"], tmp_path)[0]
    assert overlay.name == "x-2.spg.png"  # the first name is a photograph's


def test_an_overlay_that_cannot_be_written_costs_no_other(finished, two_methods, cell_of, tmp_path):
    for name in ("x.jpg", "y.jpg"):
        Image.new("RGB", (40, 30), "red").save(tmp_path / name)
    (tmp_path / "o/x.spg.png").mkdir(parents=True)
    checkpoint = finished.run(cell_of("spg")) / "model.safetensors"
    found = predict(
        two_methods, [tmp_path / "x.jpg", tmp_path / "y.jpg"], checkpoint=checkpoint,
        output=tmp_path / "o",
    )  # fmt: skip
    assert next(found).image == str(tmp_path / "y.jpg")
    with pytest.raises(UserError, match="1 of 2 images were left out"):
        next(found)


def test_a_cell_is_named_by_its_folder_too_and_is_of_a_data_set_of_params(
    finished, two_methods, cell_of, tmp_path
):
    shutil.copytree(finished.run(cell_of("spg")), tmp_path / "run")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "x.jpg")
    by_folder, by_file = (
        next(predict(two_methods, [tmp_path / "x.jpg"], checkpoint=name, output=tmp_path))
        for name in (tmp_path / "run", tmp_path / "run/model.safetensors")
    )
    assert by_folder == by_file
    record = read_json(tmp_path / "run/provenance.json")
    record["cell"]["dataset"] = "somewhere"
    write_json(tmp_path / "run/provenance.json", record)
    with pytest.raises(UserError, match=r"provenance\.json: was trained on 'somewhere', which"):
        next(
            predict(two_methods, [tmp_path / "x.jpg"], checkpoint=tmp_path / "run", output=tmp_path)
        )
    with pytest.raises(UserError, match="no such file"):
        next(predict(two_methods, [tmp_path / "x.jpg"], checkpoint=Path("/"), output=tmp_path))


def test_weights_that_are_not_finite_predict_nothing(finished, two_methods, cell_of, tmp_path):
    shutil.copytree(finished.run(cell_of("spg")), tmp_path / "run")
    checkpoint = tmp_path / "run/model.safetensors"
    state = load_file(checkpoint)
    name = next(name for name in state if name.endswith("a4.weight"))
    state[name][0] = float("nan")
    save_file(state, checkpoint)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "x.jpg")
    with pytest.raises(UserError, match=rf"{name} holds NaN"):
        next(predict(two_methods, [tmp_path / "x.jpg"], checkpoint=checkpoint, output=tmp_path))
