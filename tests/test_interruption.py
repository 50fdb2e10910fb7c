"""Killed at any moment, the same command ends with the same bytes, and what is there is whole."""

from __future__ import annotations

import json
import random
import shutil
import signal

import pytest
from victims import Moment, hashes, run

CELL = ["--method", "spg", "--seed", "0"]
NAME = "synthetic_birds"
COMMANDS = {
    "fetch": (["fetch", NAME], "data/raw"),
    "prepare": (["prepare", NAME], "data/packed"),
    "weights": (["weights", "inception_v3"], "weights"),
    "train": (["train", *CELL], "runs"),
    "localize": (["localize", *CELL], "maps"),
    "sweep": (["sweep", *CELL], "eval"),
    "evaluate": (["evaluate", *CELL], "eval"),
}
KILLS = 20


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_mapping):
    """A project in which every command ran undisturbed: what each of them leaves and how long."""
    root = tmp_path_factory.mktemp("undisturbed")
    (root / "params.yaml").write_text(json.dumps(tiny_mapping), encoding="utf-8")
    before, after = hashes(root), {}
    for name, (words, _) in COMMANDS.items():
        ended = run(root, words)
        assert ended.status == 0, ended.said
        after[name] = ended, {k: v for k, v in hashes(root).items() if k not in before}
        before = hashes(root)
    assert not [name for name in before if name.endswith(".part")]
    return root, after


@pytest.fixture(params=COMMANDS)
def case(request, project, tmp_path):
    """A command, a project in which all before it ran, what it leaves and how it ended."""
    name = request.param
    root, after = project
    earlier = list(COMMANDS)[: list(COMMANDS).index(name)]
    for one in earlier:
        for file in after[one][1]:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / file, tmp_path / file)
    shutil.copy2(root / "params.yaml", tmp_path / "params.yaml")
    ended, made = after[name]
    return tmp_path, COMMANDS[name][0], made, ended


def moments(words, ended):
    """Random ones, half of them between file operations, half of them by time."""
    draw = random.Random(" ".join(words))
    operations = draw.sample(range(1, ended.operations + 1), min(KILLS // 2, ended.operations))
    yield from (Moment(operation=number) for number in sorted(operations))
    for _ in range(KILLS - len(operations)):
        yield Moment(seconds=draw.uniform(0.0, 1.0) * ended.seconds)


def test_after_a_kill_at_any_moment_the_same_command_ends_with_the_same_bytes(case):
    root, words, made, undisturbed = case
    before = hashes(root)
    killed = 0
    for moment in moments(words, undisturbed):
        ended = run(root, words, moment)
        assert ended.status in (-signal.SIGKILL, 0), ended.said
        killed += ended.status != 0
        found = {k: v for k, v in hashes(root).items() if ".part" not in k}
        assert found.items() <= (before | made).items(), "something half-made has its name"
        ended = run(root, words)
        assert ended.status == 0, (moment, ended.said)
        assert hashes(root) == before | made, moment
        for file in made:
            (root / file).unlink()
    assert killed >= KILLS // 2


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
        for file in made:
            (root / file).unlink()
