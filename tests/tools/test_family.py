"""The family of machines that compute the same bits: a short probe against another processor's."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
import torch

import spg.tools.family
from spg.tools.family import EXPECTED, differing

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/portable.json").read_text("utf-8"))


def of_the_family() -> bool:
    return platform.machine() in ("x86_64", "AMD64") and bool(
        torch.cpu.get_capabilities().get("avx2")
    )


needs_avx2 = pytest.mark.skipif(not of_the_family(), reason="no x86-64 processor with AVX2")


def test_what_is_expected_was_made_by_other_processors():
    assert GOLDEN["digests"] == EXPECTED


@needs_avx2
def test_this_machine_computes_the_same_bits():
    assert differing() == []


@needs_avx2
def test_an_operation_that_differs_is_named(monkeypatch):
    monkeypatch.setitem(EXPECTED, "linear forward", "0" * 16)
    assert differing() == ["linear forward"]


@needs_avx2
@pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("avx512_f"), reason="no wider instruction set to cap"
)
def test_without_the_caps_a_wider_processor_computes_otherwise(monkeypatch):
    monkeypatch.setattr(spg.tools.family.portable, "CAPS", {"OMP_NUM_THREADS": "1"})
    monkeypatch.setenv("SPG_PORTABLE", "1")  # so that nothing caps it
    for name in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "NPY_DISABLE_CPU_FEATURES",
                 "OPENCV_IPP", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    assert "linear forward" in differing()
