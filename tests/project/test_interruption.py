"""Killed at any moment, the same command ends with the same bytes, and what is there is whole."""

from __future__ import annotations

import random
import signal
from shutil import rmtree

import pytest
from victims import COMMANDS, Moment, hashes, run

KILLS = [6, pytest.param(20, marks=pytest.mark.slow)]


@pytest.fixture(params=COMMANDS)
def case(request, undisturbed, tmp_path):
    """A command, a project in which all before it ran, what it leaves and how it ended."""
    ended, made = undisturbed.after[request.param]
    undisturbed.copy_before(request.param, tmp_path)
    return tmp_path, COMMANDS[request.param], made, ended


def moments(words, ended, kills):
    """Random ones, half of them between file operations, half of them by time."""
    draw = random.Random(f"{words} {kills}")
    operations = draw.sample(range(1, ended.operations + 1), min(kills // 2, ended.operations))
    yield from (Moment(operation=number) for number in sorted(operations))
    for _ in range(kills - len(operations)):
        yield Moment(seconds=draw.uniform(0.0, 1.0) * ended.seconds)


def forget(root, made):
    """Leave ``root`` as it was before: without what was made, folders and .scratch included."""
    for file in made:
        (root / file).unlink()
    for folder in {(root / file).parent for file in made}:
        while folder != root and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent
    rmtree(root / ".scratch", ignore_errors=True)


@pytest.mark.parametrize("kills", KILLS)
def test_after_a_kill_at_any_moment_the_same_command_ends_with_the_same_bytes(case, kills):
    root, words, made, undisturbed = case
    before = hashes(root)
    killed = 0
    for moment in moments(words, undisturbed, kills):
        ended = run(root, words, moment)
        assert ended.status in (-signal.SIGKILL, 0), ended.said
        killed += ended.status != 0
        found = {k: v for k, v in hashes(root).items() if ".part" not in k}
        assert found.items() <= (before | made).items(), "something half-made has its name"
        ended = run(root, words)
        assert ended.status == 0, (moment, ended.said)
        assert hashes(root) == before | made, moment
        forget(root, made)
    assert killed >= kills // 2


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "interrupted; run the same command again to go on"),
        (signal.SIGTERM, 143, "ended by SIGTERM; run the same command again to go on"),
    ],
)
def test_ctrl_c_and_sigterm_leave_nothing_half_made_and_say_how_to_go_on(
    case, number, status, said
):
    root, words, made, undisturbed = case
    before = hashes(root)
    draw = random.Random(f"{words} {number}")
    for operation in sorted(draw.sample(range(1, undisturbed.operations), 3)):
        ended = run(root, words, Moment(number, operation=operation))
        assert ended.status == status, ended.said
        assert ended.said.splitlines()[-1] == said
        assert "Traceback" not in ended.said
        found = hashes(root)
        assert found.items() <= (before | made).items()
        ended = run(root, words)
        assert ended.status == 0, ended.said
        assert hashes(root) == before | made
        forget(root, made)
