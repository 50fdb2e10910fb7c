"""Which device a command computes on."""

from __future__ import annotations

import os

import pytest
import torch

from spg.networks.compute.device import make_deterministic, pick_device
from spg.project.errors import UserError


def test_the_variable_names_the_device(monkeypatch):
    monkeypatch.setenv("SPG_DEVICE", "cpu")
    assert pick_device() == torch.device("cpu")
    monkeypatch.delenv("SPG_DEVICE")
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "", "cpu0", "0 1"])
def test_a_device_that_this_machine_has_not_is_one_sentence(monkeypatch, name):
    monkeypatch.setenv("SPG_DEVICE", name)
    with pytest.raises(UserError, match=rf"^SPG_DEVICE {name}: no device of this machine .*\)"):
        pick_device()


@pytest.fixture
def restored():
    """Put back what a process has of CUDA's numbers."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = products.fp32_precision, convolutions.fp32_precision
    yield
    torch.use_deterministic_algorithms(False)
    products.fp32_precision, convolutions.fp32_precision = before


def test_cuda_computes_deterministically_and_float32_is_float32(restored, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    make_deterministic(torch.device("cuda"))
    assert torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"


def test_a_cpu_needs_nothing_of_that(restored):
    make_deterministic(torch.device("cpu"))
    assert not torch.are_deterministic_algorithms_enabled()
