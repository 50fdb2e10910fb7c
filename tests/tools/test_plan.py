"""`spg plan`: exact arithmetic on given timings; of what is measured only the structure."""

from __future__ import annotations

import copy
import json

import pytest
from click.testing import CliRunner

import spg.tools.step_costs
from spg.cli import main
from spg.data.images.manifest import read_manifest
from spg.project.errors import UserError
from spg.project.params import parse_params
from spg.project.workspace import Workspace
from spg.tools.plan import Sizes, as_text, estimate, overlapped, sizes_of, summary
from spg.tools.step_costs import Timing

NAME, BACKBONE = "synthetic_birds", "inception_v3"
SIZES = Sizes(100, 10, 40, 3, (64, 64), 5_000, "published sizes")
PLAIN = Timing(
    decode=1.0, train=9.0, localize=2.0, evaluate=3.0, model_bytes=1_000, map_bytes=60,
    train_batch=4, localize_batch=4,
)  # fmt: skip
GUIDED = PLAIN._replace(train=19.0, evaluate=1.0, model_bytes=2_000, map_bytes=20)
TIMINGS = {(BACKBONE, "spg_plain"): PLAIN, (BACKBONE, "spg"): GUIDED}


def rows_of(params, sizes=SIZES, workers=0):
    rows = estimate(TIMINGS, sizes, params, NAME, workers=workers)
    return {row.method: row for row in rows}


def test_the_arithmetic_by_hand(tiny_params):
    """2 seeds, 2 epochs of 100 images in batches of 4, 50 images to localize, 9 thresholds."""
    rows = rows_of(tiny_params)
    assert list(rows) == tiny_params.all_methods
    plain, guided = rows["spg_plain"], rows["spg"]
    assert (plain.cells, plain.steps) == (2, 2 * 2 * 25)
    assert plain.seconds_per_step == pytest.approx(4 * (9 + 1))
    assert plain.hours_train == pytest.approx(2 * 2 * 100 * (9 + 1) / 3600)
    assert plain.hours_localize == pytest.approx(2 * 50 * (2 + 1) / 3600)
    assert plain.hours_evaluate == pytest.approx(2 * 50 * 3 / 3600)
    assert plain.disk_bytes == 2 * (1_000 + 50 * (60 + 3 * 9 * 40))  # three extractors
    assert guided.hours_train == pytest.approx(2 * 2 * 100 * (19 + 1) / 3600)
    assert guided.disk_bytes == 2 * (2_000 + 50 * (20 + 9 * 40))
    assert rows["no_c"]._replace(method="spg") == guided


def test_a_last_smaller_batch_is_a_step(tiny_params):
    assert rows_of(tiny_params, SIZES._replace(train_weaksup=101))["spg"].steps == 2 * 2 * 26


def test_the_total_adds_up(tiny_params):
    rows = rows_of(tiny_params)
    total = summary(list(rows.values()), SIZES, NAME)
    assert total["cells"] == 10
    assert total["steps"] == 10 * 50
    parts = [total[f"hours_{part}"] for part in ("train", "localize", "evaluate")]
    assert total["hours"] == pytest.approx(sum(parts))
    assert total["hours_train"] == pytest.approx(sum(row.hours_train for row in rows.values()))
    assert total["seconds_per_step"] == pytest.approx(total["hours_train"] * 3600 / 500)
    assert total["disk_bytes"] == 2 * 5_000 + sum(row.disk_bytes for row in rows.values())
    assert (total["images_per_epoch"], total["images_localized"]) == (100, 50)


@pytest.mark.parametrize(("workers", "seconds"), [(0, 5.0), (1, 4.0), (2, 2.0), (4, 1.0), (8, 1.0)])
def test_workers_decode_beside_the_computation(workers, seconds):
    assert overlapped(1.0, 4.0, workers) == seconds


def test_more_images_seeds_or_epochs_never_cost_less(tiny_mapping, tiny_params):
    base = rows_of(tiny_params)
    more_seeds = parse_params(
        {**tiny_mapping, "seeds": [0, 1, 2, 3], "ablation_seeds": [4, 5, 6, 7]}, ""
    )
    for name, row in rows_of(more_seeds).items():
        assert row.hours_train == pytest.approx(2 * base[name].hours_train)
        assert row.steps == 2 * base[name].steps
    for name, row in rows_of(tiny_params, SIZES._replace(test=400)).items():
        assert row.hours_train == base[name].hours_train
        assert row.hours_localize > base[name].hours_localize
        assert row.disk_bytes > base[name].disk_bytes


# ---- Sizes ----


def test_sizes_before_there_is_data(tmp_path, params):
    nowhere = Workspace(tmp_path)
    cub, ilsvrc = (sizes_of(nowhere, params, name) for name in ("cub", "ilsvrc"))
    assert cub[:4] == (5_994, 0, 5_794, 200)
    assert ilsvrc[:4] == (1_281_167, 0, 50_000, 1_000)
    assert cub.source == ilsvrc.source == "published sizes"
    assert cub.data_bytes == 1_189_858_222
    masked = sizes_of(nowhere, params, "openimages30k")
    assert masked[:4] == (29_819, 2_500, 5_000, 100)  # those with masks train nothing
    drawn = sizes_of(nowhere, params, NAME)
    assert drawn[:5] == (1_000, 400, 1_000, 10, (160, 160))
    assert drawn.source == "params.yaml"


@pytest.mark.parametrize("rest", ["train", "test"])
def test_holding_out_every_image_is_one_sentence(tmp_path, tiny_mapping, rest):
    mapping = copy.deepcopy(tiny_mapping)
    mapping["datasets"][NAME]["prepare"] |= {"holdout_per_class": 999, "holdout_from": rest}
    with pytest.raises(UserError, match=r"holdout_per_class 999 leaves .* make it smaller"):
        sizes_of(Workspace(tmp_path), parse_params(mapping, "all"), NAME)


def test_sizes_of_packed_data_are_those_announced(tiny_workspace, tmp_path, tiny_params):
    packed = sizes_of(tiny_workspace, tiny_params, NAME)
    announced = sizes_of(Workspace(tmp_path), tiny_params, NAME)
    assert packed[:4] == announced[:4] == (12, 6, 9, 3)
    assert packed.source == "packed data"
    manifest = read_manifest(tiny_workspace.packed(NAME) / "manifest.parquet")
    assert packed.image_wh == (manifest["width"].median(), manifest["height"].median())
    files = list(tiny_workspace.packed(NAME).iterdir())
    assert packed.data_bytes == sum(len(file.read_bytes()) for file in files)


# ---- Measuring ----


@pytest.mark.parametrize(
    ("seconds", "images"), [(100.0, 2), (0.4, 3), (0.1, 15), (0.01, 32)]
)  # of one image; a step may take 1.5 s
def test_a_slow_step_is_measured_with_fewer_images(monkeypatch, seconds, images):
    monkeypatch.setattr(spg.tools.step_costs, "time_step", lambda step, images: step(images))
    taken = []

    def step(number):
        taken.append(number)
        return seconds * number

    assert spg.tools.step_costs._seconds_per_image(step, 32) == (pytest.approx(seconds), images)
    assert taken[-spg.tools.step_costs.STEPS :] == [images] * spg.tools.step_costs.STEPS
    assert taken[0] == 2


@pytest.fixture
def project(tmp_path, monkeypatch, tiny_mapping):
    (tmp_path / "params.yaml").write_text(json.dumps(tiny_mapping), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_plans_without_data_and_leaves_nothing_behind(project):
    result = CliRunner().invoke(main, ["plan", "--backbone", BACKBONE, "--json", "plan.json"])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in project.iterdir()) == ["params.yaml", "plan.json"]
    facts = json.loads((project / "plan.json").read_text())
    assert facts["dataset"] == NAME
    assert facts["sizes_from"] == "params.yaml"
    assert facts["device"] == "cpu"
    assert facts["measured_steps"] == 2
    assert (facts["cells"], facts["steps"], facts["images_per_epoch"]) == (10, 10 * 2 * 3, 12)
    for name in ("seconds_per_step", "hours_train", "hours_localize", "hours_evaluate", "hours"):
        assert facts[name] > 0
    assert facts["disk_bytes"] > 0
    assert facts["peak_memory_bytes"] > 1e7
    assert [row["method"] for row in facts["rows"]] == [
        "spg_plain", "spg", "no_cascade", "unshared_b", "no_c"
    ]  # fmt: skip
    assert [entry["method_file"] for entry in facts["measured"]] == ["spg_plain", "spg"]
    assert all(entry["train_batch"] <= entry["batch_size"] == 4 for entry in facts["measured"])
    plain, guided = facts["measured"]
    assert plain["map_bytes"] == 4 * (4 * 4 + 4 * 4 + 32 * 32)  # cam, grad_cam, backprop
    assert guided["map_bytes"] == 4 * 4 * 4
    assert guided["model_bytes"] > plain["model_bytes"]
    assert result.output == as_text(facts) + "\n"
    assert "An estimate" in result.output


def test_a_scaled_measurement_is_told(project):
    CliRunner().invoke(main, ["plan", "--json", "plan.json"])
    facts = json.loads((project / "plan.json").read_text())
    for entry in facts["measured"]:
        entry["train_batch"] = entry["batch_size"]
    assert "scaled" not in as_text(facts)
    facts["measured"][1]["train_batch"] = 2
    assert "spg: measured with 2 images a step and scaled to 4" in as_text(facts)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dataset", "moon"], "datasets has no 'moon'"),
        (["--backbone", "vgg"], "datasets.synthetic_birds.backbones has no 'vgg'"),
    ],
)
def test_a_name_that_is_not_there_is_one_sentence(project, arguments, said, capfd):
    result = CliRunner().invoke(main, ["plan", *arguments])
    assert result.exit_code == 2
    assert said in result.output + capfd.readouterr().err
