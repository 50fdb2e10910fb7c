"""The command line: complete help, one sentence for a mistake, exit status 2."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner
from PIL import Image

from spg.cli import main

ROOT = Path(__file__).parents[2]
CELL = ["--method", "spg", "--seed", "0"]


@pytest.fixture
def project(tmp_path, monkeypatch, tiny_mapping):
    (tmp_path / "params.yaml").write_text(json.dumps(tiny_mapping), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("name", ["", *main.commands])
def test_every_help_text_is_complete(name):
    result = run(*name.split(), "--help")
    assert result.exit_code == 0
    command = main.commands.get(name, main)
    assert command.help
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert parameter.help, f"{name} --{parameter.name} has no help"


def test_every_stage_of_the_pipeline_is_a_command():
    assert {path.stem for path in (ROOT / "stages").glob("[a-z]*.py")} <= set(main.commands)


def test_help_does_not_load_torch():
    code = "import sys, spg.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_waiting_threads_give_way_whatever_of_spg_is_imported_first():
    code = "import os, spg.train.stage; print(os.environ['GOMP_SPINCOUNT'])"
    environment = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "1000"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fetch", "moon"], "datasets has no 'moon'"),
        (["prepare", "synthetic_birds"], "images.txt: no such file; "),
        (["train", "--method", "telepathy", "--seed", "0"], "has no 'telepathy'"),
        (["localize", *CELL], "manifest.parquet: no such file; run `spg prepare` first"),
        (["evaluate", *CELL], "manifest.parquet: no such file; run the stage that writes it"),
        (["evaluate", "--method", "spg"], "one cell takes both --method and --seed"),
        (["evaluate"], "manifest.parquet: no such file"),
        (["weights", "alexnet"], "backbone 'alexnet' has no file in spg/networks/backbones"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(project, arguments, said):
    result = subprocess.run(
        [sys.executable, "-m", "spg", *arguments], check=False, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr


def test_a_wrong_key_is_refused_before_anything_runs(project, tiny_mapping):
    wrong = {**tiny_mapping, "guidance": {**tiny_mapping["guidance"], "b3": {}}}
    (project / "params.yaml").write_text(json.dumps(wrong), encoding="utf-8")
    result = run("fetch", "synthetic_birds")
    assert result.exit_code == 2
    assert not (project / "data").exists()


def test_outside_a_project_the_command_says_where_to_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = subprocess.run(
        [sys.executable, "-m", "spg", "compare"], check=False, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "params.yaml" in result.stderr


def test_one_command_trains_a_cell_from_nothing_and_another_uses_it(project):
    result = run("train", *CELL)
    assert result.exit_code == 0, result.output
    folder = project / "runs/synthetic_birds/inception_v3-spg-0"
    written = sorted(path.name for path in folder.iterdir())
    assert written == ["epochs.safetensors", "history.csv", "model.safetensors", "provenance.json"]

    image = next((project / "data/raw/synthetic_birds/images").rglob("*.jpg"))
    result = run("predict", str(image), "--checkpoint", str(folder / "model.safetensors"))
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["class_name"] in {path.name for path in image.parent.parent.iterdir()}
    height, width = cv2.imread(str(image)).shape[:2]
    x1, y1, x2, y2 = found["box"]
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height
    assert cv2.imread(found["overlay"]) is not None


def test_a_stem_that_another_cell_started_from_is_one_sentence(project, tiny_mapping):
    """There is one file a backbone; another data set wants it of other weights or another width."""
    assert run("train", *CELL).exit_code == 0
    weights = project / "weights/inception_v3.safetensors"
    before = weights.read_bytes()
    assert run("train", "--method", "spg", "--seed", "1").exit_code == 0  # it fits
    changed = copy.deepcopy(tiny_mapping)
    setup = changed["datasets"]["synthetic_birds"]["backbones"]["inception_v3"]
    said = f"error: {weights}: not the stem weights that cells of synthetic_birds start from"
    drawn = f"error: {project}/stems/inception_v3.safetensors: does not fit"
    for change, wanted in (
        ({"width": 0.125}, drawn), ({"weights": "random"}, said), ({"width": 0.0625}, said)
    ):  # fmt: skip
        setup["stem"] |= change
        (project / "params.yaml").write_text(json.dumps(changed), encoding="utf-8")
        result = run("train", "--method", "spg_plain", "--seed", "0")
        assert result.exit_code == 2
        assert result.output.splitlines()[-1].startswith(wanted)
    setup["stem"] |= {"width": 0.125, "weights": "published"}  # of which no download is asked for
    (project / "params.yaml").write_text(json.dumps(changed), encoding="utf-8")
    result = run("train", "--method", "spg_plain", "--seed", "0")
    assert result.output.splitlines()[-1].startswith(said)
    assert weights.read_bytes() == before
    setup["stem"] |= {"width": 0.0625, "weights": "random"}
    (project / "params.yaml").write_text(json.dumps(changed), encoding="utf-8")
    weights.unlink()
    assert run("train", "--method", "spg_plain", "--seed", "0").exit_code == 0


def test_predict_names_what_is_wrong_with_its_files(project):
    folder = project / "run"
    folder.mkdir()
    (folder / "provenance.json").write_text('{"cell": {}}')
    for arguments, said in (
        (["x.jpg", "--checkpoint", "nowhere/model.safetensors"], "no such file"),
        (["x.jpg", "--checkpoint", "run/model.safetensors"], "not the record of a trained cell"),
    ):
        result = subprocess.run(
            [sys.executable, "-m", "spg", "predict", *arguments],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert result.returncode == 2
        assert said in result.stderr


@pytest.fixture(scope="module")
def checkpoint(finished, cell_of):
    return finished.run(cell_of("spg")) / "model.safetensors"


def predicted(project, checkpoint, *images):
    return run("predict", *map(str, images), "--checkpoint", str(checkpoint))


def test_predict_refuses_an_image_with_too_many_pixels_before_it_is_decoded(
    project, checkpoint, monkeypatch
):
    """A bomb: a small file that would be 40 GB of pixels."""
    bomb = io.BytesIO()
    Image.new("1", (1, 1)).save(bomb, "png")
    header = bytearray(bomb.getvalue())
    header[16:24] = (120_000).to_bytes(4, "big") * 2  # of IHDR, whose checksum has to fit
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    (project / "bomb.png").write_bytes(header)
    result = predicted(project, checkpoint, project / "bomb.png")
    assert result.exit_code == 2
    assert "bomb.png: too large" in result.stderr
    assert not (project / "predictions").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty file"),
        (b"hello" * 100, "no image that can be read"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "no image|damaged"),
        (None, "is no file"),
    ],
)
def test_predict_names_an_image_that_is_none(project, checkpoint, content, said):
    path = project / "picture.jpg"
    path.mkdir() if content is None else path.write_bytes(content)
    result = predicted(project, checkpoint, path)
    assert result.exit_code == 2
    assert re.search(rf"picture\.jpg: .*({said})", result.stderr)
    assert len(result.stderr.splitlines()) == 1


def test_predict_keeps_the_overlays_of_images_that_share_a_name_apart(project, checkpoint):
    for folder in ("a", "b"):
        (project / folder).mkdir()
        Image.new("RGB", (40, 30), "red").save(project / folder / "x.jpg")
    result = predicted(project, checkpoint, project / "a/x.jpg", project / "b/x.jpg")
    assert result.exit_code == 0, result.output
    found = [json.loads(line)["overlay"] for line in result.stdout.splitlines()]
    assert found == ["predictions/x.spg.png", "predictions/x-2.spg.png"]
    assert all((project / name).exists() for name in found)


HOSTILE = [
    {"cell": {"dataset": "../../x", "backbone": "../models/x", "method": "../y", "seed": 0}},
    {"cell": {"dataset": "synthetic_birds", "backbone": "inception_v3", "method": 7, "seed": 0}},
    {"cell": {"dataset": [], "backbone": {}, "method": None, "seed": "0"}},
    {"cell": 5}, [], 1, None, {"classes": "abc"},
]  # fmt: skip


@pytest.mark.parametrize("facts", HOSTILE, ids=repr)
def test_predict_refuses_a_hostile_provenance(project, checkpoint, facts):
    if isinstance(facts, dict):
        facts = {"classes": ["a", "b"], **facts}
    shutil.copy(checkpoint, project / "model.safetensors")
    (project / "provenance.json").write_text(json.dumps(facts))
    Image.new("RGB", (40, 30), "red").save(project / "x.jpg")
    result = predicted(project, project / "model.safetensors", project / "x.jpg")
    assert result.exit_code == 2, result.exception
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "words",
    [
        ["score", "--maps", "m", "--metadata", "m", "--normalization", "ivr", "--percentile"],
        ["score", "--maps", "m", "--metadata", "m", "--threshold"],
        ["verify", "--method", "spg", "--seed", "0", "--statistically", "2", "--margin"],
    ],
)
def test_no_number_is_no_number(words, number):
    found = CliRunner().invoke(main, [*words, number])
    assert found.exit_code == 2
    assert "Invalid value" in found.output


def test_a_margin_of_bytes_and_a_report_on_nothing_are_refused(project):
    for words, said in (
        (["verify", "--method", "spg", "--seed", "0", "--margin", "5"], "--statistically"),
        (["score", "--maps", "m", "--metadata", "m", "--report", ""], "names no data set"),
    ):
        found = CliRunner().invoke(main, words)
        assert found.exit_code == 2, found.output
        assert said in found.output
