"""Stage ``telling``: SPG and SPG-plain on birds that other parts tell apart (``source.telling``).

A pipeline of its own (telling/dvc.yaml), as the effects are: the pair is trained again for each set
of telling parts, with everything else as in params.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from shutil import rmtree
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from spg.compare.statistics.intervals import Interval, seed_spread, two_way_interval
from spg.data.fetch.stage import fetch
from spg.data.prepare.stage import prepare
from spg.data.results.tables import read_table
from spg.networks.weights.stage import make_weights
from spg.project.errors import UserError
from spg.project.files import whole_files, write_text
from spg.project.fingerprint import code_of, fingerprint
from spg.project.locks import sole_writer
from spg.project.parallel import default_workers, in_order
from spg.project.params import Params, parse_params, read_model, read_yaml
from spg.project.schema.evaluation import ComparisonParams
from spg.project.schema.kinds import Name, Strict
from spg.project.seeding import generator
from spg.project.workspace import Cell, Workspace
from spg.report import charts, figures
from spg.tools.effect.inputs import link, read_by
from spg.tools.effect.rerun import ROOMS, run_cell
from spg.tools.effect.settings import with_settings

EXTRACTOR = "cam"
HIGHER = ("px_ap", "max_box_acc_v2", "covered_object", "covered_parts")
METRICS = ("gt_known_loc_err", *HIGHER, "covered_background")
TABLES = ("telling.csv", "gains.csv")
FIGURES = ("gains.png", "gains.svg")


class Pair(Strict):
    """What is compared."""

    dataset: str
    backbone: str
    better: str
    worse: str


class TellingParams(Strict):
    """All of telling/params.yaml."""

    pair: Pair
    seeds: Annotated[list[int], Field(min_length=1)]
    telling: Annotated[dict[Name, list[str]], Field(min_length=1)]
    """Sets of telling parts by name."""


class Study(NamedTuple):
    """One set of telling parts in a workspace of its own."""

    name: str
    parts: list[str]
    workspace: Workspace
    params: Params


@sole_writer(lambda workspace: workspace.root / "telling")
def measure_telling(workspace: Workspace) -> None:
    """Write ``telling.csv`` (a row a set, method and metric), ``gains.csv`` (a set and metric).

    And the latter as a figure.

    Cells are trained on all cores at once; the set that is params.yaml's own takes its cells from
    the pipeline. What is finished stays in .scratch under a name that holds parameters, code and
    stem, so that an interrupted run goes on.

    Raises:
        UserError: when results of the pipeline are missing, or a key does not fit.
    """
    path = workspace.root / "telling/params.yaml"
    asked = read_model(TellingParams, path)
    mapping, where = read_yaml(workspace.params_file), f"{path}: telling"
    base = parse_params(mapping, workspace.params_file.name)
    own = base.datasets[asked.pair.dataset].source
    values, gains = [], []
    for name, parts in asked.telling.items():
        setting = f"datasets.{asked.pair.dataset}.source.telling=[{', '.join(parts)}]"
        params = parse_params(with_settings(mapping, [setting], where), where)
        study = Study(name, parts, workspace, params)
        if params.datasets[asked.pair.dataset].source != own:
            study = _run(workspace, study, asked)
        table = _tables(study, asked)
        values += list(_value_rows(study, table, base.comparison))
        gains += list(_gain_rows(study, asked, table, base.comparison))
    target = workspace.report(asked.pair.dataset) / "telling"
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_files(target, *FIGURES, *TABLES) as folder:
        for name in FIGURES:
            figures.save(charts.gain_panels(pd.DataFrame(gains)), folder / name)
        for name, rows in zip(TABLES, (values, gains), strict=True):
            frame = pd.DataFrame(rows)
            text = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
            write_text(folder / name, text)


def _run(workspace: Workspace, study: Study, asked: TellingParams) -> Study:
    """Draw the data of a set and train its cells, except what is there of an earlier run."""
    pair, params = asked.pair, study.params
    stem = workspace.stem(pair.backbone)
    facts = read_by(params, _cells(asked, pair.better)[0]) + asked.model_dump_json()
    identity = fingerprint(facts, stem, *code_of(ROOMS))
    own = Workspace(workspace.scratch / f"telling-{study.name}-{identity}")
    if not own.packed(pair.dataset).exists():
        if not own.raw(pair.dataset).exists():
            fetch(own, params, pair.dataset)
        prepare(own, params, pair.dataset)
        rmtree(own.raw(pair.dataset))
    if not own.weights(pair.backbone).exists():
        link(stem, own.stem(pair.backbone))
        link(stem.with_suffix(".sha256"), own.stem(pair.backbone).with_suffix(".sha256"))
        make_weights(own, params, pair.dataset, pair.backbone)
    tasks = [cell for method in (pair.better, pair.worse) for cell in _cells(asked, method)]
    workers = min(default_workers(), len(tasks))
    for _ in in_order(partial(run_cell, own, params), tasks, workers=workers):
        pass
    return study._replace(workspace=own)


def _cells(asked: TellingParams, method: str) -> list[Cell]:
    pair = asked.pair
    return [Cell(pair.dataset, pair.backbone, method, seed) for seed in asked.seeds]


def _tables(study: Study, asked: TellingParams) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return each method's numbers of images, ``Float[S, N]`` by metric."""
    found = {}
    for method in (asked.pair.better, asked.pair.worse):
        seeds = []
        for cell in _cells(asked, method):
            path = study.workspace.evaluation(cell) / "per_image.parquet"
            if not path.exists():
                raise UserError(f"{path}: no such file; run `dvc repro` first")
            table = read_table(path)
            seeds.append(table[table["extractor"] == EXTRACTOR])
        delta = study.params.evaluation.iou_threshold
        found[method] = {
            metric: np.stack([_numbers(table, metric, delta) for table in seeds])
            for metric in METRICS
        }
    return found


def _numbers(table: pd.DataFrame, metric: str, iou_threshold: float) -> NDArray[np.float64]:
    """Return a metric of each image, ``Float[N]``, at the selected threshold where it has one."""
    if metric == "gt_known_loc_err":
        column = table["iou_selected"] < iou_threshold
    else:
        column = table[metric if metric in table else f"{metric}_selected"]
    numbers: NDArray[np.float64] = column.to_numpy(np.float64)
    return numbers


def _value_rows(
    study: Study,
    table: dict[str, dict[str, NDArray[np.float64]]],
    rule: ComparisonParams,
) -> Iterator[dict[str, Any]]:
    for method, metrics in table.items():
        for metric, values in metrics.items():
            yield {
                "telling": study.name,
                "parts": " ".join(study.parts),
                "method": method,
                "metric": metric,
                **_interval(values, rule, study.name, method, metric)._asdict(),
                "seed_std": seed_spread(values),
                "seeds": values.shape[0],
                "images": values.shape[1],
            }


def _gain_rows(
    study: Study,
    asked: TellingParams,
    table: dict[str, dict[str, NDArray[np.float64]]],
    rule: ComparisonParams,
) -> Iterator[dict[str, Any]]:
    better, worse = table[asked.pair.better], table[asked.pair.worse]
    for metric in METRICS:
        gains = better[metric] - worse[metric]
        gains = gains if metric in HIGHER else -gains
        yield {
            "telling": study.name,
            "parts": " ".join(study.parts),
            "metric": metric,
            **_interval(gains, rule, study.name, "gain", metric)._asdict(),
        }


def _interval(values: NDArray[np.float64], rule: ComparisonParams, *names: str) -> Interval:
    return two_way_interval(
        values,
        resamples=rule.resamples,
        confidence=rule.confidence,
        rng=generator(rule.seed, "telling", *names),
    )
