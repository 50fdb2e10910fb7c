"""What commands share: how they end, their common options, and the cell that options name."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from spg.project.checkout import check_checkout
from spg.project.command_line import checked_params, workspace
from spg.project.ending import guarded
from spg.project.params import Params, load_params
from spg.project.workspace import Cell

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


class FiniteRange(click.FloatRange):
    """A range of numbers that NaN and infinity are not in."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class Group(click.Group):
    """Lists the commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names as they were added."""
        return list(self.commands)


class Command(click.Command):
    """A command whose user's mistakes end with one sentence (:mod:`spg.project.ending`)."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the command on the code of the current folder, or on none."""

        def run() -> None:
            check_checkout(Path.cwd())
            super(Command, self).invoke(ctx)

        guarded(run)


def command(name: str | None = None) -> Callable[[Callable[..., None]], Command]:
    """Return a decorator that makes a function a :class:`Command`."""
    return click.command(name, cls=Command)


def cell_options(command: Decorated) -> Decorated:
    """Add the four options that name a cell; see :func:`cell_of`."""
    options = (
        click.option(
            "--dataset",
            help="Data set of the cell: an entry of `datasets` in params.yaml. Default: `dataset`.",
        ),
        click.option(
            "--backbone",
            help="Backbone of the cell, e.g. inception_v3. Default: the first of `backbones`.",
        ),
        click.option(
            "--method",
            required=True,
            help="Method of the cell: one of `methods` and `guided` in params.yaml, e.g. spg.",
        ),
        click.option(
            "--seed",
            required=True,
            type=click.IntRange(min=0),
            help="Seed of the cell, which tells its repetitions apart: 0, 1, 2 ...",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


dataset_option = click.option(
    "--dataset",
    help="Data set: an entry of `datasets` in params.yaml. Default: `dataset` there.",
)
json_option = click.option(
    "--json", "json_file", type=FILE, help="Write all numbers to this JSON file too."
)


def cell_of(
    dataset: str | None, backbone: str | None, method: str, seed: int
) -> tuple[Params, Cell]:
    """Return all parameters and the cell that the options of :func:`cell_options` name.

    Raises:
        UserError: when there is no such data set, method or backbone, before anything is made.
    """
    defaults = load_params(workspace().params_file)
    cell = Cell(dataset or defaults.dataset, backbone or defaults.backbones[0], method, seed)
    params = checked_params(cell.dataset, method)
    params.setup(cell.dataset, cell.backbone)
    return params, cell


def params_of(dataset: str | None) -> tuple[Params, str]:
    """Return all parameters and the name of the data set that is meant."""
    name = dataset or load_params(workspace().params_file).dataset
    return checked_params(name), name
