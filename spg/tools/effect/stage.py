"""Stage ``effect``: what disputed choices change, each by cells trained anew, compared by image.

A pipeline of its own (effects/dvc.yaml), since it costs more than all results of the default.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from shutil import rmtree
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spg.compare.statistics.intervals import two_way_interval
from spg.data.results.tables import read_table
from spg.evaluate.per_image import cell_errors
from spg.networks.weights.stage import make_weights
from spg.project.errors import UserError
from spg.project.files import write_bytes, write_json
from spg.project.fingerprint import code_of, fingerprint
from spg.project.locks import writing
from spg.project.parallel import default_workers, in_order
from spg.project.params import Params, parse_params, read_model, read_yaml
from spg.project.schema.evaluation import ComparisonParams
from spg.project.schema.kinds import Strict
from spg.project.seeding import generator
from spg.project.workspace import Cell, Workspace
from spg.tools.effect.inputs import link, read_by
from spg.tools.effect.rerun import ROOMS, run_cell
from spg.tools.effect.settings import with_settings

KIND, EXTRACTOR = "selected", "cam"
METRICS = ("gt_known_loc_err", "top1_loc_err", "top1_cls_err")


class BaseCell(Strict):
    """Which cells are changed, one a seed."""

    dataset: str
    backbone: str
    method: str


class Effect(Strict):
    """One change of params.yaml."""

    entry: Annotated[int, Field(ge=1)]
    """Of PROTOCOL.md."""
    set: Annotated[list[str], Field(min_length=1)]
    """``key.path=value``, the value as YAML."""


class EffectsParams(Strict):
    """All of effects/params.yaml."""

    cell: BaseCell
    seeds: Annotated[list[int], Field(min_length=1)]
    effects: dict[str, Effect]


def measure_effects(workspace: Workspace) -> None:
    """Measure every effect of effects/params.yaml (:func:`measure`)."""
    measure(workspace, list(read_model(EffectsParams, _study(workspace)).effects))


class _Plan(NamedTuple):
    """What one effect takes."""

    effect: Effect
    own: Workspace
    """Where its cells are made; its name holds parameters, data, code and what is compared."""
    changed: Params
    target: Path

    @property
    def result(self) -> Path:
        return self.own.root / "result.json"


def measure(workspace: Workspace, names: Sequence[str]) -> None:
    """Write ``reports/<dataset>/effects/<name>.json`` of each effect: errors without and with it.

    What the change leaves as it is, is taken from the pipeline: trained cells where it acts on
    localization or evaluation alone. Cells of all effects are made side by side, SPG_WORKERS of
    them. What is finished stays in .scratch, under a name that holds parameters, data, code and the
    cells it is compared with: a further run takes it from there.

    Raises:
        UserError: when there is no such effect, or its keys or values do not fit params.yaml.
    """
    path = _study(workspace)
    study = read_model(EffectsParams, path)
    base = parse_params(read_yaml(workspace.params_file), workspace.params_file.name)
    cells = [Cell(**study.cell.model_dump(), seed=seed) for seed in study.seeds]
    plans = [_plan(workspace, study, base, cells, name) for name in names]
    with ExitStack() as locks:
        for plan in plans:
            locks.enter_context(writing(workspace, plan.target))
        waiting = [plan for plan in plans if not plan.result.exists()]
        for plan in waiting:
            _link_inputs(workspace, plan.own, base, plan.changed, cells)
        tasks = [(plan.own, plan.changed, cell) for plan in waiting for cell in cells]
        made = in_order(_run_task, tasks, workers=min(default_workers(), len(tasks)))
        for plan in plans:
            if plan in waiting:
                deque(islice(made, len(cells)), maxlen=0)
                delta = base.evaluation.iou_threshold
                found = compare_cells(
                    workspace, plan.own, cells, base.comparison, iou_threshold=delta
                )
                write_json(plan.result, plan.effect.model_dump() | found)
            for folder in plan.own.root.iterdir():
                if folder.is_dir():
                    rmtree(folder)
            write_bytes(plan.target, plan.result.read_bytes())


def _run_task(task: tuple[Workspace, Params, Cell]) -> None:
    run_cell(*task)


def _plan(
    workspace: Workspace, study: EffectsParams, base: Params, cells: list[Cell], name: str
) -> _Plan:
    path = _study(workspace)
    if name not in study.effects:
        raise UserError(f"{path}: effects has no {name!r}; there are {sorted(study.effects)}")
    effect, where = study.effects[name], f"{path}: effects.{name}.set"
    mapping = read_yaml(workspace.params_file)
    changed = parse_params(with_settings(mapping, effect.set, where), where)
    first = cells[0]
    facts = [effect.model_dump_json(), read_by(changed, first), read_by(base, first)]
    identity = fingerprint(*facts, *_compared(workspace, cells), *code_of(ROOMS))
    own = Workspace(workspace.scratch / f"effect-{name}-{identity}")
    target = workspace.report(first.dataset) / f"effects/{name}.json"
    return _Plan(effect, own, changed, target)


def _study(workspace: Workspace) -> Path:
    return workspace.root / "effects/params.yaml"


def _compared(workspace: Workspace, cells: list[Cell]) -> list[Path]:
    """Return the results that the changed cells are compared with, and what all start from."""
    first = cells[0]
    files = [
        workspace.packed(first.dataset) / "manifest.parquet",
        workspace.weights(first.backbone),
        *(workspace.evaluation(cell) / "per_image.parquet" for cell in cells),
    ]
    for file in files:
        if not file.exists():
            raise UserError(f"{file}: no such file; run `dvc repro` first")
    return files


def compare_cells(
    workspace: Workspace,
    own: Workspace,
    cells: list[Cell],
    rule: ComparisonParams,
    *,
    iou_threshold: float,
) -> dict[str, Any]:
    """Return the mean errors without and with the change, and the paired difference.

    A positive difference means more errors with the change; its interval is that of all
    comparisons, over images and seeds (PROTOCOL 14).
    """
    before = {name: _errors(workspace, cells, name, iou_threshold) for name in METRICS}
    after = {name: _errors(own, cells, name, iou_threshold) for name in METRICS}
    result: dict[str, Any] = {}
    for name in METRICS:
        interval = two_way_interval(
            after[name] - before[name],
            resamples=rule.resamples,
            confidence=rule.confidence,
            rng=generator(rule.seed, "effect", name),
        )
        result[name] = {
            "before": float(before[name].mean()),
            "after": float(after[name].mean()),
            "difference": interval._asdict(),
        }
    seeds, images = before[METRICS[0]].shape
    return result | {"seeds": seeds, "images": images}


def _errors(
    workspace: Workspace, cells: list[Cell], metric: str, iou_threshold: float
) -> NDArray[np.float64]:
    """Return ``Float[S, N]`` of 0 and 1 at the selected threshold."""
    rows = []
    for cell in cells:
        path = workspace.evaluation(cell) / "per_image.parquet"
        if not path.exists():
            raise UserError(f"{path}: no such file; run `dvc repro` first")
        table = read_table(path)
        table = table[table["extractor"] == EXTRACTOR]
        columns = {str(name): table[name].to_numpy() for name in table}
        wrong = cell_errors(columns, KIND, iou_threshold=iou_threshold)
        rows.append(wrong[metric])
    return np.stack(rows).astype(np.float64)


def _link_inputs(
    workspace: Workspace, own: Workspace, base: Params, changed: Params, cells: list[Cell]
) -> None:
    first = cells[0]
    link(workspace.packed(first.dataset), own.packed(first.dataset))
    weights = own.weights(first.backbone)
    setups = [params.setup(first.dataset, first.backbone) for params in (base, changed)]
    if setups[0].stem.weights == setups[1].stem.weights:
        link(workspace.weights(first.backbone), weights)
    elif not weights.exists():
        make_weights(own, changed, first.dataset, first.backbone)
    for cell in cells:
        if _training(base, cell) == _training(changed, cell):
            link(workspace.run(cell), own.run(cell))
            if base.localization == changed.localization:
                link(workspace.maps(cell), own.maps(cell))


def _training(params: Params, cell: Cell) -> tuple[object, ...]:
    """Return what the training of a guided cell reads."""
    setup = params.setup(cell.dataset, cell.backbone)
    return setup, params.spg_of(cell.method), params.guidance, params.pretraining
