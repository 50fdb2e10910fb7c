"""Several processes, one order."""

from __future__ import annotations

import os
import signal

import pytest

from spg.data.inputs.batches import loading_workers
from spg.project.errors import UserError
from spg.project.parallel import default_workers, in_order


def halve(number: int) -> float:
    if number == 13:
        raise UserError("thirteen")
    return number / 2


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_results_come_in_the_order_of_the_tasks(workers):
    assert list(in_order(halve, range(12), workers=workers)) == [n / 2 for n in range(12)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_task_reaches_the_caller(workers):
    with pytest.raises(UserError, match="thirteen"):
        list(in_order(halve, range(10, 20), workers=workers))


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_are_taken_as_they_are_needed(workers):
    taken = []

    def tasks():
        for number in range(100):
            taken.append(number)
            yield number % 10

    results = in_order(halve, tasks(), workers=workers)
    next(results)
    assert len(taken) <= 2 * workers + 1
    results.close()


def kill(number: int) -> None:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_one_sentence():
    with pytest.raises(UserError, match="one of 2 processes was killed"):
        list(in_order(kill, range(12), workers=2))


def test_the_variable_sets_the_number(monkeypatch):
    monkeypatch.setenv("SPG_WORKERS", "5")
    assert default_workers() == 5
    monkeypatch.delenv("SPG_WORKERS")
    assert default_workers() >= 1


@pytest.mark.parametrize("text", ["", "-1", "two", "1.5", "\u0663"])
@pytest.mark.parametrize("workers", [default_workers, loading_workers])
def test_a_number_of_workers_that_is_none_is_one_sentence(monkeypatch, text, workers):
    monkeypatch.setenv("SPG_WORKERS", text)
    with pytest.raises(UserError, match="SPG_WORKERS"):
        workers()
