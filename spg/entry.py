"""From a command line to a stage: the options of a cell, logging, and errors as one sentence."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from spg.config import Params, load_params
from spg.errors import UserError
from spg.workspace import Cell, Workspace

# Waiting OpenMP threads give up their core after some turns, so that two trainings at once on few
# cores disturb each other less. Set before any stage imports torch, which reads it.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

DatasetStage = Callable[[Workspace, Params, str], None]
PluginStage = Callable[[Workspace, Params, str, str], None]
NamedStage = Callable[[Workspace, str], None]
CellStage = Callable[[Workspace, Params, Cell], None]


def run_dataset_stage(stage: DatasetStage) -> None:
    """Run a stage of dvc.yaml whose only argument is a data set."""
    dataset = _arguments("dataset")["dataset"]
    guarded(lambda: stage(workspace(), checked_params(dataset), dataset))


def run_plugin_stage(stage: PluginStage) -> None:
    """Run a stage of dvc.yaml whose arguments are a data set and a backbone or a classifier."""
    dataset, plugin = _arguments("dataset", "plugin").values()
    guarded(lambda: stage(workspace(), checked_params(dataset), dataset, plugin))


def run_named_stage(stage: NamedStage) -> None:
    """Run a stage of effects/dvc.yaml, whose only argument is the name of its entry."""
    name = _arguments("name")["name"]
    guarded(lambda: stage(workspace(), name))


def run_cell_stage(stage: CellStage) -> None:
    """Run a stage of dvc.yaml whose arguments are the coordinates of a cell."""
    dataset, backbone, method, seed = _arguments("dataset", "backbone", "method", "seed").values()
    cell = Cell(dataset, backbone, method, int(seed))
    guarded(lambda: stage(workspace(), checked_params(dataset, method), cell))


def workspace() -> Workspace:
    """Return the project in the current folder."""
    return Workspace(Path.cwd())


def checked_params(dataset: str, method: str | None = None) -> Params:
    """Read params.yaml and check that it knows the data set and the method."""
    params = load_params(workspace().params_file)
    if dataset not in params.datasets:
        raise UserError(
            f"params.yaml: datasets has no {dataset!r}; there are {sorted(params.datasets)}"
        )
    known = sorted(params.localization.extractors)
    if method is not None and method not in known:
        raise UserError(
            f"params.yaml: localization.extractors has no {method!r}; there are {known}"
        )
    return params


def guarded(action: Callable[[], None]) -> None:
    """Run ``action``; a user's mistake becomes one sentence and exit status 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        action()
    except UserError as error:
        sys.exit(_fail(f"error: {error}", 2))
    except KeyboardInterrupt:
        sys.exit(_fail("interrupted; run the same command again to go on", 130))


def _fail(message: str, status: int) -> int:
    sys.stderr.write(message + "\n")
    return status


def _arguments(*names: str) -> dict[str, str]:
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(name)
    return vars(parser.parse_args())
