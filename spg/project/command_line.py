"""From a command line to a stage: its arguments, the project in the current folder, its params."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from spg.project.checkout import check_checkout
from spg.project.ending import guarded
from spg.project.errors import UserError
from spg.project.params import Params, load_params
from spg.project.workspace import Cell, Workspace

DatasetStage = Callable[[Workspace, Params, str], None]
PluginStage = Callable[[Workspace, Params, str, str], None]
ProjectStage = Callable[[Workspace], None]
CellStage = Callable[[Workspace, Params, Cell], None]


def run_dataset_stage(stage: DatasetStage) -> None:
    """Run a stage of dvc.yaml whose only argument is a data set."""
    dataset = _arguments("dataset")["dataset"]
    _run(lambda: stage(workspace(), checked_params(dataset), dataset))


def run_plugin_stage(stage: PluginStage) -> None:
    """Run a stage of dvc.yaml whose arguments are a data set and a backbone or a classifier."""
    dataset, plugin = _arguments("dataset", "plugin").values()
    _run(lambda: stage(workspace(), checked_params(dataset), dataset, plugin))


def run_project_stage(stage: ProjectStage) -> None:
    """Run a stage of effects/dvc.yaml, which has no argument."""
    _arguments()
    _run(lambda: stage(workspace()))


def run_cell_stage(stage: CellStage) -> None:
    """Run a stage of dvc.yaml whose arguments are the coordinates of a cell."""
    dataset, backbone, method, seed = _arguments("dataset", "backbone", "method", "seed").values()
    cell = Cell(dataset, backbone, method, int(seed))
    _run(lambda: stage(workspace(), checked_params(dataset, method), cell))


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


def _run(stage: Callable[[], None]) -> None:
    def checked() -> None:
        check_checkout(Path.cwd())
        stage()

    guarded(checked)


def _arguments(*names: str) -> dict[str, str]:
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(name)
    return vars(parser.parse_args())
