"""What a disputed choice changes: the study of effects/, on the tiny project."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tiny import tiny

import spg.tools.effect.rerun
import spg.tools.effect.stage
from spg.evaluate.stage import evaluate_cell
from spg.evaluate.sweep.stage import sweep_cell
from spg.localize.stage import localize_cell
from spg.project.errors import UserError
from spg.project.files import write_json
from spg.project.params import load_params, parse_params, read_model, read_yaml
from spg.project.workspace import Cell, Workspace
from spg.tools.effect.inputs import read_by
from spg.tools.effect.settings import with_settings
from spg.tools.effect.stage import EffectsParams, measure
from spg.tools.protocol_page import BLOCK, effect_line, read_effects, with_effects
from spg.train.stage import train_cell

ROOT = Path(__file__).parents[2]
STUDY = read_model(EffectsParams, ROOT / "effects/params.yaml")
SMALL = {
    "cell": {"dataset": "synthetic_birds", "backbone": "inception_v3", "method": "spg"},
    "seeds": [0, 1],
    "effects": {
        "nothing": {"entry": 1, "set": ["guidance.b2.low=0.1"]},
        "trained": {"entry": 2, "set": ["spg.b2_input=a2_inner"]},
        "evaluated": {"entry": 3, "set": ["sweep.protocol=wsolevaluation"]},
        "random": {
            "entry": 4,
            "set": ["datasets.synthetic_birds.backbones.inception_v3.stem.weights=random"],
        },
        "misspelt": {"entry": 5, "set": ["guidance.b2.lo=0.1"]},
        "wrong": {"entry": 6, "set": ["guidance.b2.low=0.9"]},
        "no_yaml": {"entry": 7, "set": ["guidance.b2.low=["]},
    },
}


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_workspace, tiny_mapping, tiny_params):
    """A tiny project with two trained and evaluated cells of SPG."""
    root = tmp_path_factory.mktemp("effects") / "project"
    shutil.copytree(tiny_workspace.root, root)
    write_json(root / "effects/params.yaml", SMALL)
    workspace = Workspace(root)
    for seed in SMALL["seeds"]:
        cell = Cell(**SMALL["cell"], seed=seed)
        for stage in (train_cell, localize_cell, sweep_cell, evaluate_cell):
            stage(workspace, tiny_params, cell)
    return workspace


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """So that what a test forbids is forbidden where it would happen."""
    monkeypatch.setenv("SPG_WORKERS", "1")


def result(project, name):
    measure(project, [name])
    path = project.report("synthetic_birds") / f"effects/{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def forbid(monkeypatch):
    """Let the stages that take hours fail."""
    for module, name in (
        (spg.tools.effect.rerun, "train_cell"), (spg.tools.effect.rerun, "localize_cell"),
        (spg.tools.effect.stage, "make_weights"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("was called"))


def test_a_change_that_changes_nothing_has_no_effect_and_trains_nothing(project, monkeypatch):
    forbid(monkeypatch)
    found = result(project, "nothing")
    for metric in ("gt_known_loc_err", "top1_loc_err", "top1_cls_err"):
        assert found[metric]["before"] == found[metric]["after"]
        assert found[metric]["difference"] == {"mean": 0, "low": 0, "high": 0}
    assert (found["seeds"], found["images"]) == (2, 9)
    (own,) = project.scratch.glob("effect-nothing-*")
    assert [path.name for path in own.iterdir()] == ["result.json"]


def test_what_is_measured_is_not_measured_again_until_something_changes(project, monkeypatch):
    first = result(project, "nothing")
    compared = []
    monkeypatch.setattr(
        spg.tools.effect.stage, "run_cell", lambda own, params, cell: compared.append(cell)
    )
    target = project.report("synthetic_birds") / "effects/nothing.json"
    target.unlink()
    assert result(project, "nothing") == first
    assert not compared
    code = [*spg.tools.effect.stage.code_of(["spg/train"])]
    monkeypatch.setattr(spg.tools.effect.stage, "code_of", lambda rooms: code)
    with pytest.raises(UserError, match="no such file"):
        measure(project, ["nothing"])  # other code: its cells would have to be made
    assert compared


def test_what_cells_read_leaves_out_other_cells_and_holds_their_settings(tiny_mapping, cell_of):
    """Its change is what makes measured cells start over: a plan's must not, a setting's must."""
    cell = cell_of("spg")

    def read(**changes):
        mapping = copy.deepcopy(tiny_mapping)
        for path, value in changes.items():
            *parents, last = path.split("__")
            node = mapping
            for key in parents:
                node = node[key]
            node[last] = value
        return read_by(parse_params(mapping, "params.yaml"), cell)

    backbones = tiny_mapping["datasets"][cell.dataset]["backbones"]
    other = backbones | {"resnet50": backbones[cell.backbone]}
    assert read() == read(seeds=[5], ablation_seeds=[6], methods=["cam"], ablations=[])
    assert read() == read(**{f"datasets__{cell.dataset}__backbones": other})
    for setting in (
        {"guidance__b2": {"low": 0.2, "high": 0.7}},
        {f"datasets__{cell.dataset}__source__seed": 99},
        {f"datasets__{cell.dataset}__backbones__{cell.backbone}__train__epochs": 9},
        {"evaluation__iou_threshold": 0.6},
    ):
        assert read() != read(**setting), setting


def test_a_change_of_the_evaluation_alone_trains_nothing(project, monkeypatch):
    forbid(monkeypatch)
    assert result(project, "evaluated")["set"] == ["sweep.protocol=wsolevaluation"]


@pytest.mark.parametrize("name", ["trained", "random"])
def test_the_numbers_are_those_of_cells_trained_with_the_change(
    project, name, tiny_mapping, tmp_path, monkeypatch
):
    monkeypatch.setattr(spg.tools.effect.stage, "rmtree", lambda root: None)
    found = result(project, name)
    own = Workspace(next(project.scratch.glob(f"effect-{name}-*")))
    changed = parse_params(with_settings(tiny_mapping, SMALL["effects"][name]["set"], ""), "")
    errors = {}
    for label, workspace in (("before", project), ("after", own)):
        tables = [
            pd.read_parquet(
                workspace.evaluation(Cell(**SMALL["cell"], seed=seed)) / "per_image.parquet"
            )
            for seed in SMALL["seeds"]
        ]
        iou = np.stack([table["iou_selected"] for table in tables])
        errors[label] = (iou < changed.evaluation.iou_threshold).astype(float)
        assert found["gt_known_loc_err"][label] == pytest.approx(errors[label].mean())
    difference = found["gt_known_loc_err"]["difference"]
    assert difference["mean"] == pytest.approx((errors["after"] - errors["before"]).mean())
    assert difference["low"] <= difference["mean"] <= difference["high"]
    facts = json.loads((own.run(Cell(**SMALL["cell"], seed=0)) / "provenance.json").read_text())
    assert facts["params"]["spg"]["b2_input"] == changed.spg.b2_input
    assert facts["params"]["setup"]["stem"]["weights"] == (
        "random" if name == "random" else "drawn"
    )
    same_weights = own.weights("inception_v3").read_bytes() == (
        project.weights("inception_v3").read_bytes()
    )
    assert same_weights == (name != "random")


def test_several_at_once_are_what_they_are_one_by_one(project, monkeypatch):
    names = ["trained", "nothing", "evaluated"]
    alone = {name: result(project, name) for name in names}
    for folder in project.scratch.glob("effect-*"):
        shutil.rmtree(folder)
    for name in names:
        (project.report("synthetic_birds") / f"effects/{name}.json").unlink()
    monkeypatch.setenv("SPG_WORKERS", "2")
    measure(project, names)
    for name in names:
        path = project.report("synthetic_birds") / f"effects/{name}.json"
        assert json.loads(path.read_text(encoding="utf-8")) == alone[name]
    for folder in project.scratch.glob("effect-*"):
        assert [path.name for path in folder.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("misspelt", "effects.misspelt.set: params.yaml has no key 'guidance.b2.lo'"),
        ("wrong", "guidance.b2: low 0.9 must be smaller than high 0.7"),
        ("no_yaml", "effects.no_yaml.set: '[' is not a value in YAML"),
        ("unheard_of", "effects has no 'unheard_of'; there are ['evaluated', "),
    ],
)
def test_a_wrong_entry_is_one_sentence(project, name, message):
    with pytest.raises(UserError) as caught:
        measure(project, [name])
    assert "effects/params.yaml: " in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_effect_of_the_study_fits_params_and_changes_them(mapping, params):
    for name, effect in STUDY.effects.items():
        changed = parse_params(with_settings(mapping, effect.set, name), name)
        assert changed != params, name
        parse_params(tiny(with_settings(mapping, effect.set, name)), name)


def test_the_study_measures_the_pipelines_own_seeds(params):
    """dvc.yaml names a dep for each seed, since it cannot repeat one."""
    stage = yaml.safe_load((ROOT / "effects/dvc.yaml").read_text(encoding="utf-8"))
    deps = stage["stages"]["effect"]["deps"]
    for seed in STUDY.seeds:
        assert seed in params.seeds
        assert any(f"-{seed}/model.safetensors" in dep for dep in deps)
    assert sum("model.safetensors" in dep for dep in deps) == len(STUDY.seeds)


def fact(mean, low, high):
    return {"before": 0.5, "after": 0.5, "difference": {"mean": mean, "low": low, "high": high}}


def test_a_line_says_whether_the_interval_leaves_out_zero():
    effect = {
        "set": ["datasets.a.backbones.b.stem.stride=16"],
        "gt_known_loc_err": fact(0.012, 0.004, 0.02),
        "top1_cls_err": fact(-0.001, -0.02, 0.03),
    }
    assert effect_line(effect) == (
        "- `stem.stride=16`: GT-known +1.20 (+0.40 to +2.00); "
        "classification -0.10 (-2.00 to +3.00), no effect seen."
    )


def test_protocol_shows_the_committed_effects():
    page = (ROOT / "PROTOCOL.md").read_text(encoding="utf-8")
    effects = read_effects(Workspace(ROOT))
    assert with_effects(page, effects) == page, "stale: run `make effects`"
    assert {effect["entry"] for effect in effects} <= {int(m[2]) for m in BLOCK.finditer(page)}


def test_every_effect_of_the_study_is_measured():
    measured = {path.stem for path in (ROOT / "reports/synthetic_birds/effects").glob("*.json")}
    assert measured == set(STUDY.effects)


def test_the_study_reads_the_projects_params():
    assert load_params(ROOT / "params.yaml").datasets[STUDY.cell.dataset]
    assert STUDY.cell.method in read_yaml(ROOT / "params.yaml")["variants"]
