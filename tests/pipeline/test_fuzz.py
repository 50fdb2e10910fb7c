"""A few wrong files for every reader; ``benchmarks/fuzz.py`` tries many."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing import run_target, targets
from whole.runs import CHECKS, run_whole

ROOT = Path(__file__).parents[2]
INPUTS = 12
WHOLE = 40


def test_no_damaged_file_is_a_traceback(finished, two_methods, tmp_path, monkeypatch):
    monkeypatch.setenv("SPG_ILSVRC_ROOT", "set by the target")
    bugs = {}
    for name, target in targets(finished, two_methods, tmp_path, ROOT).items():
        outcome = run_target(target, inputs=INPUTS, seed=f"test {name}")
        if outcome.bugs:
            bugs[name] = outcome.bugs[0]
    if bugs:
        pytest.fail("\n".join(f"{name}, input {bug}" for name, bug in bugs.items()))


@pytest.mark.parametrize("name", CHECKS)
def test_whole_files_are_read_as_they_are_meant_or_refused(name, tmp_path, mapping, monkeypatch):
    monkeypatch.setenv("SPG_ILSVRC_ROOT", "set by the check")
    outcome = run_whole(
        CHECKS[name], tmp_path / "whole", mapping, inputs=WHOLE, seed=f"test {name}"
    )
    assert not outcome.bugs, outcome.bugs[0]
    assert outcome.accepted
    assert outcome.refused
