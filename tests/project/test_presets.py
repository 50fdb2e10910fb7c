"""`protocol` sets every disputed key at once, and each stays free."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import with_setup

from spg.data.inputs.colors import Colors
from spg.data.inputs.samples import TrainSamples
from spg.evaluate.metrics.maps import localization_map
from spg.evaluate.metrics.protocols import PROTOCOLS
from spg.networks.parts.build import build_network
from spg.networks.weights.stage import make_weights
from spg.project.errors import UserError
from spg.project.params import parse_params
from spg.project.presets import apply_presets
from spg.project.schema.training import InputParams
from spg.project.workspace import Cell, Workspace
from spg.train.optimizer import parameter_groups

DATASET, BACKBONE = "synthetic_birds", "inception_v3"
READINGS = ("paper", "official", "wsolevaluation")


def with_protocol(mapping, name):
    return copy.deepcopy(mapping) | {"protocol": name}


def nulls(tree, path=()):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from nulls(value, (*path, key))
        elif value is None and key not in ("short_side", "recipe"):
            yield (*path, key)


def of_recipe(mapping, path):
    """What the recipe of a data set says in place of a null of one of its backbones."""
    dataset = mapping["datasets"][path[1]]
    if dataset["recipe"] is None or path[4] not in ("input", "train"):
        return None
    recipe = dataset["recipes"][dataset["recipe"]]
    own = recipe["optimizer_of"].get(path[3], {}) if path[5] == "optimizer" else {}
    return own.get(path[-1], within(recipe, path[4:-1]).get(path[-1]))


def within(tree, path):
    for key in path:
        tree = tree[key]
    return tree


@pytest.mark.parametrize("name", READINGS)
def test_every_null_gets_the_value_of_the_reading(mapping, name):
    tree = with_protocol(mapping, name)
    before = copy.deepcopy(tree)
    filled = apply_presets(tree)
    assert tree == before
    preset = mapping["protocols"][name]
    paths = [path for path in nulls(mapping) if "recipes" not in path]
    assert len(paths) > 30
    for path in paths:
        value = within(filled, path)
        assert value is not None, path
        if path[0] in preset["methods"]:
            assert value == within(preset["methods"], path)
        elif path[0] != "datasets":
            assert value == within(preset, path)
        elif of_recipe(mapping, path) is not None:
            assert value == of_recipe(mapping, path)
        elif path[-1] != "new_lr" and path[3] not in preset["train_of"]:
            assert value == within(preset["setup"], path[4:])
    parse_params(tree, name)


@pytest.mark.parametrize("name", READINGS)
def test_what_is_not_null_overrides_the_reading(mapping, name):
    tree = with_protocol(mapping, name)
    tree["guidance"]["b2"]["high"] = 0.61
    tree["spg"]["b2_input"] = "a2"
    tree["sweep"]["protocol"] = "paper"
    tree = with_setup(tree, stem={"stride": 8}, train={"dropout": 0.25})
    params = parse_params(tree, name)
    assert params.guidance.b2.high == 0.61
    assert params.guidance.b2.low == mapping["protocols"][name]["guidance"]["b2"]["low"]
    assert (params.spg.b2_input, params.sweep.protocol) == ("a2", "paper")
    setup = params.setup(DATASET, BACKBONE)
    assert (setup.stem.stride, setup.train.dropout) == (8, 0.25)


def test_a_whole_section_may_be_null(mapping):
    tree = copy.deepcopy(mapping) | {"guidance": None}
    assert parse_params(tree, "") == parse_params(mapping, "")


def test_an_unknown_reading_is_one_sentence(mapping):
    with pytest.raises(UserError) as caught:
        parse_params(with_protocol(mapping, "gospel"), "params.yaml")
    assert str(caught.value) == f"params.yaml: protocol: 'gospel' is not one of {sorted(READINGS)}"


# docs/sources.md 3.1 and 3.3: base rate 0.001; new layers; biases; weight decay.
RATES = {
    ("paper", BACKBONE): (0.001, 0.01, 2, 5e-4),
    ("official", BACKBONE): (0.001, 0.001, 2, 5e-4),
    ("wsolevaluation", BACKBONE): (0.001, 0.01, 1, 5e-4),
}


@pytest.mark.parametrize(("name", "backbone"), RATES)
def test_every_protocol_sets_the_published_rates(mapping, name, backbone):
    params = parse_params(with_protocol(mapping, name), name)
    stem, new, biases, decay = RATES[name, backbone]
    optimizer = params.setup("ilsvrc", backbone).train.optimizer
    with torch.device("meta"):
        model, _ = build_network(params, Cell("ilsvrc", backbone, "spg", 0), 1000)
    rates = {group["name"]: group["lr"] for group in parameter_groups(model, optimizer)}
    assert rates == {
        "stem_weights": stem, "stem_biases": stem * biases,
        "new_weights": new, "new_biases": new * biases,
    }  # fmt: skip
    assert optimizer.weight_decay == decay


def test_null_in_a_recipe_for_a_backbone_leaves_the_recipe_as_it_is(mapping):
    changed = copy.deepcopy(mapping)
    dataset = changed["datasets"]["cub"]
    recipe = dataset["recipes"][dataset["recipe"]]
    recipe["train"]["optimizer"]["weight_decay"] = 0.125
    recipe["optimizer_of"]["vgg16"] = {"weight_decay": None}
    train = parse_params(changed, "").setup("cub", "vgg16").train
    assert train.optimizer.weight_decay == 0.125


def test_wsolevaluation_decays_resnets_weights_less(mapping):
    train_of = mapping["protocols"]["wsolevaluation"]["train_of"]
    assert train_of["resnet50"]["optimizer"]["weight_decay"] == 1e-4
    assert train_of["vgg16"]["optimizer"]["weight_decay"] == 5e-4
    assert {train["dropout"] for train in train_of.values()} == {0.0}


def test_random_weights_are_xavier(tiny_mapping, tmp_path):
    """Official 134-145: Xavier uniform for convolutions; batch norm 1 and 0."""
    params = parse_params(with_setup(tiny_mapping, stem={"weights": "random", "width": 0.25}), "")
    make_weights(Workspace(tmp_path), params, DATASET, BACKBONE)
    state = load_file(Workspace(tmp_path).weights(BACKBONE))
    for name, value in state.items():
        if value.dim() == 4:
            area = value[0, 0].numel()
            bound = (6 / (area * (value.shape[0] + value.shape[1]))) ** 0.5
            assert value.abs().max() <= bound, name
            assert value.abs().max() > 0.9 * bound, name
        elif name.endswith("bn.weight"):
            assert (value == 1).all()
    again = Workspace(tmp_path / "again")
    make_weights(again, params, DATASET, BACKBONE)
    assert all(torch.equal(state[n], t) for n, t in load_file(again.weights(BACKBONE)).items())


class Coordinates:
    """Images 40 high and 80 wide whose red is the column and whose green is the row."""

    def image(self, index):
        rows, columns = np.mgrid[:40, :80]
        return np.stack([columns, rows, rows], axis=2).astype(np.uint8)


@pytest.mark.parametrize("aspect", ["squash", "keep"])
def test_training_keeps_the_aspect_or_squashes(aspect):
    geometry = InputParams(aspect=aspect, resize=40, crop=32)
    samples = TrainSamples(Coordinates(), [0], geometry, Colors((0, 0, 0), (1, 1, 1)))
    crops = [samples[seed, 0, 0][0].numpy().astype(int) for seed in range(300)]
    assert {crop.shape for crop in crops} == {(3, 32, 32)}
    step = {"squash": 2, "keep": 1}[aspect]  # original columns to one of the crop
    for crop in crops:
        inner = np.abs(np.diff(crop[0], axis=1))[:, 1:-1]
        assert np.abs(inner - step).max() <= 1
        assert np.abs(np.diff(crop[0], axis=1)).mean() == pytest.approx(step, abs=0.05)
    assert min(crop[0].min() for crop in crops) <= 1
    assert max(crop[0].max() for crop in crops) >= 78
    assert (min(crop[1].min() for crop in crops), max(crop[1].max() for crop in crops)) == (0, 39)


def test_resize_is_the_shorter_side_and_both_sides():
    sizes = {"official": ("keep", 356), "paper": ("squash", 356), "wsolevaluation": ("squash", 256)}
    for name, (aspect, resize) in sizes.items():
        assert name in READINGS
        geometry = InputParams(aspect=aspect, resize=resize // 4, crop=32)
        samples = TrainSamples(Coordinates(), [0], geometry, Colors((0, 0, 0), (1, 1, 1)))
        rows = np.concatenate([samples[seed, 0, 0][0][1].numpy().ravel() for seed in range(50)])
        assert rows.max() == 39


def test_the_evaluators_differ_in_the_order_alone():
    """Official 344-348: scaled to [0, 1] at low resolution; the paper's order is ours."""
    raw = np.random.default_rng(0).normal(size=(7, 7)).astype(np.float32)
    scaled = (raw - raw.min()) / (raw.max() - raw.min())
    want = cv2.resize(scaled, (50, 30), interpolation=cv2.INTER_LINEAR)
    official = PROTOCOLS["official"].loc_map(raw, (50, 30))
    assert np.allclose(official, want, atol=1e-6)
    assert official.max() < 1  # no sample hits the peak
    again = (want - want.min()) / (want.max() - want.min())
    assert np.allclose(PROTOCOLS["paper"].loc_map(raw, (50, 30)), again, atol=1e-5)
    assert (
        PROTOCOLS["official"]._replace(name="paper", loc_map=localization_map)
        == (PROTOCOLS["paper"])
    )
    constant = np.full((3, 3), 2.0, dtype=np.float32)
    assert not PROTOCOLS["official"].loc_map(constant, (5, 5)).any()
