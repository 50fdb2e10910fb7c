"""`spg search`: what is drawn, what it is chosen by, and where the choice is written."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny import sharing

from spg.compare.statistics.intervals import two_way_interval
from spg.evaluate.metrics.pixels import pixel_average_precision
from spg.evaluate.sweep.table import TABLE
from spg.project.errors import UserError
from spg.project.params import load_params, parse_params, read_yaml
from spg.project.schema.evaluation import ComparisonParams
from spg.project.workspace import Workspace
from spg.tools.check_params import check_params
from spg.tools.effect.settings import with_settings
from spg.tools.search import command
from spg.tools.search.command import _trial
from spg.tools.search.criterion import Held, held_out_error
from spg.tools.search.outcomes import Tried, as_table, best_of, told
from spg.tools.search.params_file import in_file
from spg.tools.search.ranges import Distribution, SearchParams, draw, read_space
from spg.tools.slots import Slot

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "search/params.yaml"
METHODS = SearchParams.model_validate(read_yaml(STUDY)).methods
DATASET, BACKBONE = "synthetic_birds", "inception_v3"
RULE = ComparisonParams(resamples=200, confidence=0.95, seed=0)


# ---- What is drawn ----


def space(**distributions):
    return {key: Distribution.model_validate(value) for key, value in distributions.items()}


@pytest.mark.parametrize("method", METHODS)
def test_every_draw_is_one_that_params_yaml_can_say(method):
    mapping = read_yaml(ROOT / "params.yaml")
    seed, drawn_of = read_space(STUDY, dataset=DATASET, backbone=BACKBONE, method=method)
    for trial in range(20):
        drawn = draw(drawn_of, seed=seed, trial=trial)
        settings = [f"{key}={value}" for key, value in drawn.items()]
        check_params(parse_params(with_settings(mapping, settings, "drawn"), "drawn"))


@given(st.integers(0, 5), st.integers(0, 30))
def test_a_trial_is_the_same_whatever_comes_before_it(seed, trial):
    drawn_of = space(a={"uniform": [0.0, 1.0]}, b={"log_uniform": [1e-5, 1.0]})
    first = draw(drawn_of, seed=seed, trial=trial)
    for other in range(3):
        draw(drawn_of, seed=seed, trial=other)
    assert draw(drawn_of, seed=seed, trial=trial) == first
    assert draw(drawn_of, seed=seed, trial=trial + 1) != first


def test_draws_have_the_laws_that_they_name():
    drawn_of = space(
        a={"uniform": [-1.0, 3.0]}, b={"log_uniform": [1e-4, 1.0]}, c={"choice": [[1], [2], [3]]},
        d={"uniform": ["a", 3.0]},
    )  # fmt: skip
    drawn = pd.DataFrame([draw(drawn_of, seed=1, trial=trial) for trial in range(2000)])
    assert scipy.stats.kstest((drawn["a"] + 1) / 4, "uniform").pvalue > 1e-3
    assert scipy.stats.kstest(np.log10(drawn["b"]) / 4 + 1, "uniform").pvalue > 1e-3
    assert scipy.stats.kstest((drawn["d"] - drawn["a"]) / (3 - drawn["a"]), "uniform").pvalue > 1e-3
    assert scipy.stats.chisquare(drawn["c"].astype(str).value_counts()).pvalue > 1e-3


@pytest.mark.parametrize(
    ("distributions", "said"),
    [
        ({"a": {"uniform": ["b", 1.0]}}, "a: its bound 'b' is not a key that is drawn before it"),
        ({"a": {"uniform": [1.0, 0.5]}}, r"a: \[1.0, 0.5\] is not low < high"),
        ({"a": {"log_uniform": [0.0, 0.5]}}, r"a: \[0.0, 0.5\] is not 0 < low < high"),
        (
            {"a": {"choice": [[1]]}, "b": {"uniform": ["a", 9]}},
            r"b: its bound 'a' was drawn as \[1\], which is no number",
        ),
    ],
)
def test_bounds_that_make_no_range_are_named(distributions, said):
    with pytest.raises(UserError, match=said):
        draw(space(**distributions), seed=0, trial=0)


@pytest.mark.parametrize("wrong", [{}, {"uniform": [0, 1], "choice": [1]}, {"normal": [0, 1]},
                                   {"uniform": None}])  # fmt: skip
def test_a_distribution_is_one_of_three(wrong):
    with pytest.raises(ValidationError):
        Distribution.model_validate(wrong)


def test_rounding_leaves_no_range(monkeypatch):
    """Two thresholds that are equal after rounding are none that params.yaml can say."""
    narrow = space(a={"uniform": [0.12341, 0.12344]}, b={"uniform": ["a", 0.12344]})
    for trial in range(100):
        drawn = draw(narrow, seed=0, trial=trial)
        assert 0.12341 < drawn["a"] < drawn["b"] < 0.12344


def study(tmp_path, **methods):
    text = json.dumps({"seed": 0, "common": {}, "methods": methods})  # in the order of the draws
    (tmp_path / "params.yaml").write_text(text)
    return tmp_path / "params.yaml"


def test_names_stand_for_data_set_and_backbone_in_bounds_too(tmp_path):
    of = "datasets.{dataset}.backbones.{backbone}.mask_side"
    path = study(
        tmp_path, cam={of: {"choice": [2]}, "b": {"uniform": [of, 3]}, "{c}": {"choice": [1]}}
    )
    seed, drawn_of = read_space(path, dataset="cub", backbone="vgg16", method="cam")
    drawn = draw(drawn_of, seed=seed, trial=0)
    assert list(drawn) == ["datasets.cub.backbones.vgg16.mask_side", "b", "{c}"]
    assert 2 < drawn["b"] < 3


@pytest.mark.parametrize(
    "key",
    [
        "evaluation.iou_threshold",
        "sweep.step",
        "datasets.{dataset}.prepare.short_side",
        "protocol",
        "datasets.{dataset}.extractors",
        "dataset",
        "seeds",
    ],
)
def test_what_trials_are_judged_by_is_not_drawn(tmp_path, key):
    path = study(tmp_path, cam={key: {"choice": [0.5]}})
    with pytest.raises(UserError, match="it changes what trials are judged by"):
        read_space(path, dataset=DATASET, backbone=BACKBONE, method="cam")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seeds": 99}, r"^params\.yaml: seeds has 8, and --seeds wants 99 of them"),
        ({"backbone": "mine"}, r"backbones has no 'mine'"),
        ({}, r"^no image is held out to choose on"),
    ],
)
def test_what_cannot_be_searched_is_said_before_the_first_trial(changed, said, monkeypatch):
    labels = SimpleNamespace(rows_of=lambda *_: np.zeros(0, int))
    monkeypatch.setattr(command, "repro", lambda *_: None)
    monkeypatch.setattr(command, "read_labels", lambda _: labels)
    monkeypatch.setattr(command, "run_trials", None)
    settings = {"backbone": BACKBONE, "trials": 1, "seeds": 1} | changed
    params = load_params(ROOT / "params.yaml")
    with pytest.raises(UserError, match=said):
        command.search(Workspace(ROOT), params, "has", used=[Slot({})], said=print, **settings)


def test_a_layer_that_the_backbone_lacks_is_named_before_the_first_trial(monkeypatch):
    labels = SimpleNamespace(rows_of=lambda *_: np.zeros(9, int), classes=["a", "b"])
    monkeypatch.setattr(command, "repro", lambda *_: None)
    monkeypatch.setattr(command, "read_labels", lambda _: labels)
    monkeypatch.setattr(command, "run_trials", None)
    mapping = read_yaml(ROOT / "params.yaml")
    mapping["adl"]["positions"] = ["Mixed_9z"]
    monkeypatch.setattr(command, "read_yaml", lambda _: mapping)
    params = parse_params(mapping, "")
    words = {"backbone": BACKBONE, "trials": 1, "seeds": 1, "used": [Slot({})], "said": print}
    with pytest.raises(UserError, match=r"adl\.positions: 'Mixed_9z' is no layer"):
        command.search(Workspace(ROOT), params, "adl", **words)


def test_a_method_that_the_file_lacks_is_named():
    with pytest.raises(UserError, match=r"methods has no 'mine'; there are .*'acol'"):
        read_space(STUDY, dataset=DATASET, backbone=BACKBONE, method="mine")


def test_a_trial_keeps_its_name_when_what_it_does_not_read_changes(
    finished, params, cell_of, tmp_path
):
    """Another method's search writes its choice into params.yaml, and this one goes on."""

    def name(**sections):
        changed = params.model_copy(update=sections)
        return _trial(place, changed, [cell_of("spg")], 0, {}).name

    place = sharing(finished, tmp_path, "data", "weights")
    (tmp_path / "dvc.yaml").touch()
    comparison = params.comparison.model_copy(update={"seed": 99})
    guidance = params.guidance.model_copy(update={"align_corners": True})
    assert name() == name(comparison=comparison)
    assert name() == name(**{"has": {"hidden": 0.25}})
    assert name() != name(guidance=guidance)


# ---- What it is chosen by ----


def test_the_error_is_that_of_held_out_images_at_their_own_best_threshold(finished, cell_of):
    swept = finished.sweep(cell_of("spg"))
    table = pd.read_parquet(swept / TABLE)
    own = table[(table["extractor"] == "cam") & (table["split"] == "train_fullsup")]
    iou = np.stack(own["iou"])
    found = held_out_error(swept, "cam", 0.5, protocol="paper")
    errors = [sum(value < 0.5 for value in column) / len(own) for column in iou.T]
    assert found.error == min(errors)
    assert found.wrong.mean() == found.error
    assert len(found.wrong) == len(own) > 0


def altered(swept, tmp_path, change):
    (tmp_path / "sweep.json").write_bytes((swept / "sweep.json").read_bytes())
    change(pd.read_parquet(swept / TABLE)).to_parquet(tmp_path / TABLE)
    return tmp_path


def test_under_wsolevaluation_it_is_its_own_accuracy_at_three_levels(finished, cell_of):
    swept = finished.sweep(cell_of("spg"))
    table = pd.read_parquet(swept / TABLE)
    own = table[(table["extractor"] == "cam") & (table["split"] == "train_fullsup")]
    iou = np.stack(own["iou_all"])
    found = held_out_error(swept, "cam", 0.5, protocol="wsolevaluation")
    right = [max(sum(v >= level for v in column) for column in iou.T) for level in (0.3, 0.5, 0.7)]
    assert found.error == pytest.approx(1 - sum(right) / 3 / len(own))
    assert found.wrong.mean() == pytest.approx(found.error)
    assert set(np.round(3 * found.wrong)) <= {0, 1, 2, 3}


@pytest.mark.parametrize("protocol", ["paper", "wsolevaluation"])
def test_test_images_choose_nothing(finished, cell_of, tmp_path, protocol):
    swept = finished.sweep(cell_of("spg"))

    def spoiled(table):
        tests = table["split"] == "test"
        for name in ("iou", "iou_all"):
            table.loc[tests, name] = table.loc[tests, name].map(lambda curve: 0 * curve)
        return table

    first, second = (
        held_out_error(one, "cam", 0.5, protocol=protocol)
        for one in (swept, altered(swept, tmp_path, spoiled))
    )
    assert first.error == second.error


def test_images_with_masks_alone_are_chosen_by_pxap(finished, cell_of, tmp_path):
    swept = finished.sweep(cell_of("spg"))

    def unboxed(table):
        return table.assign(iou=table["iou"].map(lambda curve: np.nan * curve))

    found = held_out_error(altered(swept, tmp_path, unboxed), "cam", 0.5, protocol="paper")
    table = pd.read_parquet(swept / TABLE)
    own = table[(table["extractor"] == "cam") & (table["split"] == "train_fullsup")]
    pixels = np.sum([np.reshape(one, (3, -1)) for one in own["pixels"]], axis=0)
    assert found.error == pytest.approx(1 - pixel_average_precision(pixels[:2]), abs=1e-12)
    assert found.wrong is None


def test_without_held_out_images_it_is_one_sentence(finished, cell_of, tmp_path):
    def tests_alone(table):
        return table[table["split"] == "test"]

    folder = altered(finished.sweep(cell_of("spg")), tmp_path, tests_alone)
    with pytest.raises(UserError, match=r"no image is held out to choose on: set datasets\.NAME"):
        held_out_error(folder, "cam", 0.5, protocol="paper")


def tried(number, *errors_of_seeds, images=100):
    held = []
    for error in errors_of_seeds:
        wrong = (np.arange(images) < error * images).astype(np.float64)
        held.append(Held(float(wrong.mean()), wrong))
    return Tried(number, {"has.hidden": number / 10}, held, "" if held else "error: it fell")


def test_the_best_has_the_lowest_mean_error_and_failed_ones_are_last():
    found = [tried(0, 0.5, 0.3), tried(1), tried(2, 0.25, 0.375), tried(3, 0.375, 0.25)]
    assert best_of(found).number == 2  # of equal ones the first
    table = as_table(found)
    assert table["trial"].tolist() == [2, 3, 0, 1]
    assert table["error_of_seed_0"].tolist()[:3] == [0.25, 0.38, 0.5]
    assert table["failed"].tolist()[-1] == "error: it fell"


def test_what_is_said_names_spread_and_what_is_not_told_apart():
    found = [tried(0, 0.30), tried(1), tried(2, 0.31), tried(3, 0.90)]
    said = "\n".join(told(found, RULE))
    wrong = best_of(found).seeds[0].wrong[None].astype(float)
    interval = two_way_interval(wrong, resamples=200, confidence=0.95, rng=np.random.default_rng(0))
    assert (
        f"best: trial 0, 30.00 % on held-out images (95 % interval {100 * interval.low:.2f}" in said
    )
    assert "all 3 trials: 30.00 to 90.00 %, median 31.00" in said
    assert "not told apart from it by these images: 1 of the others, trials 2" in said
    assert "trial 1 failed: error: it fell" in said


# ---- Where the choice is written ----


def leaves(mapping, path=()):
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield ".".join((*path, str(key))), value


def test_a_value_of_params_yaml_is_replaced_and_no_other_letter():
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    mapping = read_yaml(ROOT / "params.yaml")
    for key, value in list(leaves(mapping))[::19]:
        if isinstance(value, list) and not value:
            continue
        new = 0.4375 if not isinstance(value, list) else [7, 9]
        try:
            changed = in_file(text, {key: new}, "test")
        except UserError:
            assert isinstance(value, list), key  # a list of lines of its own
            continue
        pairs = zip(text.splitlines(), changed.splitlines(), strict=True)
        ((before, after),) = [pair for pair in pairs if pair[0] != pair[1]]
        assert before.partition("#")[2] == after.partition("#")[2]


def test_comments_keep_their_column_where_there_is_room():
    text = "a:\n  b: 0.5                 # one\n  c: {d: null, e: 2}   # two\n"
    changed = in_file(text, {"a.b": 0.0625, "a.c.d": 3}, "test")
    assert changed == "a:\n  b: 0.0625              # one\n  c: {d: 3, e: 2}   # two\n"


def test_a_key_that_stands_elsewhere_is_named():
    text = "x: &x {b: 1}\na:\n  <<: *x\n"
    with pytest.raises(UserError, match=r"^test: params\.yaml: a\.b does not stand there"):
        in_file(text, {"a.b": 2}, "test")


def test_a_key_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"search: params\.yaml has no key 'a\.z'"):
        in_file("a: {b: 1}\n", {"a.z": 2}, "search")


def test_settings_leave_the_mapping_as_it_was():
    mapping = {"a": {"b": [1, 2]}}
    before = copy.deepcopy(mapping)
    assert with_settings(mapping, ["a.b=[3]"], "") == {"a": {"b": [3]}}
    assert mapping == before
