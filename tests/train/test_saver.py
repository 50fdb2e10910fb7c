"""Checkpoints are written beside the steps: seldom, whole, and as the state was."""

from __future__ import annotations

import threading

import pytest
import torch

import spg.train.checkpoint
from spg.train.checkpoint import Saver, load_checkpoint


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(spg.train.checkpoint, "time", clock)
    return clock


class SlowDisk:
    """Takes each state when it is let."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, seconds
        self.free, self.states = threading.Event(), []

    def __call__(self, path, state):
        assert self.free.wait(10)
        self.clock.now += self.seconds
        self.states.append(state)


@pytest.mark.parametrize(("seconds", "wait"), [(0.0, 60.0), (1.0, 60.0), (2.0, 100.0)])
def test_a_save_is_due_after_a_minute_or_fifty_times_the_last(
    clock, monkeypatch, tmp_path, seconds, wait
):
    disk = SlowDisk(clock, seconds)
    monkeypatch.setattr(spg.train.checkpoint, "save_checkpoint", disk)
    disk.free.set()
    with Saver(tmp_path / "state.pt") as saver:
        clock.now = 59.0
        assert not saver.due()
        clock.now = 60.0
        assert saver.due()
        saver.save({"step": 1})
        saver._settle()
        assert clock.now == 60.0 + seconds
        clock.now = 60.0 + wait - 0.5
        assert not saver.due()
        clock.now = 60.0 + wait
        assert saver.due()


def test_a_step_waits_for_no_disk_and_changes_nothing_that_is_saved(clock, monkeypatch, tmp_path):
    disk, weight = SlowDisk(clock, 0.0), torch.zeros(3)
    monkeypatch.setattr(spg.train.checkpoint, "save_checkpoint", disk)
    with Saver(tmp_path / "state.pt") as saver:
        saver.save({"model": {"weight": weight}, "groups": [{"step": weight[0]}], "step": 4})
        weight += 1  # the next step, while the disk is busy
        clock.now = 1e6
        assert not saver.due()
        disk.free.set()
    ((state,),) = (disk.states,)
    assert state["model"]["weight"].tolist() == [0, 0, 0]
    assert (state["groups"][0]["step"].item(), state["step"]) == (0, 4)


def test_the_end_waits_for_the_file(tmp_path):
    state = {"model": {"weight": torch.arange(5.0)}, "step": 7, "history": [{"loss": 0.5}]}
    with Saver(tmp_path / "state.pt") as saver:
        saver.save(state)
    read = load_checkpoint(tmp_path / "state.pt")
    assert torch.equal(read["model"]["weight"], state["model"]["weight"])
    assert (read["step"], read["history"]) == (7, [{"loss": 0.5}])


def full(path, state):
    raise OSError(28, "No space left on device", str(path))


def test_a_full_disk_is_said_by_the_next_save_or_the_end(monkeypatch, tmp_path):
    monkeypatch.setattr(spg.train.checkpoint, "save_checkpoint", full)
    with pytest.raises(OSError, match="No space left"), Saver(tmp_path / "state.pt") as saver:
        saver.save({"step": 1})
    saver = Saver(tmp_path / "state.pt")
    saver.save({"step": 1})
    with pytest.raises(OSError, match="No space left"):
        saver.save({"step": 2})


def test_an_interruption_is_not_hidden_by_a_full_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(spg.train.checkpoint, "save_checkpoint", full)

    def interrupted():
        with Saver(tmp_path / "state.pt") as saver:
            saver.save({"step": 1})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
