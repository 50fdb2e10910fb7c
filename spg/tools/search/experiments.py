"""Trials as DVC's queued experiments: put there, run by its workers, read when they are done.

DVC keeps the queue and the results, so a search that is killed goes on: what is done stays done,
what waits in the queue is not put there twice, and what was running when its worker died starts
again, from its last checkpoint.

The queue is the project's, not the search's: a worker also runs what else the user has put there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from spg.project.errors import UserError
from spg.tools.rebuild import DVC
from spg.tools.slots import Slot

SECONDS_BETWEEN_LOOKS = 5.0
SECONDS_TO_START = 30.0  # for a worker, which imports DVC
ATTEMPTS = 5  # to be told how the experiments stand
DONE, FAILED, QUEUED, RUNNING = "success", "failed", "queued", "running"


class Trial(NamedTuple):
    """An experiment to run."""

    name: str
    """Holds all that it depends on, so that another search takes no result of this one."""
    settings: tuple[str, ...]
    """``key.path=value``, beside params.yaml."""
    target: str
    """Stage, or group of stages, of dvc.yaml."""


class State(NamedTuple):
    """What DVC says of an experiment."""

    state: str
    revision: str
    """Commit of the result, or of what waits."""
    process: int | None
    """That runs it."""


def run_trials(
    root: Path,
    trials: Sequence[Trial],
    used: Sequence[Slot],
    *,
    now: Callable[[], Sequence[Trial]],
    said: Callable[[str], None],
) -> dict[str, str]:
    """Run what is not done yet; return the commit of each trial that succeeded, by name.

    Those that failed in an earlier search are tried again. Ctrl-C ends the waiting alone: DVC's
    workers go on, and ``dvc queue stop --kill`` ends them. The trials belong to the commit that is
    checked out when they are put into the queue; one made while they run changes nothing.

    Args:
        root: the project, a Git repository whose pipeline is committed.
        trials: all of them.
        used: what each worker may use, one of which runs one trial at a time.
        now: returns the trials again, by the files as they are when it is called.
        said: gets a line for each trial that ends.

    Raises:
        UserError: when DVC fails, somebody takes a trial out of its queue meanwhile, or one has to
            start again and what it depends on was edited: DVC would take it from the files as
            they are, under the name of what they were.
    """
    commit = _present_commit(root)
    states = experiments(root, commit)
    failed = [t for t in trials if t.name in states and states[t.name].state == FAILED]
    _queue_again(root, failed, commit)
    _queue(root, [t for t in trials if t.name not in states])
    ended: dict[str, State] = {}
    absent: set[str] = set()
    while left := [trial for trial in trials if trial.name not in ended]:
        states = experiments(root, commit)
        absent, before = {trial.name for trial in left} - set(states), absent
        if absent & before:  # DVC may leave out for once what passes from its queue to its results
            raise UserError(
                f"{root}: {min(absent)} is not among DVC's experiments on {commit[:8]} any more; "
                "start the search again to put it there"
            )
        known = [trial for trial in left if trial.name in states]
        for name in [trial.name for trial in known]:
            if states[name].state in (DONE, FAILED):
                ended[name] = states[name]
                said(f"{len(ended)}/{len(trials)} {name}: {states[name].state}")
        lost = [trial for trial in known if _is_lost(states[trial.name], root)]
        if lost:
            _refuse_edited(root, lost, now())
        _queue_again(root, lost, commit)
        running = sum(1 for t in known if states[t.name].state == RUNNING) - len(lost)
        if running < min(len(used), len(trials) - len(ended)):
            _start_workers(root, used)
        if len(ended) < len(trials):
            time.sleep(SECONDS_BETWEEN_LOOKS)
    return {name: state.revision for name, state in ended.items() if state.state == DONE}


def _present_commit(root: Path) -> str:
    git = ["git", "rev-parse", "--verify", "HEAD"]
    try:
        done = subprocess.run(git, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise UserError(
            f"{root}: DVC's experiments need a Git repository with a commit; clone the project "
            "with git"
        ) from None
    return done.stdout.strip()


def experiments(root: Path, commit: str) -> dict[str, State]:
    """Return what DVC knows of the experiments on a commit, by their names."""
    for left in reversed(range(ATTEMPTS)):
        try:
            listed = json.loads(_dvc(root, "exp", "show", "--json", "--rev", commit))
            break
        except UserError:  # DVC stops where an experiment ends, and its folder goes, meanwhile
            if not left:
                raise
            time.sleep(SECONDS_BETWEEN_LOOKS)
    found = {}
    for baseline in listed:
        for one in baseline.get("experiments") or []:
            last, executor = one["revs"][0], one.get("executor") or {}
            # One whose entry was removed from DVC's list of tasks is there as a result alone.
            state = executor.get("state") or (FAILED if last.get("error") else DONE)
            process = (executor.get("local") or {}).get("pid")
            found[one["name"]] = State(state, last["rev"], process)
    return found


def why_it_failed(root: Path, name: str) -> str:
    """Return the sentence with which a trial's stage ended."""
    lines = _dvc(root, "queue", "logs", name, may_fail=True).splitlines()
    errors = [line for line in lines if line.lower().startswith("error:")]
    return errors[0] if errors else f"see `dvc queue logs {name}`"


def _is_lost(state: State, root: Path) -> bool:
    """Return whether a trial is said to be running, and what ran it is gone.

    DVC notes a trial's process when its folder is ready, so that one killed before has none; and
    after a restart of the machine the number may be another's. Without a worker nothing runs.
    """
    if state.state != RUNNING:
        return False
    if state.process is not None and not psutil.pid_exists(state.process):
        return True
    return not _workers(root)


def _workers(root: Path) -> set[str]:
    """Return the names under which DVC's workers run in a project."""
    found = set()
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if "queue-worker" in words and Path(process.cwd()) == root.resolve():
                found.add(words[words.index("queue-worker") + 1])
        except psutil.Error:  # it ended meanwhile, or is another user's
            continue
    return found


def _queue(root: Path, trials: Sequence[Trial]) -> None:
    """Put trials into DVC's queue."""
    for trial in trials:
        words = [word for setting in trial.settings for word in ("--set-param", setting)]
        _dvc(root, "exp", "run", "--queue", "--name", trial.name, *words, trial.target)


def _queue_again(root: Path, trials: Sequence[Trial], commit: str) -> None:
    """Put trials that ended without a result into the queue, out of which they are taken first.

    One whose worker was killed between the result and the end of its task has a result then.
    """
    if not trials:
        return
    for trial in trials:  # one by one: given several of which it lacks one, DVC removes none
        _dvc(root, "queue", "kill", "--force", trial.name, may_fail=True)
        _dvc(root, "queue", "remove", trial.name, may_fail=True)
    states = experiments(root, commit)
    _queue(root, [trial for trial in trials if trial.name not in states])


def _refuse_edited(root: Path, lost: Sequence[Trial], present: Sequence[Trial]) -> None:
    """Raise where a trial that has to start again would be another one."""
    edited = [trial.name for trial in lost if trial not in present]
    if edited:
        raise UserError(
            f"{root}: {edited[0]} has to start again, and params.yaml or code that it depends on "
            "was edited since; start the search again, for what they are now"
        )


def _start_workers(root: Path, used: Sequence[Slot]) -> None:
    """Let DVC have as many workers as slots; those that run already are left alone.

    DVC asks its workers for their names and starts those that do not answer. One that is still
    starting does not, and would be started twice, in two slots: each is waited for.
    """
    path = f"{Path(DVC[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # they call `dvc`
    for number, slot in enumerate(used, start=1):
        with slot.taken() as environment:
            done = subprocess.run(
                [*DVC, "queue", "start", "--jobs", str(number)],
                cwd=root,
                env=environment | {"PATH": path},
                check=False,
                stdout=subprocess.DEVNULL,  # a pipe would stay open in the workers
                stderr=subprocess.DEVNULL,
            )
        if done.returncode:
            raise UserError(f"{root}: dvc queue start ended with status {done.returncode}")
        until = time.monotonic() + SECONDS_TO_START
        while _answering(root) < number <= len(_workers(root)) and time.monotonic() < until:
            time.sleep(1)  # fewer workers than asked for: one has ended already, with the queue


def _answering(root: Path) -> int:
    """Return how many workers answer DVC."""
    counts = re.search(r"(\d+) active, (\d+) idle", _dvc(root, "queue", "status"))
    return int(counts[1]) + int(counts[2]) if counts else 0


def _dvc(root: Path, *words: str, may_fail: bool = False) -> str:
    """Run DVC and return what it prints.

    DVC changes files of the working tree to put a trial into its queue, and puts them back. It does
    so to the end: in a session of its own, where neither Ctrl-C nor the end of the search reaches
    it, and an interruption of the search waits for it.

    Raises:
        UserError: with DVC's own last line, when it fails.
    """
    process = subprocess.Popen(
        [*DVC, *words],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, complained = process.communicate()
    except BaseException:
        process.communicate()
        raise
    if process.returncode and not may_fail:
        lines = complained.splitlines()
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
        said = errors[0] if errors else f"ended with status {process.returncode}"
        raise UserError(f"{root}: dvc {' '.join(words[:2])}: {said}")
    return printed
