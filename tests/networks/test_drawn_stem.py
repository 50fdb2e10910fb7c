"""The project's own stem weights: verified, of one width, and made anew to the same bytes."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from spg.networks.backbones import inception_v3, resnet50, vgg16
from spg.networks.backbones.inception_v3 import build
from spg.networks.weights.drawn import load_drawn, make_stem
from spg.networks.weights.stage import make_weights
from spg.project.errors import UserError
from spg.project.workspace import Workspace

ROOT = Path(__file__).parents[2]
NAME, BACKBONE = "synthetic_birds", "inception_v3"
BACKBONES = {"inception_v3": inception_v3, "vgg16": vgg16, "resnet50": resnet50}


def copy_stem(backbone, target):
    for suffix in (".safetensors", ".sha256"):
        shutil.copy(ROOT / f"stems/{backbone}{suffix}", target)
    return target / f"{backbone}.safetensors"


@pytest.fixture
def stem(tmp_path):
    """A copy of the default's committed stem and its sum."""
    return copy_stem(BACKBONE, tmp_path)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_committed_stems_are_small_and_fit_the_default(backbone, params, tmp_path):
    stem = copy_stem(backbone, tmp_path)
    assert stem.stat().st_size < 1 << 20
    model = BACKBONES[backbone].build(params.setup(NAME, backbone).stem.width)
    load_drawn(model, stem)
    stored = load_file(stem)
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())


def test_its_sum_is_as_sha256sum_writes_it(stem):
    said = stem.with_suffix(".sha256").read_text(encoding="utf-8")
    assert said == f"{hashlib.sha256(stem.read_bytes()).hexdigest()}  {stem.name}\n"


def test_a_changed_bit_is_refused(stem, params):
    content = bytearray(stem.read_bytes())
    content[-5] ^= 1
    stem.write_bytes(content)
    with pytest.raises(UserError, match=r"its sha256 is .*; get it anew from git"):
        load_drawn(build(params.setup(NAME, BACKBONE).stem.width), stem)


@pytest.mark.parametrize("said", ["", "x", "a b c", b"\xff\xfe"])
def test_a_sum_that_is_none_is_refused(stem, said):
    stem.with_suffix(".sha256").write_bytes(said if isinstance(said, bytes) else said.encode())
    with pytest.raises(UserError, match="not a line of sha256sum; run `make stem`"):
        load_drawn(build(1 / 8), stem)


def test_without_it_what_to_do_is_said(tmp_path):
    with pytest.raises(UserError, match="no such file; run `make stem`"):
        load_drawn(build(1 / 8), tmp_path / "inception_v3.safetensors")


def test_another_width_is_refused(stem):
    with pytest.raises(UserError, match="does not fit this model"):
        load_drawn(build(1 / 4), stem)


def test_made_anew_it_is_the_same_bytes(tiny_workspace, tiny_params, tmp_path):
    """As stage weights had made it, and what that wrote beside weights/ holds the same tensors."""
    again = Workspace(tmp_path)
    make_stem(again, tiny_params, NAME, BACKBONE)
    assert again.stem(BACKBONE).read_bytes() == tiny_workspace.stem(BACKBONE).read_bytes()
    assert not list(again.scratch.glob("stem-*"))
    make_weights(again, tiny_params, NAME, BACKBONE)
    stored, loaded = load_file(again.stem(BACKBONE)), load_file(again.weights(BACKBONE))
    assert stored.keys() == loaded.keys()
    assert all(torch.equal(value, loaded[name]) for name, value in stored.items())


def test_what_a_kill_left_is_made_again_and_cleared_away(tiny_workspace, tiny_params, tmp_path):
    """Killed before the sum was there, which says that the stem is whole."""
    again = Workspace(tmp_path)
    again.stem(BACKBONE).parent.mkdir()
    again.stem(BACKBONE).write_bytes(b"of another run")
    for suffix in (".safetensors", ".sha256"):
        again.stem(BACKBONE).with_name(f".{BACKBONE}{suffix}.1.new.part").write_bytes(b"half")
    make_weights(again, tiny_params, NAME, BACKBONE)
    assert again.stem(BACKBONE).read_bytes() == tiny_workspace.stem(BACKBONE).read_bytes()
    assert sorted(path.name for path in again.stem(BACKBONE).parent.iterdir()) == [
        f"{BACKBONE}.safetensors", f"{BACKBONE}.sha256"
    ]  # fmt: skip
