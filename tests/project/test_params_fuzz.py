"""Any value at any key of params.yaml: refused with the key's path, or accepted.

What is valid is told by an oracle of its own: the JSON schema of the models, checked by jsonschema.
"""

from __future__ import annotations

import copy
import math
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.validators import extend
from test_config import LEAVES, MAPPING, text, within

from spg.project.errors import UserError
from spg.project.params import Params, parse_params
from spg.project.plugins import find_plugin, plugin_names
from spg.project.presets import apply_presets
from spg.tools.check_params import check_params

# Keys whose valid values other keys may forbid: names that have to exist, and orders.
RELATED = {
    "protocol", "dataset", "backbones", "methods", "guided", "seeds", "external_classifier",
    "map_threshold", "thresholds", "resize", "crop", "low", "high", "background", "foreground",
}  # fmt: skip


def is_integer(_, value):
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(_, value):
    return is_integer(_, value) or (isinstance(value, float) and math.isfinite(value))


@cache
def oracle(model):
    types = Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": is_integer, "number": is_number}
    )
    return extend(Draft202012Validator, type_checker=types)(model.model_json_schema())


METHODS = {name: find_plugin("method", name).Settings for name in plugin_names("method")}
METHODS.pop("spg")  # its keys are fields of Params


def is_valid(filled):
    """Whether a file with its nulls filled in is valid: Params, and every section's own reader."""
    sections = {name: filled[name] for name in METHODS if name in filled}
    rest = {name: value for name, value in filled.items() if name not in METHODS}
    if not oracle(Params).is_valid({**rest, "sections": sections}):
        return False
    for dataset in filled["datasets"].values():
        kind, keys = dataset["source"]["kind"], dict(dataset["source"])
        if kind not in plugin_names("dataset"):
            return False
        del keys["kind"]
        if not oracle(find_plugin("dataset", kind).SPEC.source).is_valid(keys):
            return False
    for name, model in METHODS.items():
        readings = [reading["methods"].get(name, {}) for reading in filled["protocols"].values()]
        for reading in ({}, *readings):
            if not oracle(model).is_valid(filled[name] | reading):
                return False
    maps = {name for row in filled["localization"]["extractors"].values() for name in row}
    measures = set(filled["sweep"]["measures"])
    return maps <= set(plugin_names("extractor")) and measures <= set(plugin_names("measure"))


NUMBERS = st.one_of(
    st.integers(-3, 3), st.integers(), st.integers(1, 2000), 
    st.sampled_from([2**63, -(2**63), 10**40]),
    st.floats(), st.floats(0, 1), st.sampled_from([0.0625, 0.5, 1.0, 1e308, 5e-324]),
)  # fmt: skip
WORDS = st.one_of(
    st.text(max_size=8),
    st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True),
    st.sampled_from(["paper", "official", "auto", "bf16", "sgd", "adamw", "spg", "cam", "cub",
                     "none", "keep", "squash", "0.5", "1", "true", "../x", "a\n", "é"]),
)  # fmt: skip
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS)
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(WORDS, SCALARS, max_size=2)
)


def with_value(path, value):
    tree = copy.deepcopy(MAPPING)
    within(tree, path[:-1])[path[-1]] = value
    return tree


@settings(max_examples=600)
@given(st.sampled_from(LEAVES), VALUES)
@example(("seeds",), [])
@example(("seeds",), [0, 1, 2, 2**70])
@example(("comparison", "confidence"), math.nan)
@example(("report", "digits"), True)
def test_any_value_is_refused_with_its_path_or_accepted(path, value):
    tree = with_value(path, value)
    try:
        params = parse_params(tree, "params.yaml")
        check_params(params)
    except UserError as error:
        params, said = None, str(error)
        assert said.startswith("params.yaml: ")
        assert len(said.splitlines()) == 1
        shown = path[:-1] if path[-1] == "kind" else path  # another kind lacks other keys
        related = path[-1] in RELATED
        assert text(shown) in said or related, said
    known = path[0] != "protocol" or value in list(MAPPING["protocols"])
    filled = apply_presets(copy.deepcopy(tree)) if known else tree
    valid = known and is_valid(filled)
    if not valid:
        assert params is None, f"{text(path)}: {value!r} was accepted"
    elif params is None:
        assert path[-1] in RELATED, said
    else:
        assert isinstance(params, Params)


@settings(max_examples=300)
@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    )
)
def test_any_tree_is_no_params_and_one_sentence(tree):
    with pytest.raises(UserError) as caught:
        parse_params(tree, "params.yaml")
    assert len(str(caught.value).splitlines()) == 1
