"""How a command ends: what a user can mend is one sentence, all else keeps its traceback."""

from __future__ import annotations

import pytest
import torch

from spg.project.ending import guarded


def too_much():
    torch.empty(10**15)


def no_card_has_it():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def python_has_none():
    raise MemoryError


@pytest.mark.parametrize("action", [too_much, no_card_has_it, python_has_none])
def test_memory_that_runs_out_is_one_sentence(action, capsys):
    with pytest.raises(SystemExit) as ended:
        guarded(action)
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: out of memory; a smaller batch_size or SPG_WORKERS needs less\n"
    )


def test_another_error_of_torch_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="shapes"):
        guarded(lambda: torch.ones(2, 3) @ torch.ones(2, 3))
