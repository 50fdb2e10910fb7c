"""Eighteen networks against what wsolevaluation's code returned (tests/golden).

VGG-16, ResNet-50 and Inception-v3 with CAM, ACoL and SPG on 14 x 14 and 28 x 28 maps: one backbone
file and one method file each. Tolerances are those for float32 on another build.
"""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from formula import images_by_formula, summary, value_by_formula

from spg.networks.methods.spg.guidance import attention_map, fuse, upsample
from spg.networks.parts.build import build_network
from spg.project.params import parse_params
from spg.project.plugins import find_plugin
from spg.project.workspace import Cell
from spg.tools.checkpoints.names import Published, published_names

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "wsolevaluation_networks.json").read_text(encoding="utf-8"))
PUBLISHED = json.loads((GOLDEN / "state_dicts.json").read_text(encoding="utf-8"))
CLASSES = 200


def name_of(case) -> str:
    size = "large" if case["large_feature_map"] else "small"
    return f"{case['architecture']}-{case['method']}-{size}"


def params_of(mapping, case, **stem):
    """`protocol: wsolevaluation` at full width, with the case's size of the maps."""
    tree = copy.deepcopy(mapping) | {"protocol": "wsolevaluation"}
    setup = copy.deepcopy(tree["datasets"]["cub"]["backbones"]["inception_v3"])
    setup["stem"] |= {"stride": 8 if case["large_feature_map"] else 16} | stem
    tree["datasets"]["cub"]["backbones"][case["architecture"]] = setup
    tree["acol"]["threshold"] = case.get("acol_drop_threshold", 0.7)
    pairs = case.get("spg_thresholds_b2_b1_c", [])
    for name, (high, low) in zip(("b2", "b1", "c"), pairs, strict=False):
        tree["guidance"][name] = {"high": high, "low": low}
    return parse_params(tree, "")


@cache
def value(salt: str, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    drawn = value_by_formula(salt, name, torch.Size(shape))
    return drawn * 0.3 if name.endswith("bn3.weight") else drawn


def network(params, case):
    cell = Cell("cub", case["architecture"], case["method"], 0)
    with torch.device("meta"):
        model, criterion = build_network(params, cell, CLASSES)
    layout = Published("wsolevaluation", case["architecture"], case["method"])
    stride = 8 if case["large_feature_map"] else 16
    names = published_names(layout, model.state_dict(), stride=stride)
    state = {}
    for name, tensor in model.state_dict().items():
        theirs = names[name]
        shape = tuple(tensor.shape[:2] if theirs == "fc.weight" else tensor.shape)
        state[name] = value(case["salt"], theirs, shape).reshape(tensor.shape)
    model.load_state_dict(state, assign=True)
    return model.eval(), criterion


def tensors_of(case, model, outputs, labels) -> dict[str, torch.Tensor]:
    """Our outputs under their names."""
    if case["method"] == "cam":
        return {"logits": outputs.logits}
    if case["method"] == "acol":
        maps = {"feat_map_a": outputs.maps_a, "feat_map_b": outputs.maps_b}
        return {"logits": outputs.logits, "logit_b": outputs.logits_b} | maps
    how = {"align_corners": False}
    b1, b2 = (upsample(one, 224, **how).sigmoid() for one in (outputs.b1, outputs.b2))
    attention = attention_map(outputs.class_maps, labels, 224, **how, normalize_first=False)
    return {
        "logits": outputs.logits,
        "logits_b1": outputs.b1,
        "logits_b2": outputs.b2,
        "logits_c": outputs.c,
        "attention": attention[:, None],
        "fused_attention": fuse(b1, b2)[:, None],
    }


def raw_map(case, model, images, labels, outputs) -> torch.Tensor:
    """Our class activation map; without the bias where theirs has none."""
    ours = find_plugin("extractor", "cam").extract(model, images, labels, outputs)
    if averages(case):
        ours = ours - model.branch_a.a4.bias[labels][:, None, None]
    return ours


def averages(case) -> bool:
    """Whether their map is the mean over the features of which ours is the sum."""
    return case["method"] == "cam" and case["architecture"] != "inception_v3"


def their_map(case, model) -> dict:
    """Their summary in the scale of a sum, so that the tolerance means something."""
    scale = model.branch_a.a4.in_channels if averages(case) else 1
    theirs = dict(case["localization_map_raw"])
    theirs |= {key: scale * theirs[key] for key in ("mean", "std", "min", "max")}
    return theirs | {"value": [scale * value for value in theirs["value"]]}


def differences(case, params) -> list[str]:
    """What of a case a network does not reproduce within tolerance, by name."""
    model, criterion = network(params, case)
    images, labels = images_by_formula(case), torch.tensor(case["labels"])
    with torch.no_grad():
        outputs = model(images, labels)
        loss = sum(criterion(outputs, labels).values())
        found = tensors_of(case, model, outputs, labels)
        found["localization_map_raw"] = raw_map(case, model, images, labels, outputs)
    want = case["outputs"] | {"localization_map_raw": their_map(case, model)}
    assert set(found) == set(want)
    wrong = [] if np.isclose(float(loss), case["loss"], rtol=1e-3, atol=1e-4) else ["loss"]
    for name, tensor in found.items():
        got = summary(tensor, want[name]["index"]) if _fits(tensor, want[name]) else {}
        close = got and all(
            np.allclose(number, want[name][key], rtol=1e-3, atol=1e-4)
            for key, number in got.items()
        )
        wrong += [] if close else [name]
    return wrong


def _fits(tensor, want) -> bool:
    return list(tensor.shape) == want["shape"]


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_network_is_wsolevaluations(case, mapping):
    assert differences(case, params_of(mapping, case)) == []


def test_there_are_eighteen():
    assert len({name_of(case) for case in CASES}) == 18


def case_of(name):
    (found,) = [case for case in CASES if name_of(case) == name]
    return found


@pytest.mark.parametrize(
    ("name", "pools"),
    [("vgg16-spg-small", "plain"), ("vgg16-acol-large", "overlap_last"),
     ("vgg16-cam-small", "overlap_last")],
)  # fmt: skip
def test_other_pools_are_caught(name, pools, mapping, monkeypatch):
    case = case_of(name)
    method = find_plugin("method", case["method"])
    assert pools != method.POOLS
    monkeypatch.setattr(method, "POOLS", pools)
    assert {"logits", "localization_map_raw"} <= set(differences(case, params_of(mapping, case)))


def test_another_threshold_of_erasing_is_caught(mapping):
    case = case_of("inception_v3-acol-small")
    changed = params_of(mapping, case | {"acol_drop_threshold": 0.6})
    wrong = set(differences(case, changed))
    assert wrong >= {"logit_b", "feat_map_b", "loss"}
    assert not wrong & {"logits", "feat_map_a"}


def test_another_input_of_b2_is_caught(mapping):
    case = case_of("inception_v3-spg-small")
    params = params_of(mapping, case)
    paper = params.model_copy(update={"spg": params.spg.model_copy(update={"b2_input": "a2"})})
    assert set(differences(case, paper)) >= {"logits_b2", "fused_attention", "loss"}


def test_the_other_stride_is_caught(mapping):
    case = case_of("resnet50-cam-small")
    assert "localization_map_raw" in differences(case, params_of(mapping, case, stride=8))
