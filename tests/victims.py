"""Commands of spg in processes of their own that a test may end at any moment.

A fork of a server that has imported everything but computed nothing starts in milliseconds, so
hundreds of kills fit into a test. A moment is a number of file operation (an audit event of Python
on a path below the project: opening, renaming, removing, listing ...), since what a kill can break
lies between two of them, or a time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import NamedTuple

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(
    ["spg.cli", "spg.data.fetch.stage", "spg.data.prepare.stage", "spg.networks.weights.stage",
     "spg.train.stage", "spg.localize.stage", "spg.evaluate.sweep.stage", "spg.evaluate.stage",
     "spg.data.sources.synthetic_birds", "spg.networks.methods.spg",
     "spg.networks.backbones.inception_v3", "spg.localize.extractors.cam"]
)  # fmt: skip
CELL = ["--method", "spg", "--seed", "0"]
COMMANDS = {
    "fetch": ["fetch", "synthetic_birds"],
    "prepare": ["prepare", "synthetic_birds"],
    "weights": ["weights", "inception_v3"],
    "train": ["train", *CELL],
    "localize": ["localize", *CELL],
    "sweep": ["sweep", *CELL],
    "evaluate": ["evaluate", *CELL],
}
SETTINGS = {
    "spg.data.prepare.shards.ROWS_PER_SHARD": 4,
}


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    """Exit status; that of a signal, negative."""
    said: str
    """Standard error."""
    seconds: float
    operations: int
    """File operations so far; 0 after a kill."""


class Moment(NamedTuple):
    """When a signal comes."""

    number: int = signal.SIGKILL
    operation: int | None = None
    """Before this file operation, counted from 1."""
    seconds: float | None = None


NEVER = Moment()


def run(root: Path, words: list[str], moment: Moment = NEVER) -> Ended:
    """Run ``spg words`` in ``root`` until it ends, or sends itself a signal, or gets one."""
    log, count = root.with_name(f"{root.name}.said"), FORKS.Value("q", 0)
    process = FORKS.Process(target=_command, args=(root, words, log, moment, count))
    start = monotonic()
    process.start()
    if moment.seconds is not None:
        process.join(moment.seconds)
        if process.is_alive():
            os.kill(process.pid, moment.number)
    process.join(120)
    assert process.exitcode is not None, f"{words} hangs"
    said = log.read_text(encoding="utf-8") if log.exists() else ""
    return Ended(process.exitcode, said, monotonic() - start, count.value)


class Undisturbed(NamedTuple):
    """A project in which every command ran to its end, one after the other."""

    root: Path
    after: dict[str, tuple[Ended, dict[str, str]]]
    """How each command ended, and the hashes of the files that it made."""

    def copy_before(self, name: str, target: Path) -> None:
        """Copy what all commands before ``name`` made, and the params."""
        earlier = list(COMMANDS)[: list(COMMANDS).index(name)]
        for file in ["params.yaml", *(file for one in earlier for file in self.after[one][1])]:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.root / file, target / file)


def run_all(root: Path) -> Undisturbed:
    """Run every command in ``root``, which holds params.yaml alone."""
    after = {}
    for name, words in COMMANDS.items():
        before = hashes(root)
        ended = run(root, words)
        assert ended.status == 0, ended.said
        after[name] = ended, {k: v for k, v in hashes(root).items() if k not in before}
    return Undisturbed(root, after)


def hashes(root: Path) -> Mapping[str, str]:
    """Return the hash of every file below ``root`` but those in .scratch, hidden ones too."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".scratch" not in path.parts
    }


def _command(root: Path, words: list[str], log: Path, moment: Moment, count: object) -> None:
    # a shell starts background jobs with SIGINT ignored, and so does every child of theirs
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(root)
    os.environ |= {"SPG_WORKERS": "0", "SPG_DEVICE": "cpu"}
    sys.stderr = log.open("w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), 2)
    import torch

    from spg.cli import main

    torch.set_num_threads(1)
    for name, value in SETTINGS.items():
        module, _, attribute = name.rpartition(".")
        setattr(sys.modules[module], attribute, value)
    sys.modules["spg.train.checkpoint"].Saver.due = _after_each_step
    sys.addaudithook(_counting(str(root), moment, count))
    main(words, standalone_mode=False)


def _after_each_step(saver: object) -> bool:
    """Save whenever the save before is done, and wait for it: as many operations in every run."""
    saver._settle()
    return True


def _counting(root: str, moment: Moment, count: object):
    def hook(event: str, args: tuple) -> None:
        if event == "open" or event.startswith(("os.", "shutil.")):
            paths = [os.fspath(arg) for arg in args if isinstance(arg, (str, os.PathLike))]
            if any(path.startswith(root) for path in paths):
                count.value += 1
                if count.value == moment.operation:
                    os.kill(os.getpid(), moment.number)

    return hook
