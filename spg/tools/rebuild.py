"""``spg repro``: everything that ``dvc repro`` makes, several cells at once, through DVC itself.

DVC runs one stage after the other. Its locks let several ``dvc repro`` with targets of their own
share a project, so a cell is one such process, and what is left to do for all cells together comes
after them. The bytes are those of ``dvc repro``, whatever the number of jobs: nothing that a cell
computes depends on its neighbors.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from spg.project.errors import UserError, first_few
from spg.project.params import Params
from spg.project.workspace import Cell, Workspace
from spg.tools.slots import Slot

STAGES = ("train", "localize", "sweep")
"""Of a cell, in their order."""
SECONDS_TO_END = 20.0
"""For DVC to take note of an interruption, before it is killed."""


def rebuild(workspace: Workspace, params: Params, slots: Callable[[int], Sequence[Slot]]) -> None:
    """Make what all cells share, then the cells that are not up to date, then the rest.

    One line for each cell that ends, with an estimate of the time left. A cell that fails stops no
    other. Ctrl-C and SIGTERM end every job; the same command goes on from the checkpoints.

    Args:
        workspace: the project.
        params: all parameters.
        slots: from the number of cells to what each of those that run at once may use.

    Raises:
        UserError: names the cells that failed, their logs, and the first one's last line.
    """
    repro(workspace.root, "prepare", "weights")
    stale = _stale(workspace.root, params)
    failed = _run_cells(workspace, stale, slots(len(stale)))
    if failed:
        first, log = next(iter(failed.items()))
        said = _said(log)
        raise UserError(
            f"{len(failed)} of {len(stale)} cells failed: {first_few(list(failed))}; {first}: "
            f"{said} ({log}); mend that, then run the same command again for the rest"
        )
    repro(workspace.root)


def _run_cells(
    workspace: Workspace, stale: Mapping[str, Sequence[str]], used: Sequence[Slot]
) -> dict[str, Path]:
    """Run DVC for the stages of each cell; return the logs of those that failed.

    What the cells share is up to date by now, and left out: DVC locks what it looks at.
    """
    logs = workspace.scratch / "repro"
    logs.mkdir(parents=True, exist_ok=True)
    free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
    for slot in used:
        free.put(slot)
    running: set[subprocess.Popen[bytes]] = set()

    def run(name: str, targets: Sequence[str]) -> tuple[Path, int, float]:
        slot, start, log = free.get(), time.monotonic(), logs / f"{name}.log"
        try:
            with log.open("wb") as said:
                with slot.taken() as environment:
                    process = subprocess.Popen(
                        [*DVC, "--wait-for-lock", "repro", "--single-item", *targets],
                        cwd=workspace.root,
                        env=environment,
                        stdout=said,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                running.add(process)
                status = process.wait()
                running.discard(process)
            return log, status, time.monotonic() - start
        finally:
            free.put(slot)

    failed: dict[str, Path] = {}
    start = time.monotonic()
    with ThreadPoolExecutor(len(used)) as pool, _ended_together(pool, running):
        jobs = {pool.submit(run, name, targets): name for name, targets in stale.items()}
        for done, job in enumerate(as_completed(jobs), start=1):
            log, status, seconds = job.result()
            if status:
                failed[jobs[job]] = log
            elapsed = time.monotonic() - start
            left = elapsed / done * (len(jobs) - done)
            word = "failed after" if status else "done in"
            click.echo(
                f"{done}/{len(jobs)} {jobs[job]} {word} {seconds:.0f} s; {elapsed / 60:.1f} min so "
                f"far, about {left / 60:.1f} left"
            )
    return dict(sorted(failed.items()))


@contextmanager
def _ended_together(pool: ThreadPoolExecutor, running: set[subprocess.Popen[bytes]]) -> Any:
    """End every job when the block is left by an interruption, and start no other."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        _end(running)
        raise


def _end(running: Collection[subprocess.Popen[bytes]]) -> None:
    """End processes that lead sessions, with all that they started; DVC takes note of SIGINT."""
    for sent in (signal.SIGINT, signal.SIGKILL):
        until = time.monotonic() + SECONDS_TO_END
        for process in list(running):
            if process.poll() is None:
                os.killpg(process.pid, sent)
        while time.monotonic() < until and any(p.poll() is None for p in list(running)):
            time.sleep(0.1)


def _said(log: Path) -> str:
    """Return the sentence with which a cell's stage ended."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line for line in lines if line.lower().startswith("error:")), "no error was said")


def _stale(root: Path, params: Params) -> dict[str, list[str]]:
    """Return the cells of which DVC would run a stage, each with its stages in their order."""
    asked = subprocess.run(
        [*DVC, "status", "--json"], cwd=root, check=False, capture_output=True, text=True
    )
    if asked.returncode:
        raise UserError(f"{root}: dvc status: {asked.stderr.strip() or 'failed'}")
    changed = set(json.loads(asked.stdout.strip().splitlines()[-1]))
    found = {}
    for cell in params.cells(params.dataset):
        names = [f"{stage}{_group(params, cell)}@{_item(cell)}" for stage in STAGES]
        if changed & set(names):
            found[cell.name] = names
    return found


def _group(params: Params, cell: Cell) -> str:
    """Return how the cell's stages are called in dvc.yaml, behind their own name."""
    groups = {"_ablation": params.ablations, "_guided": params.guided, "_own": params.own_methods}
    return next((group for group, methods in groups.items() if cell.method in methods), "")


def _item(cell: Cell) -> str:
    return f"{cell.dataset}-{cell.name}"


def repro(root: Path, *targets: str) -> None:
    """Run ``dvc repro`` in this terminal; an interruption ends it with all that it started.

    Raises:
        UserError: when it fails; it has said why.
    """
    process = subprocess.Popen([*DVC, "repro", *targets], cwd=root, start_new_session=True)
    try:
        status = process.wait()
    except BaseException:
        _end([process])
        raise
    if status:
        raise UserError(f"{root}: dvc repro ended with status {status}, as said above")


DVC = (sys.executable, "-m", "dvc")
