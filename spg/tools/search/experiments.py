"""Trials as DVC's queued experiments: put there, run by its workers, read when they are done.

DVC keeps the queue and the results, so a search that is killed goes on: what is done stays done,
what waits in the queue is not put there twice, and what was running when its worker died starts
again, from its last checkpoint.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from spg.project.errors import UserError
from spg.tools.rebuild import DVC, Slots

SECONDS_BETWEEN_LOOKS = 5.0
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
    root: Path, trials: Sequence[Trial], used: Slots, *, said: Callable[[str], None]
) -> dict[str, str]:
    """Run what is not done yet; return the commit of each trial that succeeded, by name.

    Those that failed in an earlier search are tried again. Ctrl-C ends the waiting alone: DVC's
    workers go on, and ``dvc queue stop --kill`` ends them.

    Args:
        root: the project, a Git repository whose pipeline is committed.
        trials: all of them.
        used: variables of each worker, one of which runs one trial at a time.
        said: gets a line for each trial that ends.
    """
    states = experiments(root)
    _forget(root, [t.name for t in trials if _is_lost(states.get(t.name)) or _failed(t, states)])
    states = experiments(root)
    for trial in trials:
        if trial.name not in states:
            words = [word for setting in trial.settings for word in ("--set-param", setting)]
            _dvc(root, "exp", "run", "--queue", "--name", trial.name, *words, trial.target)
    waiting, done = {trial.name for trial in trials}, 0
    while waiting:
        states = experiments(root)
        ended = {n for n in waiting if n in states and states[n].state in (DONE, FAILED)}
        for name in sorted(ended):
            done += 1
            said(f"{done}/{len(trials)} {name}: {states[name].state}")
        waiting -= ended
        lost = [name for name in waiting if _is_lost(states.get(name))]
        if lost:
            _forget(root, lost)
            return run_trials(root, trials, used, said=said)
        if waiting:
            running = sum(1 for n in waiting if n in states and states[n].state == RUNNING)
            if running < min(len(used), len(waiting)):
                _start_workers(root, used)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    return {t.name: states[t.name].revision for t in trials if states[t.name].state == DONE}


def experiments(root: Path) -> dict[str, State]:
    """Return what DVC knows of the experiments on the present commit, by their names."""
    for left in reversed(range(ATTEMPTS)):
        try:
            listed = json.loads(_dvc(root, "exp", "show", "--json"))
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


def _failed(trial: Trial, states: Mapping[str, State]) -> bool:
    return trial.name in states and states[trial.name].state == FAILED


def _is_lost(state: State | None) -> bool:
    """Return whether a trial is said to be running, and the process that ran it is gone."""
    if state is None or state.state != RUNNING or state.process is None:
        return False
    try:
        os.kill(state.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _forget(root: Path, names: Sequence[str]) -> None:
    """Take trials that ended without a result out of DVC's queue, so that they can be put there."""
    if names:
        _dvc(root, "queue", "kill", "--force", *names, may_fail=True)
        _dvc(root, "queue", "remove", *names, may_fail=True)


def _start_workers(root: Path, used: Slots) -> None:
    """Let DVC have as many workers as slots; those that run already are left alone."""
    path = f"{Path(DVC[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # they call `dvc`
    for number, variables in enumerate(used, start=1):
        done = subprocess.run(
            [*DVC, "queue", "start", "--jobs", str(number)],
            cwd=root,
            env={**os.environ, "PATH": path, **variables},
            check=False,
            stdout=subprocess.DEVNULL,  # a pipe would stay open in the workers, and be waited for
            stderr=subprocess.DEVNULL,
        )
        if done.returncode:
            raise UserError(f"{root}: dvc queue start ended with status {done.returncode}")


def _dvc(root: Path, *words: str, may_fail: bool = False) -> str:
    """Run DVC and return what it prints.

    Raises:
        UserError: with DVC's own last line, when it fails.
    """
    done = subprocess.run([*DVC, *words], cwd=root, check=False, capture_output=True, text=True)
    if done.returncode and not may_fail:
        lines = done.stderr.splitlines()
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
        said = errors[0] if errors else f"ended with status {done.returncode}"
        raise UserError(f"{root}: dvc {' '.join(words[:2])}: {said}")
    return done.stdout
