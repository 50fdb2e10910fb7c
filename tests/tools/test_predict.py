"""`spg predict` says of a test image what the pipeline said of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import spg.tools.predict
from spg.data.images.manifest import class_names, read_manifest
from spg.evaluate.metrics.maps import localization_map
from spg.evaluate.metrics.rules import largest_box
from spg.tools.predict import predict

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
