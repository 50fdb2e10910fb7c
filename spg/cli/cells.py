"""Commands that run a stage for one cell: train, localize, sweep, evaluate, and verify."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from spg.cli.options import (
    FiniteRange,
    cell_of,
    cell_options,
    command,
    dataset_option,
    params_of,
)
from spg.project.command_line import workspace
from spg.project.environment import is_first, is_worker
from spg.project.errors import UserError
from spg.project.locks import BusyError
from spg.project.params import Params
from spg.project.workspace import Cell

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 2.0


@command()
@cell_options
@click.option(
    "--pilot",
    type=click.IntRange(min=1),
    is_flag=False,
    flag_value=300,
    metavar="[STEPS]",
    help="Take the first STEPS steps alone (300), write nothing, and say whether the cell learns: "
    "exit status 0 if it does, 1 if its loss is still that of a guess.",
)
def train(pilot: int | None, **options: Any) -> None:
    """Train one cell into runs/DATASET/BACKBONE-METHOD-SEED.

    Data and stem weights that are missing are made first. Ctrl-C is safe: the same command goes
    on from the last checkpoint. SPG_NPROC=N trains in N processes under torchrun, one a GPU.
    """
    from spg.networks.compute.launch import in_processes
    from spg.train.stage import train_cell

    params, cell = cell_of(**options)
    if not is_worker():
        _make_inputs(params, cell)
    if pilot is not None:
        _pilot(params, cell, pilot)
    in_processes(train_cell)(workspace(), params, cell)
    if is_first():
        click.echo(f"wrote {workspace().run(cell).relative_to(workspace().root)}")


def _pilot(params: Params, cell: Cell, steps: int) -> None:
    """Say whether a cell learns, and end with that as the status."""
    from spg.tools.pilot import as_text
    from spg.tools.pilot import pilot as first_steps

    found = first_steps(workspace(), params, cell, steps)
    click.echo(as_text(found, cell))
    sys.exit(0 if found.learns else 1)


@command()
@cell_options
def localize(**options: Any) -> None:
    """Write class scores and raw maps of a trained cell into maps/.

    SPG_NPROC=N divides the images among N processes under torchrun; the result is the same.
    """
    from spg.localize.stage import localize_cell
    from spg.networks.compute.launch import in_processes

    in_processes(localize_cell)(workspace(), *cell_of(**options))


@command()
@cell_options
def sweep(**options: Any) -> None:
    """Measure a cell's maps at every map threshold of the grid into sweep/."""
    from spg.evaluate.sweep.stage import sweep_cell

    sweep_cell(workspace(), *cell_of(**options))


@command()
@dataset_option
@click.option("--backbone", help="Backbone of the cell. Default: the first of `backbones`.")
@click.option("--method", help="Method of the one cell to evaluate, with --seed. Default: all.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of that cell.")
def evaluate(
    dataset: str | None, backbone: str | None, method: str | None, seed: int | None
) -> None:
    """Turn what `sweep` measured into errors, at the fixed, the selected and the oracle threshold.

    Without --method and --seed every cell of params.yaml is evaluated, in one process, as the
    stage of dvc.yaml does; with them one cell, whose numbers are printed too. Writes into eval/.
    """
    from spg.evaluate.stage import evaluate as stage
    from spg.evaluate.stage import evaluate_cell

    if method is None and seed is None and backbone is None:
        params, name = params_of(dataset)
        stage(workspace(), params, name)
        return
    if method is None or seed is None:
        raise UserError("one cell takes both --method and --seed; all cells take neither")
    params, cell = cell_of(dataset, backbone, method, seed)
    evaluate_cell(workspace(), params, cell)
    metrics = workspace().evaluation(cell) / "metrics.json"
    click.echo(metrics.read_text(encoding="utf-8"), nl=False)


@command()
@cell_options
@click.option(
    "--statistically",
    type=click.IntRange(min=1),
    metavar="N",
    help="Instead, train N new seeds, --seed and those after it, and compare their GT-known errors "
    "with the spread of the committed report's.",
)
@click.option(
    "--margin",
    type=FiniteRange(min=0, min_open=True),
    show_default="2.0",
    help="With --statistically: differences below it, in points, do not matter.",
)
def verify(statistically: int | None, margin: float | None, **options: Any) -> None:
    """Make a finished cell again and say whether all its files are the same, byte for byte.

    Trains, localizes, sweeps and evaluates in .scratch, from the data and stem weights that are
    there; the finished cell is only read. Status 0: equal; 1: a line for each file that differs,
    with where. Another processor, thread count or version of torch changes the last bits.

    Where bytes are too strict, --statistically asks whether new seeds are like the committed ones.
    Status 0: the same, within the margin; 1: different; 3: so few seeds cannot tell.
    """
    from spg.tools.verify import verify_cell

    params, cell = cell_of(**options)
    if statistically is not None:
        from spg.tools.reseed import STATUS, reseed, told

        points = (2.0 if margin is None else margin) / 100
        verdict, known, errors = reseed(workspace(), params, cell, statistically, margin=points)
        for line in told(verdict, known, errors, points):
            click.echo(line)
        sys.exit(STATUS[verdict.verdict])
    if margin is not None:
        raise UserError("--margin belongs to --statistically; bytes have none")
    found = verify_cell(workspace(), params, cell)
    for line in found:
        click.echo(line)
    click.echo(f"{cell.dataset}/{cell.name}: {'not ' if found else ''}equal, byte for byte")
    if found:
        sys.exit(1)


def _make_inputs(params: Params, cell: Cell) -> None:
    """Make the packed data and the stem weights where they are missing; others are refused."""
    from spg.data.fetch.stage import fetch as fetch_stage
    from spg.data.prepare.stage import prepare as prepare_stage
    from spg.networks.weights.stage import make_weights
    from spg.tools.stem_check import check_stem

    project, dataset, backbone = workspace(), cell.dataset, cell.backbone
    _made(project.raw(dataset), lambda: fetch_stage(project, params, dataset))
    _made(project.packed(dataset), lambda: prepare_stage(project, params, dataset))
    _made(project.weights(backbone), lambda: make_weights(project, params, dataset, backbone))
    check_stem(project, params, dataset, backbone)


def _made(target: Path, make: Callable[[], None]) -> None:
    """Make ``target`` unless it is there; where another command is making it, wait for that."""
    while not target.exists():
        try:
            make()
        except BusyError:
            log.info("another command is making %s; waiting for it", target)
            time.sleep(SECONDS_BETWEEN_LOOKS)
