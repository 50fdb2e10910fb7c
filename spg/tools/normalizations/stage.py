"""Stage ``normalizations``: every cell's maps, normalized in each of the four ways (PROTOCOL 32).

Maps are stored raw, so it costs no training: each cell is swept and evaluated again in a workspace
of its own, and compared as the pipeline compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from shutil import rmtree

import pandas as pd

from spg.compare.claims import claims_table
from spg.compare.comparison import comparison_table
from spg.compare.errors import Errors, collect_errors, collect_values
from spg.compare.fits import fit_of
from spg.compare.paper import Ours, load_paper, stand_in
from spg.compare.variants import Grid, grid, read_tables
from spg.data.images.manifest import class_names, read_manifest
from spg.evaluate.metrics.normalization import IVR, NORMALIZATIONS
from spg.evaluate.stage import evaluate_cell
from spg.evaluate.sweep.stage import sweep_cell
from spg.project.files import whole_files, write_text
from spg.project.fingerprint import code_of, fingerprint
from spg.project.locks import sole_writer
from spg.project.parallel import default_workers, in_order
from spg.project.params import Params
from spg.project.workspace import Cell, Workspace
from spg.tools.effect.inputs import link, read_by

NAMES = (*NORMALIZATIONS, IVR)
SHOWN = (("selected", "gt_known_loc_err"), ("none", "max_box_acc_v2"), ("none", "px_ap"))
"""Kinds of threshold and metrics."""
TABLES = ("errors.csv", "claims.csv")
ROOMS = ("spg/project", "spg/data/images", "spg/data/results", "spg/evaluate")
"""Whose edit starts an interrupted run over."""


@sole_writer(lambda workspace, _dataset: workspace.root / "normalizations")
def measure_normalizations(workspace: Workspace, params: Params, dataset: str) -> None:
    """Write ``errors.csv`` (a row a normalization, variant and metric) and ``claims.csv``.

    What is finished stays in .scratch under a name that holds parameters, maps and code, so that an
    interrupted run goes on.

    Args:
        workspace: with the maps and evaluations of `dvc repro`.
        params: all parameters; their own normalization takes what the pipeline has evaluated.
        dataset: whose cells.

    Raises:
        UserError: when results of the pipeline are missing.
    """
    rows = grid(params, dataset)
    used: list[Workspace] = []
    errors: list[pd.DataFrame] = []
    claims: list[pd.DataFrame] = []
    for name in NAMES:
        own, changed = workspace, _with_normalization(params, name)
        if changed != params:
            own = _measured(workspace, changed, dataset, name)
            used.append(own)
        compared = _compared(own, changed, dataset, rows)
        for table, found in zip((errors, claims), compared, strict=True):
            found.insert(0, "normalization", name)
            table.append(found)
    target = workspace.report(dataset) / "normalizations"
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_files(target, *TABLES) as folder:
        for file, tables in zip(TABLES, (errors, claims), strict=True):
            whole = pd.concat(tables, ignore_index=True)
            text = whole.to_csv(index=False, float_format="%.6g", lineterminator="\n")
            write_text(folder / file, text)
    for own in used:
        rmtree(own.root)


def _with_normalization(params: Params, name: str) -> Params:
    sweep = params.sweep.model_copy(update={"normalization": name})
    return params.model_copy(update={"sweep": sweep})


def _measured(workspace: Workspace, params: Params, dataset: str, name: str) -> Workspace:
    """Return a workspace in which every cell is swept and evaluated under ``params``."""
    cells = params.cells(dataset)
    manifest = workspace.packed(dataset) / "manifest.parquet"
    maps = [path for cell in cells for path in sorted(workspace.maps(cell).glob("*"))]
    identity = fingerprint(
        read_by(params, cells[0]), manifest, workspace.paper_file, *maps, *code_of(ROOMS)
    )
    own = Workspace(workspace.scratch / f"normalization-{name}-{identity}")
    link(workspace.paper_file, own.paper_file)
    link(workspace.packed(dataset), own.packed(dataset))
    for cell in cells:
        link(workspace.maps(cell), own.maps(cell))
    workers = min(default_workers(), len(cells))
    for _ in in_order(partial(_measure, own, params), cells, workers=workers):
        pass
    return own


def _measure(own: Workspace, params: Params, cell: Cell) -> None:
    if not (own.evaluation(cell) / "metrics.json").exists():
        sweep_cell(own, params, cell)
        evaluate_cell(own, params, cell)


def _compared(
    workspace: Workspace, params: Params, dataset: str, rows: Grid
) -> Iterator[pd.DataFrame]:
    """Yield the errors and the claims, as the pipeline's compare finds them."""
    paper, rule = load_paper(workspace.paper_file), params.comparison
    manifest = read_manifest(workspace.packed(dataset) / "manifest.parquet")
    theirs = paper.whole(params.datasets[dataset].source.kind, len(class_names(manifest)))
    tables = read_tables(workspace, rows)
    found = collect_errors(tables, iou_threshold=params.evaluation.iou_threshold)
    found |= collect_values(tables)
    images = next(iter(tables.values()))[0]
    resampled = fit_of(workspace, params, rows, manifest, images)(tables)
    shown: Errors = {key: values for key, values in found.items() if key[1:] in SHOWN}
    ours = Ours(theirs, stand_in(params.backbones), params.sweep.normalization)
    yield comparison_table(shown, paper, rule, ours, resampled_of=resampled)
    claims = claims_table(
        found, paper, rule, ours, seeds_of=params.seeds_of, resampled_of=resampled
    )
    yield claims[claims["verdict"] != "not run"]
