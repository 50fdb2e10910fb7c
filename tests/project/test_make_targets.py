"""The settings of make's experiments are ones that DVC takes and that params.yaml can say."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from spg.project.params import parse_params, read_yaml

ROOT = Path(__file__).parents[2]
GRID = {"cam", "has", "acol", "adl", "cutmix", "spg"}


def experiments(*target):
    """Return the settings of each `dvc exp run` that a target of make would start."""
    done = subprocess.run(
        ["make", "--dry-run", "--assume-old=.venv/.ready", *target],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = re.sub(r"\\\n\s*", " ", done.stdout).splitlines()
    for line in lines:
        if line.startswith("dvc exp run"):
            words = shlex.split(line)
            yield [words[place + 1] for place, word in enumerate(words) if word == "-S"]


def applied(settings, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_bytes((ROOT / "params.yaml").read_bytes())
    apply_overrides(file, settings)
    return parse_params(read_yaml(file), "params.yaml")


@pytest.mark.parametrize("dataset", ["cub", "ilsvrc", "openimages30k"])
def test_wsolevaluations_table_has_its_methods_backbones_and_the_center(dataset, tmp_path):
    (settings,) = experiments("wsolevaluation", f"DATASET={dataset}")
    params = applied(settings, tmp_path)
    cells = params.cells(dataset)
    assert {(cell.backbone, cell.method) for cell in cells} == {
        (backbone, method) for backbone in ("vgg16", "inception_v3", "resnet50") for method in GRID
    }
    assert params.dataset == dataset
    assert params.sweep.protocol == "wsolevaluation"
    assert params.extractors_of(dataset, "cam") == ["cam", "center"]
    assert {
        name for method in GRID - {"cam"} for name in params.extractors_of(dataset, method)
    } == {"cam"}


def test_imagenette_has_every_method_with_six_seeds(tmp_path):
    (settings,) = experiments("imagenette")
    params = applied(settings, tmp_path)
    methods = [cell.method for cell in params.cells("imagenette")]
    assert all(methods.count(method) == 6 for method in {*GRID, "spg_plain"})


def test_the_grid_has_every_method_and_both_other_backbones(tmp_path):
    (first, second) = (applied(settings, tmp_path) for settings in experiments("grid"))
    cells = first.cells("synthetic_birds")
    assert {cell.method for cell in cells} >= GRID
    for method in {cell.method for cell in cells}:
        kinds = first.extractors_of("synthetic_birds", method)
        assert kinds == ["cam", "grad_cam", "backprop"]
    backbones = {cell.backbone for cell in second.cells("synthetic_birds")}
    assert backbones == {"vgg16", "resnet50"}
