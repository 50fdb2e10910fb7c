"""Commands about this machine: plan, doctor, bench."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from spg.cli.options import cell_of, command, dataset_option, json_option, params_of
from spg.project.command_line import checked_params, workspace
from spg.project.environment import is_first
from spg.project.files import write_json
from spg.project.params import Params, load_params
from spg.project.workspace import Cell, Workspace


@command()
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Number of cells at once. Default: as many as have their GPUs; without one, one a core "
    "where `execution.portable` is true, else one.",
)
def repro(jobs: int | None) -> None:
    """Rebuild every result as `dvc repro` does, several cells at once: the same bytes.

    That is where `execution.portable` is true or a GPU computes; else a cell has fewer threads, as
    many as its cores.

    Each has its share of the cores, and of the GPUs in CUDA_VISIBLE_DEVICES: SPG_NPROC of them,
    one without it; with SPG_DEVICE=cpu none. A cell's output goes to .scratch/repro/CELL.log. One
    that fails stops no other and is named at the end. After Ctrl-C the same command goes on.
    """
    from spg.tools.rebuild import rebuild
    from spg.tools.slots import slots_here

    params, _ = params_of(None)
    rebuild(workspace(), params, partial(slots_here, jobs))


@command()
@click.argument("method")
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Number of settings to draw; the first ones are the same whatever their number.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Seeds of each trial: the first of `seeds` in params.yaml.",
)
@click.option("--backbone", help="Backbone to try it on. Default: the first of `backbones`.")
@click.option("--jobs", type=click.IntRange(min=1), help="Trials at once. Default: as `spg repro`.")
def search(method: str, trials: int, seeds: int, backbone: str | None, jobs: int | None) -> None:
    """Draw settings of METHOD from search/params.yaml and keep the best in params.yaml.

    Each trial is a queued DVC experiment on the data set of params.yaml, chosen by held-out images
    and never by test images (PROTOCOL 36). A search that was killed goes on with the same command;
    Ctrl-C ends the waiting, and `dvc queue stop --kill` the trials. What else waits in DVC's queue
    runs with them. Writes reports/DATASET/search/BACKBONE-METHOD.csv.
    """
    from spg.tools.search.command import search as run
    from spg.tools.slots import slots_here

    name = load_params(workspace().params_file).dataset
    params = checked_params(name, method)
    run(
        workspace(), params, method, backbone=backbone or params.backbones[0], trials=trials,
        seeds=seeds, used=slots_here(jobs, trials), said=click.echo,
    )  # fmt: skip


@command()
@click.option(
    "--dataset",
    help="Data set to plan for, which need not be there yet. Default: `dataset` of params.yaml.",
)
@click.option("--backbone", help="Plan this backbone alone. Default: all of `backbones`.")
@json_option
def plan(dataset: str | None, backbone: str | None, json_file: Path | None) -> None:
    """Say what the whole matrix will cost here: images, steps, hours, disk.

    Measures a few training, localization and decoding steps; an estimate, nothing is trained.
    """
    from spg.tools.plan import as_text
    from spg.tools.plan import plan as make_plan

    params, name = params_of(dataset)
    facts = make_plan(workspace(), params, name, [backbone] if backbone else params.backbones)
    click.echo(as_text(facts))
    if json_file is not None:
        write_json(json_file, facts)


@command()
@json_option
def doctor(json_file: Path | None) -> None:
    """Print versions, devices, threads, precision, cache and disk, and what would change results.

    Compares what is installed with requirements.lock, and this machine with the one that trained
    the cells in runs/; reads every section of params.yaml. Status 0: nothing found; 1: there are
    warnings.
    """
    from spg.tools.doctor import as_text, diagnose

    found = diagnose(workspace())
    click.echo(as_text(found))
    if json_file is not None:
        write_json(json_file, found._asdict())
    if found.warnings:
        sys.exit(1)


@command()
@click.argument("work", type=click.Choice(["train", "localize", "evaluate"]))
@dataset_option
@click.option("--backbone", help="Backbone to time. Default: the first of `backbones`.")
@click.option("--method", default="spg", show_default=True, help="Method whose network is timed.")
@click.option(
    "--classes",
    type=click.IntRange(min=2),
    default=200,
    show_default=True,
    help="Number of classes of the network.",
)
@click.option(
    "--side",
    type=click.IntRange(min=32),
    help="Side of the network's input, pixels. Default: as params.yaml says.",
)
@click.option(
    "--batch-size", type=click.IntRange(min=2), help="Images a step. Default: as params.yaml says."
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bf16", "fp16"]),
    help="Precision of the computation. Default: as params.yaml says.",
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Number of steps that are timed.",
)
@json_option
def bench(
    work: Any,
    dataset: str | None,
    backbone: str | None,
    method: str,
    classes: int,
    repeats: int,
    json_file: Path | None,
    **sizes: Any,
) -> None:
    """Time WORK on drawn images: images a second, memory, share of the machine's matmul peak.

    The median of some steps after two that do not count; nothing is written. SPG_NPROC=N times a
    training in N processes.
    """
    from spg.networks.compute.launch import in_processes
    from spg.tools.bench import as_text, with_sizes
    from spg.tools.bench import bench as measure_work

    def measured(_: Workspace, params: Params, cell: Cell) -> None:
        sized = with_sizes(params, cell, **sizes)
        facts = measure_work(sized, cell, work, classes=classes, repeats=repeats)
        if is_first():
            click.echo(as_text(facts))
            if json_file is not None:
                write_json(json_file, facts)

    run = in_processes(measured) if work == "train" else measured
    run(workspace(), *cell_of(dataset, backbone, method, seed=0))
