"""Published ways to train: each recipe's rates at each epoch against a table written by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from spg.networks.parts.build import build_network
from spg.project.errors import UserError
from spg.project.params import parse_params
from spg.project.presets import apply_presets
from spg.project.workspace import Cell
from spg.train.optimizer import build_optimizer, build_schedule, parameter_groups

# data set, recipe, backbone: epochs, batch, resize, crop, aspect, weight decay; rate of the stem,
# of new layers, factor of biases; from which epoch on (counted from 0) the rates are a tenth, a
# hundredth.
# wsolevaluation counts epochs from 1 and lowers the rate before one that 15 (or 3) divides: so 14
# epochs (or 2) have the full rate (main.py, adjust_learning_rate).
TABLE = {
    ("ilsvrc", "released", "inception_v3"): (3, 30, 356, 321, "squash", 5e-4, 1e-3, 1e-2, 2, []),
    ("ilsvrc", "i2c", "inception_v3"): (5, 80, 256, 224, "keep", 5e-4, 1e-3, 1e-2, 2, [2, 3, 4]),
    ("ilsvrc", "wsolevaluation", "inception_v3"): (
        10, 32, 256, 224, "squash", 5e-4, 1e-3, 1e-2, 1, [2, 5, 8]),
    ("ilsvrc", "wsolevaluation", "resnet50"): (
        10, 32, 256, 224, "squash", 1e-4, 1e-3, 1e-2, 1, [2, 5, 8]),
    ("openimages30k", "wsolevaluation", "inception_v3"): (
        10, 32, 256, 224, "squash", 5e-4, 1e-3, 1e-2, 1, [2, 5, 8]),
    ("openimages30k", "wsolevaluation", "vgg16"): (
        10, 32, 256, 224, "squash", 5e-4, 0.00227913316, 0.0227913316, 1, [2, 5, 8]),
    ("cub", "constant", "inception_v3"): (50, 30, 356, 321, "squash", 5e-4, 1e-3, 1e-2, 2, []),
    ("cub", "i2c", "inception_v3"): (51, 80, 256, 224, "keep", 5e-4, 1e-3, 1e-2, 2, [30, 40]),
    ("cub", "wsolevaluation", "inception_v3"): (
        50, 32, 256, 224, "squash", 5e-4, 0.0003360682, 0.003360682, 1, [14, 29, 44]),
    ("cub", "wsolevaluation", "vgg16"): (
        50, 32, 256, 224, "squash", 5e-4, 0.00012558923, 0.0012558923, 1, [14, 29, 44]),
    ("cub", "wsolevaluation", "resnet50"): (
        50, 32, 256, 224, "squash", 1e-4, 0.00004521947, 0.0004521947, 1, [14, 29, 44]),
}  # fmt: skip


def setup_of(mapping, dataset, recipe, backbone):
    tree = copy.deepcopy(mapping)
    tree["datasets"][dataset]["recipe"] = recipe
    return parse_params(tree, "params.yaml").setup(dataset, backbone)


class Two(nn.Module):
    """A stem and a layer behind it, each with weight and bias; the stem has ResNet's layer4."""

    def __init__(self):
        super().__init__()
        self.stem = nn.ModuleDict({"conv1": nn.Linear(1, 1), "layer4": nn.Linear(1, 1)})
        self.branch_a = nn.Linear(1, 1)


def test_the_table_has_every_recipe(mapping):
    named = {(dataset, name) for dataset in mapping["datasets"]
             for name in mapping["datasets"][dataset]["recipes"]}  # fmt: skip
    assert named == {key[:2] for key in TABLE}


@pytest.mark.parametrize("key", TABLE, ids="-".join)
def test_a_recipe_is_the_published_one_at_every_epoch(mapping, key):
    epochs, batch, resize, crop, aspect, decay, stem, new, biases, milestones = TABLE[key]
    setup = setup_of(mapping, *key)
    train = setup.train
    assert (train.epochs, train.batch_size) == (epochs, batch)
    given = setup.input
    assert (given.resize, given.crop, given.aspect) == (resize, crop, aspect)
    model = Two()
    optimizer = build_optimizer(model, train.optimizer)
    assert isinstance(optimizer, torch.optim.SGD)
    stepper = build_schedule(optimizer, train, total_steps=epochs * 4)
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for epoch in range(epochs):
        gone = 0.1 ** sum(epoch >= milestone for milestone in milestones)
        for _ in range(4):
            for name, parameter in model.named_parameters():
                own = new if name.startswith("branch_a") else stem
                if key[2] == "resnet50" and name.startswith("stem.layer4"):
                    own = 10 * stem
                own *= biases if name.endswith("bias") else 1
                group = group_of[id(parameter)]
                assert group["lr"] == pytest.approx(own * gone, rel=1e-9), (epoch, name)
                assert (group["weight_decay"], group["nesterov"]) == (decay, True)
            optimizer.step()
            stepper.step()


@pytest.mark.parametrize("method", ["spg", "cam", "acol", "has", "spg_plain"])
def test_a_recipes_layers_are_in_every_network_of_its_backbone(mapping, method):
    tree = copy.deepcopy(mapping) | {"dataset": "cub"}
    params = parse_params(tree, "params.yaml")
    with torch.device("meta"):
        model, _ = build_network(params, Cell("cub", "resnet50", method, 0), 200)
    groups = parameter_groups(model, params.setup("cub", "resnet50").train.optimizer)
    found = {group["name"]: group for group in groups}
    assert len(found["stem.layer4._weights"]["params"]) == 3 * 6 + 2
    placed = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(placed) == sorted(id(parameter) for parameter in model.parameters())


def test_the_longest_name_decides(mapping):
    optimizer = setup_of(mapping, "cub", "i2c", "resnet50").train.optimizer
    layers = {"stem.": 2.0, "stem.layer4.": 3.0}
    groups = parameter_groups(Two(), optimizer.model_copy(update={"layers": layers}))
    rates = {group["name"]: (group["lr"], len(group["params"])) for group in groups}
    assert rates["stem_weights"] == (0.001, 0)
    assert rates["stem._weights"] == (0.002, 1)
    assert rates["stem.layer4._weights"] == (0.003, 1)
    assert rates["stem.layer4._biases"] == (0.006, 1)
    assert rates["new_weights"] == (0.01, 1)


def test_a_layer_that_no_network_has_is_one_sentence(mapping):
    optimizer = setup_of(mapping, "cub", "wsolevaluation", "resnet50").train.optimizer
    wrong = optimizer.model_copy(update={"layers": {"stem.layer5.": 10.0}})
    with pytest.raises(UserError) as caught:
        parameter_groups(Two(), wrong)
    assert str(caught.value) == (
        "params.yaml: train.optimizer.layers: 'stem.layer5.' is the beginning of no parameter's "
        "name; there are stem.conv1., stem.layer4., branch_a."
    )


def test_what_is_not_null_overrides_the_recipe_and_the_recipe_the_protocol(mapping):
    tree = copy.deepcopy(mapping)
    train = tree["datasets"]["cub"]["backbones"]["inception_v3"]["train"]
    train["epochs"], train["optimizer"]["stem_lr"] = 7, 0.5
    setup = parse_params(tree, "params.yaml").setup("cub", "inception_v3")
    assert (setup.train.epochs, setup.train.batch_size) == (7, 32)
    assert setup.train.optimizer.new_lr == 5.0  # ten times what stands there
    tree["protocol"] = "official"  # says 2.0, and keeps the aspect ratio of 356
    filled = parse_params(tree, "params.yaml").setup("cub", "inception_v3")
    assert filled.train.optimizer.bias_lr_factor == 1.0
    assert (filled.input.aspect, filled.input.resize) == ("squash", 256)
    assert filled.mask_side == 224  # the recipe says nothing of it


def test_presets_leave_the_mapping_as_it_was(mapping):
    before = copy.deepcopy(mapping)
    filled = apply_presets(mapping)
    assert mapping == before
    assert filled["datasets"]["cub"]["recipes"] == before["datasets"]["cub"]["recipes"]


def poly(step, total, power):
    return (1 - step / total) ** power


def test_poly_falls_to_nothing_by_its_formula(mapping):
    train = setup_of(mapping, "cub", "i2c", "inception_v3").train
    tree = train.model_dump() | {"schedule": {"name": "poly", "power": 0.9}}
    train = type(train).model_validate(tree)
    optimizer = build_optimizer(Two(), train.optimizer)
    stepper = build_schedule(optimizer, train, total_steps=12)
    for step in range(12):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.001 * poly(step, 12, 0.9))
        optimizer.step()
        stepper.step()


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        ("cosine", "schedule: Input should be 'constant' or 'one_cycle', got 'cosine'"),
        ({"name": "cosine"}, "schedule: should be constant, one_cycle, {name: steps, "),
        ({"name": "steps", "gamma": 0.1}, "schedule.milestones: this key is missing"),
        ({"name": "steps", "milestones": [3, 2], "gamma": 0.1}, "schedule.milestones: [3, 2] sho"),
        ({"name": "poly", "power": 0.9, "gamma": 1}, "schedule.gamma: no such key"),
    ],
)  # fmt: skip
def test_a_wrong_schedule_is_named_by_its_key(mapping, schedule, sentence):
    tree = copy.deepcopy(mapping)
    tree["datasets"]["cub"]["backbones"]["inception_v3"]["train"]["schedule"] = schedule
    with pytest.raises(UserError) as caught:
        parse_params(tree, "params.yaml")
    start = "params.yaml: datasets.cub.backbones.inception_v3.train."
    assert str(caught.value).startswith(start + sentence)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("train.epochs", 0, "Input should be greater than or equal to 1, got 0"),
        ("train.optimizer.layers", {"layer4": 1.0}, "String should match pattern"),
        ("train.optimizer.new_lr", 0.1, "no such key"),
        ("optimizer_of", {"vgg16": {"epochs": 3}}, "no such key"),
        ("input.crop", 16, "Input should be greater than or equal to 32, got 16"),
    ],
)
def test_a_wrong_value_of_a_recipe_is_named(mapping, path, value, sentence):
    tree = copy.deepcopy(mapping)
    *parents, last = path.split(".")
    node = tree["datasets"]["cub"]["recipes"]["i2c"]
    for key in parents:
        node = node[key]
    node[last] = value
    with pytest.raises(UserError, match=sentence) as caught:
        parse_params(tree, "params.yaml")
    assert str(caught.value).startswith(f"params.yaml: datasets.cub.recipes.i2c.{path}")


def test_an_unknown_recipe_is_one_sentence(mapping):
    tree = copy.deepcopy(mapping)
    tree["datasets"]["cub"]["recipe"] = "secret"
    with pytest.raises(UserError) as caught:
        parse_params(tree, "params.yaml")
    assert str(caught.value) == (
        "params.yaml: datasets.cub.recipe: 'secret' is not one of "
        "['constant', 'i2c', 'wsolevaluation']"
    )
