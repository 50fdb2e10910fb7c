"""What a run found, as the report's tables want it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from spg.compare.paper import Paper, stand_in
from spg.compare.selection import selection
from spg.compare.trace import TRACE
from spg.data.images.manifest import class_names
from spg.data.results.tables import read_table
from spg.evaluate.image_errors import ERRORS
from spg.project.errors import UserError
from spg.project.files import read_json
from spg.project.params import Params


class Measured(NamedTuple):
    """The accuracies of one report: what tables of several reports need of each."""

    dataset: str
    theirs: str | None
    """As in :class:`Run`, and so the others."""
    comparison: pd.DataFrame
    accuracies: pd.DataFrame
    normalization: str
    evaluator: str


class Run(NamedTuple):
    """What ``compare`` found, and how to show it."""

    dataset: str
    theirs: str | None
    """Which of the paper's data sets that is (:meth:`spg.compare.paper.Paper.whole`)."""
    backbone: str
    """The one that stands beside the paper's GoogLeNet (:func:`spg.compare.paper.stand_in`)."""
    comparison: pd.DataFrame
    external: pd.DataFrame
    """The same with the classes of external classifiers."""
    accuracies: pd.DataFrame
    claims: pd.DataFrame
    confidence: float
    digits: int
    selection: str
    """How thresholds were selected, as :func:`spg.compare.selection.selection` says it."""
    normalization: str
    """Of the maps."""
    evaluator: str
    """By which rules boxes are drawn and compared (PROTOCOL 18)."""


def read_run(
    folder: Path, params: Params, dataset: str, manifest: pd.DataFrame, paper: Paper
) -> Run:
    """Return what ``compare`` left in a report's folder, and how params.yaml wants it shown.

    Args:
        folder: of the report.
        params: all parameters.
        dataset: whose report.
        manifest: of all its images.
        paper: what is reported.
    """
    entry = params.datasets[dataset]
    return Run(
        dataset=dataset,
        theirs=paper.whole(entry.source.kind, len(class_names(manifest))),
        backbone=stand_in(params.backbones),
        comparison=read_table(folder / "comparison.csv"),
        external=read_table(folder / "external.csv"),
        accuracies=read_table(folder / "accuracies.csv"),
        claims=read_table(folder / "claims.csv"),
        confidence=params.comparison.confidence,
        digits=params.report.digits,
        selection=selection(manifest, params.evaluation.folds, entry.prepare),
        normalization=params.sweep.normalization,
        evaluator=params.sweep.protocol,
    )


def read_measured(folder: Path) -> Measured:
    """Return the accuracies of any report, whose data set this project need not have.

    Raises:
        UserError: when it is no folder of a report, or one from before trace.json named its data.
    """
    facts = read_json(folder / TRACE)
    if "dataset" not in facts:
        raise UserError(f"{folder / TRACE}: does not name its data set; run `dvc repro` again")
    return Measured(
        dataset=facts["dataset"]["name"],
        theirs=facts["dataset"]["published"],
        comparison=read_table(folder / "comparison.csv"),
        accuracies=read_table(folder / "accuracies.csv"),
        normalization=facts["normalization"],
        evaluator=facts["evaluator"],
    )


def reported_numbers(paper: Paper, theirs: str | None) -> str:
    """Return which numbers stand in columns called *reported*, as the end of a sentence.

    Args:
        paper: what is reported.
        theirs: which of the paper's data sets the run's is.
    """
    where = paper.stands_beside(theirs, ERRORS[0])
    text = f"on {paper.title_of(where)} with the paper's own network, where it has a number"
    if where == theirs:
        return text
    return f"{text}; only the order of rows can be compared, not the level"
