"""``spg search METHOD``: settings drawn at random, of which held-out images choose one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spg.data.images.manifest import TRAIN_FULLSUP, read_labels
from spg.networks.parts.build import build_network
from spg.project.errors import UserError
from spg.project.files import whole_file, write_text
from spg.project.fingerprint import code_of, fingerprint
from spg.project.params import Params, parse_params, read_yaml
from spg.project.plugins import find_plugin
from spg.project.workspace import Cell, Workspace
from spg.tools.check_params import check_params
from spg.tools.effect.inputs import read_by
from spg.tools.effect.rerun import ROOMS
from spg.tools.effect.settings import with_settings
from spg.tools.rebuild import repro
from spg.tools.search.criterion import Held, held_out_error, nothing_held_out
from spg.tools.search.experiments import Trial, run_trials, why_it_failed
from spg.tools.search.outcomes import Tried, as_table, best_of, told
from spg.tools.search.params_file import in_file
from spg.tools.search.ranges import draw, read_space
from spg.tools.slots import Slot

STUDY = "search/params.yaml"
_BEHIND_THE_SWEEP = ("comparison", "evaluation", "external_classifier")
"""Sections that no stage up to the sweep reads, which is what trials are judged by."""


def search(
    workspace: Workspace,
    params: Params,
    method: str,
    *,
    backbone: str,
    trials: int,
    seeds: int,
    used: Sequence[Slot],
    said: Callable[[str], None],
) -> None:
    """Try ``trials`` settings of a method, say which is best, and write it into params.yaml.

    Each trial is a DVC experiment of the method's cells alone: what is done is not done again, and
    a search that was killed goes on (:mod:`spg.tools.search.experiments`). Test images choose
    nothing.

    Args:
        workspace: the project.
        params: all parameters.
        method: one of its methods.
        backbone: on which it is tried.
        trials: how many; the first ones are the same whatever their number.
        seeds: of each trial, the first of `seeds` in params.yaml.
        used: what each worker may use.
        said: gets the lines to show.

    Raises:
        UserError: when there is no such backbone, a draw does not fit params.yaml or cannot be
            written into it, there are fewer seeds, no image is held out, all trials fail, or what
            they read was edited before one had to start again.
    """
    params.setup(params.dataset, backbone)
    if seeds > len(params.seeds):
        raise UserError(
            f"params.yaml: seeds has {len(params.seeds)}, and --seeds wants {seeds} of them"
        )
    seed, space = read_space(
        workspace.root / STUDY, dataset=params.dataset, backbone=backbone, method=method
    )
    cells = [Cell(params.dataset, backbone, method, one) for one in params.seeds[:seeds]]
    drawn = [draw(space, seed=seed, trial=number) for number in range(trials)]
    planned = _plan(workspace, cells, drawn)
    now = partial(_trials, workspace, cells, drawn)
    done = run_trials(workspace.root, planned, used, now=now, said=said)
    found = [
        _tried(workspace.root, number, trial, values, done, params, cells)
        for number, (trial, values) in enumerate(zip(planned, drawn, strict=True))
    ]
    if not any(one.seeds for one in found):
        raise UserError(f"all {trials} trials failed; the first: {found[0].why}")
    for line in told(found, params.comparison):
        said(line)
    target = workspace.report(params.dataset) / f"search/{backbone}-{method}.csv"
    with whole_file(target) as temporary:
        as_table(found).to_csv(temporary, index=False, float_format="%.6g")
    said(f"wrote {target.relative_to(workspace.root)}")
    _choose(workspace, method, best_of(found), said)


def _choose(workspace: Workspace, method: str, best: Tried, said: Callable[[str], None]) -> None:
    """Write a trial's settings into params.yaml, and say which other methods read them."""
    file = workspace.params_file
    write_text(file, in_file(file.read_text(encoding="utf-8"), best.drawn, STUDY))
    said(f"{file.name} has the settings of trial {best.number} now; `dvc repro` reports them")
    shared = [key for key in best.drawn if key.split(".")[0] != method]
    if shared:
        said(f"other methods that read these have them as well: {', '.join(shared)}")


def _plan(
    workspace: Workspace, cells: Sequence[Cell], drawn: Sequence[Mapping[str, Any]]
) -> list[Trial]:
    """Return the experiments of all draws, once nothing is left that would end them all."""
    file, dataset = workspace.params_file, cells[0].dataset
    read = [_read_as_a_stage(workspace, cells[0], n, values) for n, values in enumerate(drawn)]
    in_file(file.read_text(encoding="utf-8"), drawn[0], STUDY)  # before hours, not behind them
    repro(workspace.root, "prepare", "weights")
    labels = read_labels(workspace.packed(dataset) / "manifest.parquet")
    if not len(labels.rows_of(TRAIN_FULLSUP)):
        raise nothing_held_out()
    build_network(read[0], cells[0], len(labels.classes))  # whose layers a setting may name
    return _trials(workspace, cells, drawn)


def _trials(
    workspace: Workspace, cells: Sequence[Cell], drawn: Sequence[Mapping[str, Any]]
) -> list[Trial]:
    """Return the experiments of all draws, by params.yaml and code as they are now."""
    read = [_read_as_a_stage(workspace, cells[0], n, values) for n, values in enumerate(drawn)]
    return [
        _trial(workspace, params, cells, number, values)
        for number, (params, values) in enumerate(zip(read, drawn, strict=True))
    ]


def _settings(drawn: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{key}={json.dumps(value)}" for key, value in drawn.items())


def _read_as_a_stage(
    workspace: Workspace, cell: Cell, number: int, drawn: Mapping[str, Any]
) -> Params:
    """Return the parameters of one draw, all of them read as the stages will."""
    where = f"{STUDY}: trial {number} of {cell.method}"
    mapping = with_settings(read_yaml(workspace.params_file), _settings(drawn), where)
    params = parse_params(mapping, where)
    check_params(params)
    return params


def _trial(
    workspace: Workspace,
    params: Params,
    cells: Sequence[Cell],
    number: int,
    drawn: Mapping[str, Any],
) -> Trial:
    """Return the experiment of one draw; its name holds parameters, images, weights and code."""
    first = cells[0]
    plugins = [find_plugin("method", params.method_module(first.method))]
    for extractor in params.extractors_of(first.dataset, first.method):
        plugins.append(find_plugin("extractor", extractor))
    unread = {*params.localization.extractors, *_BEHIND_THE_SWEEP} - {first.method}
    read = json.loads(read_by(params, first))
    identity = fingerprint(
        json.dumps({key: value for key, value in read.items() if key not in unread}),
        repr(cells),
        workspace.packed(first.dataset) / "manifest.parquet",
        workspace.weights(first.backbone),
        workspace.root / "dvc.yaml",
        *code_of((*ROOMS, "stages"), *plugins),
    )
    lists: dict[str, list[Any]] = {"own_methods": [], "guided": [], "ablations": []}
    if first.method in params.variants:
        group, lists["guided"] = "sweep_guided", [first.method]
    elif first.method in params.own_methods:
        group, lists["own_methods"] = "sweep_own", [first.method]
    else:
        group, lists["methods"] = "sweep", [first.method]
    lists |= {"backbones": [first.backbone], "seeds": [cell.seed for cell in cells]}
    plan = [f"{key}={json.dumps(value)}" for key, value in lists.items()]
    name = f"search-{first.method.replace('_', '-')}-{number}-{identity[:8]}"
    return Trial(name, (*_settings(drawn), *plan), group)


def _tried(
    root: Path,
    number: int,
    trial: Trial,
    drawn: Mapping[str, Any],
    done: Mapping[str, str],
    params: Params,
    cells: Sequence[Cell],
) -> Tried:
    """Return what came of a trial, of which ``done`` has the revision unless it failed."""
    if trial.name in done:
        return Tried(number, drawn, _read(root, done[trial.name], params, cells))
    return Tried(number, drawn, (), why_it_failed(root, trial.name))


def _read(root: Path, revision: str, params: Params, cells: Sequence[Cell]) -> list[Held]:
    """Return what an experiment's cells say of the held-out images, out of DVC's cache."""
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(str(root), rev=revision)
    held = []
    for cell in cells:
        with TemporaryDirectory() as folder:
            place = Workspace(Path()).sweep(cell).as_posix()
            files.get(place, f"{folder}/sweep", recursive=True)
            extractor = params.extractors_of(cell.dataset, cell.method)[0]
            delta, protocol = params.evaluation.iou_threshold, params.sweep.protocol
            found = held_out_error(Path(folder, "sweep"), extractor, delta, protocol=protocol)
            held.append(found)
    return held
