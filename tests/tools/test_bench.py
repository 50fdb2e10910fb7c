"""`spg bench`: what it counts, changes and prints; never how fast this machine is."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

import spg.tools.bench
from spg.cli import main
from spg.networks.parts.build import build_network
from spg.project.files import write_json
from spg.tools.bench import _Operations, as_text, bench, matmul_gflops, with_sizes


@pytest.fixture
def quick(monkeypatch):
    """No second of matrix products in every test."""
    monkeypatch.setattr(spg.tools.bench, "matmul_gflops", lambda precision, device: 50.0)


def facts_of(params, cell, kind="train", classes=5):
    return bench(params, cell, kind, classes=classes, repeats=3)


def test_more_classes_cost_what_their_convolution_costs(tiny_params, cell_of, quick):
    """A4 has 64 channels at this width; forward, gradient of weights and of features."""
    cell = cell_of("spg")
    model, _ = build_network(tiny_params, cell, 5)
    height, width = model(torch.zeros(1, 3, 32, 32)).class_maps.shape[2:]
    few, many = (facts_of(tiny_params, cell, classes=classes) for classes in (5, 105))
    more = (many["gflop_per_image"] - few["gflop_per_image"]) * 1e9
    assert more == pytest.approx(3 * 2 * 64 * 100 * height * width, rel=1e-6)


def test_a_test_costs_a_third_of_a_training_without_the_branches(tiny_params, cell_of, quick):
    train, test = (
        facts_of(tiny_params, cell_of("spg_plain"), kind) for kind in ("train", "localize")
    )
    assert test["gflop_per_image"] > train["gflop_per_image"] / 3  # with Grad-CAM and Backprop
    guided = facts_of(tiny_params, cell_of("spg"), "localize")  # CAM alone
    third = train["gflop_per_image"] / 3  # but for the gradient of the images, which none needs
    assert guided["gflop_per_image"] == pytest.approx(third, rel=0.01)


@pytest.mark.parametrize("groups", [1, 4, 32])
def test_each_gradient_of_a_convolution_costs_what_it_does(groups):
    """Each of the 5 x 5 x 2 x 64 outputs is a sum of 9 products for each channel of its group."""
    convolution = torch.nn.Conv2d(32, 64, 3, padding=1, groups=groups, bias=False)
    images = torch.randn(2, 32, 5, 5, requires_grad=True)
    with _Operations() as counted:
        convolution(images).sum().backward()
    assert counted.total == 3 * 2 * (5 * 5 * 2 * 64) * 9 * (32 // groups)


def test_figures_follow_from_each_other(tiny_params, cell_of, quick):
    facts = facts_of(tiny_params, cell_of("spg"))
    low, high = facts["images_per_second_range"]
    assert 0 < low <= facts["images_per_second"] <= high
    share = facts["gflop_per_image"] * facts["images_per_second"] / 50.0
    assert facts["matmul_share"] == pytest.approx(share)
    assert facts["peak_memory_bytes"] > 1e8
    assert f"{facts['images_per_second']:.2f} images/s" in as_text(facts)


def test_the_evaluator_is_timed_on_maps_of_the_cell(tiny_params, cell_of, quick):
    facts = facts_of(tiny_params, cell_of("spg"), "evaluate")
    assert facts["work"] == "evaluate"
    assert facts["images_per_second"] > 0
    assert facts["gflop_per_image"] == 0


def test_sizes_change_what_they_name_and_nothing_else(tiny_params, cell_of):
    cell = cell_of("spg")
    assert with_sizes(tiny_params, cell, side=None, batch_size=None, precision=None) == tiny_params
    changed = with_sizes(tiny_params, cell, side=48, batch_size=3, precision="bf16")
    setup = changed.setup(cell.dataset, cell.backbone)
    assert (setup.input.resize, setup.input.crop) == (48, 48)
    assert (setup.train.batch_size, changed.localization.batch_size) == (3, 3)
    assert (setup.train.precision, changed.localization.precision) == ("bf16", "bf16")
    assert changed.guidance == tiny_params.guidance
    assert tiny_params.setup(cell.dataset, cell.backbone).input.crop == 32


def test_the_matmul_peak_is_a_rate():
    assert matmul_gflops("float32", torch.device("cpu")) > 0.1


def test_the_command_writes_the_contract(tiny_mapping, tmp_path, monkeypatch, quick):
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "params.yaml", tiny_mapping)
    words = ["bench", "train", "--classes", "4", "--side", "32", "--batch-size", "2"]
    result = CliRunner().invoke(main, [*words, "--repeats", "1", "--json", "out/bench.json"])
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "out/bench.json").read_text())
    assert {"images_per_second", "peak_memory_bytes", "matmul_gflops"} <= set(facts)
    assert (facts["classes"], facts["batch_size"], facts["processes"]) == (4, 2, 1)
    assert "images/s" in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml", "out"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "nothing"], "localization.extractors has no 'nothing'"),
        (["--backbone", "vgg"], "datasets.synthetic_birds.backbones has no 'vgg'"),
    ],
)
def test_an_unknown_name_is_one_sentence(tiny_mapping, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "params.yaml", tiny_mapping)
    result = CliRunner().invoke(main, ["bench", "train", *words])
    assert result.exit_code == 2
    assert said in result.output
