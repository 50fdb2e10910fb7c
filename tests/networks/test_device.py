"""Which device a command computes on."""

from __future__ import annotations

import os

import pytest
import torch

from spg.networks.compute.device import pick_device, resolve_precision, set_numbers
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
    set_numbers(torch.device("cuda"))
    assert torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"


def test_cuda_may_take_the_fastest_algorithms_and_float32_stays_float32(restored, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    set_numbers(torch.device("cuda"), deterministic=False)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"


@pytest.mark.parametrize(
    ("precision", "device", "bf16", "portable", "want"),
    [
        ("auto", "cuda", True, True, "bf16"),
        ("auto", "cuda", False, True, "fp16"),
        ("auto", "cpu", True, True, "float32"),
        ("auto", "cpu", True, False, "bf16"),
        ("auto", "cpu", False, False, "float32"),
        ("fp16", "cpu", True, True, "fp16"),
        ("float32", "cuda", True, False, "float32"),
        ("bf16", "cuda", False, False, "bf16"),
    ],
)
def test_auto_is_what_the_hardware_multiplies(monkeypatch, precision, device, bf16, portable, want):
    monkeypatch.setattr("spg.networks.compute.device.has_bf16", lambda _: bf16)
    monkeypatch.setattr("spg.project.portable.in_force", lambda: portable)
    assert resolve_precision(precision, torch.device(device)) == want


def test_a_cpu_needs_nothing_of_that(restored):
    set_numbers(torch.device("cpu"))
    assert not torch.are_deterministic_algorithms_enabled()
