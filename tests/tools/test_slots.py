"""What each of several cells may use: GPUs as they are named, cores, threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spg.project import portable
from spg.project.errors import UserError
from spg.tools import slots
from spg.tools.slots import Slot, gpus_here, share, slots_here


@pytest.fixture
def machine(monkeypatch):
    """Return a function that says which devices torch finds, and what the variables are."""

    def made(gpus=0, **variables):
        for name in ("CUDA_VISIBLE_DEVICES", "SPG_DEVICE", "SPG_NPROC"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        cuda = SimpleNamespace(device_count=lambda: gpus)
        monkeypatch.setattr(slots, "torch", SimpleNamespace(cuda=cuda))

    return made


@pytest.mark.parametrize(
    ("gpus", "variables", "found"),
    [
        (2, {}, ["0", "1"]),
        (0, {}, []),
        (2, {"CUDA_VISIBLE_DEVICES": "3,5"}, ["3", "5"]),  # of a shared machine
        (2, {"CUDA_VISIBLE_DEVICES": "GPU-8a5f, MIG-22b1"}, ["GPU-8a5f", "MIG-22b1"]),
        (1, {"CUDA_VISIBLE_DEVICES": "4,-1,5"}, ["4"]),  # what is behind -1 is not seen
        (2, {"SPG_DEVICE": "cpu"}, []),
        (2, {"SPG_DEVICE": "cuda"}, ["0", "1"]),
        (2, {"SPG_DEVICE": "cuda:1", "CUDA_VISIBLE_DEVICES": "3,5"}, ["5"]),
    ],
)
def test_gpus_are_those_that_this_process_was_given(machine, gpus, variables, found):
    machine(gpus, **variables)
    assert gpus_here() == found


def gpus_of(found):
    return [slot.variables.get("CUDA_VISIBLE_DEVICES") for slot in found]


def test_a_cell_has_a_gpu_for_each_of_its_processes(machine):
    machine(4, SPG_NPROC="2", CUDA_VISIBLE_DEVICES="4,5,6,7")
    assert gpus_of(slots_here(None, 9)) == ["4,5", "6,7"]
    assert gpus_of(slots_here(3, 9)) == ["4,5", "6,7", "4,5"]
    machine(3, SPG_NPROC="2")
    assert gpus_of(slots_here(None, 9)) == ["0,1"]  # the third can do nothing alone


def test_more_processes_than_gpus_are_refused_before_the_first_cell(machine):
    machine(1, SPG_NPROC="2")
    with pytest.raises(UserError) as error:
        slots_here(None, 9)
    assert str(error.value) == (
        "SPG_NPROC: 2 processes of a cell want a GPU each, and there are 1; set it to 1 or less"
    )


def test_a_numbered_device_is_the_only_one_in_its_cell(machine):
    """There it is number 0, so that SPG_DEVICE=cuda:1 would name none."""
    machine(2, SPG_DEVICE="cuda:1")
    (slot,) = slots_here(None, 9)
    assert slot.variables == {"CUDA_VISIBLE_DEVICES": "1", "SPG_DEVICE": "cuda"}


def test_a_cell_on_the_cpu_sees_no_gpu(machine, monkeypatch):
    """Its loader would pin memory beside one, and start processes for it."""
    machine(2, SPG_DEVICE="cpu")
    monkeypatch.setattr(portable, "in_force", lambda: True)
    assert gpus_of(slots_here(2, 9)) == ["", ""]


def test_a_device_that_is_not_there_is_one_sentence(machine):
    machine(0, SPG_DEVICE="cuda:7")
    with pytest.raises(UserError, match=r"^SPG_DEVICE cuda:7: no device of this machine"):
        slots_here(None, 9)


def test_there_are_no_more_shares_than_cells(monkeypatch):
    """A single cell that is left has the whole machine."""
    monkeypatch.delenv("SPG_DEVICE", raising=False)
    monkeypatch.setattr(portable, "in_force", lambda: True)
    assert [len(slot.cores) for slot in share(None, 1, gpus=[], cores=range(32))] == [32]
    assert [len(slot.cores) for slot in share(8, 3, gpus=[], cores=range(9))] == [3, 3, 3]
    (slot,) = share(None, 1, gpus=["0", "1"], cores=range(8))
    assert (slot.variables, len(slot.cores)) == ({"CUDA_VISIBLE_DEVICES": "0"}, 8)


def test_the_users_own_threads_are_left_alone(monkeypatch):
    monkeypatch.delenv("SPG_DEVICE", raising=False)
    monkeypatch.setattr(portable, "in_force", lambda: False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert [slot.variables for slot in share(2, 9, gpus=[], cores=range(8))] == [{}, {}]


@pytest.mark.parametrize(
    ("jobs", "cores", "processes", "capped", "threads"),
    [
        (None, 4, 1, True, [None] * 4),
        (None, 4, 2, True, [None] * 2),
        (2, 4, 1, True, [None] * 2),
        (None, 4, 1, False, [None]),
        (2, 4, 1, False, ["2"] * 2),
        (2, 8, 2, False, ["2"] * 2),  # of each process
        (3, 2, 1, False, ["1"] * 3),
    ],
)
def test_on_a_cpu_cores_are_shared(jobs, cores, processes, capped, threads, monkeypatch):
    monkeypatch.setattr(portable, "in_force", lambda: capped)
    for name in ("OMP_NUM_THREADS", "SPG_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    found = share(jobs, 9, gpus=[], cores=range(cores), processes=processes)
    assert [slot.variables.get("OMP_NUM_THREADS") for slot in found] == threads
    assert gpus_of(found) == [None] * len(threads)


@given(st.lists(st.integers(0, 255), unique=True, min_size=1), st.integers(2, 20), st.booleans())
def test_every_core_has_one_cell_and_no_cell_is_without(cores, jobs, on_gpus):
    found = share(jobs, 99, gpus=["0"] if on_gpus else [], cores=cores)
    shares = [slot.cores for slot in found]
    assert len(found) == jobs
    assert all(shares)
    if jobs <= len(cores):
        assert sorted(core for own in shares for core in own) == sorted(cores)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no system that pins processes")
def test_what_a_slot_starts_keeps_to_its_cores_and_nothing_else_does():
    before = os.sched_getaffinity(0)
    one = min(before)
    script = "import json, os; print(json.dumps([sorted(os.sched_getaffinity(0)), os.getenv('X')]))"
    with Slot({"X": "y"}, frozenset([one])).taken() as environment:
        command = [sys.executable, "-c", script]
        said = subprocess.check_output(command, env=environment, text=True)
    assert json.loads(said) == [[one], "y"]
    assert os.sched_getaffinity(0) == before
    assert "X" not in os.environ
