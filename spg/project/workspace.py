"""Where things lie: the cells of the grid and the folders of a project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GUESSES = 5
"""Classes that are kept of an image, best first: those of the top-5 errors."""

PROVENANCE = "provenance.json"
"""Beside a model: what it came from (:mod:`spg.data.results.provenance`)."""


@dataclass(frozen=True)
class Cell:
    """One point of the grid: a data set, a backbone, a method (or ablation) and a seed."""

    dataset: str
    backbone: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        """Folder of the cell inside its data set's folder, e.g. ``inception_v3-spg-0``."""
        return f"{self.backbone}-{self.method}-{self.seed}"


@dataclass(frozen=True)
class Workspace:
    """The folders below the one that holds params.yaml (design: one folder a data set)."""

    root: Path

    @property
    def params_file(self) -> Path:
        """params.yaml."""
        return self.root / "params.yaml"

    @property
    def paper_file(self) -> Path:
        """paper.yaml, the reported numbers."""
        return self.root / "paper.yaml"

    def raw(self, dataset: str) -> Path:
        """What ``fetch`` leaves."""
        return self.root / "data/raw" / dataset

    def archives(self, dataset: str) -> Path:
        """Where downloads go: outside DVC, so that a rerun of ``fetch`` loads nothing twice."""
        return self.root / "data/archives" / dataset

    def packed(self, dataset: str) -> Path:
        """Arrow shards and manifest.parquet, from ``prepare``."""
        return self.root / "data/packed" / dataset

    def stem(self, backbone: str) -> Path:
        """The project's own stem weights, from ``stem``; in git."""
        return self.root / "stems" / f"{backbone}.safetensors"

    def weights(self, backbone: str) -> Path:
        """Stem weights, from ``weights``."""
        return self.root / "weights" / f"{backbone}.safetensors"

    def run(self, cell: Cell) -> Path:
        """Trained model, history and provenance, from ``train``."""
        return self.root / "runs" / cell.dataset / cell.name

    def maps(self, cell: Cell) -> Path:
        """Scores and raw maps, from ``localize``."""
        return self.root / "maps" / cell.dataset / cell.name

    def sweep(self, cell: Cell) -> Path:
        """Boxes and IoU at every map threshold, from ``sweep``."""
        return self.root / "sweep" / cell.dataset / cell.name

    def evaluations(self, dataset: str) -> Path:
        """A folder for each cell of a data set, from ``evaluate``."""
        return self.root / "eval" / dataset

    def evaluation(self, cell: Cell) -> Path:
        """Per-image table and metrics of one cell, from ``evaluate``."""
        return self.evaluations(cell.dataset) / cell.name

    def class_scores(self, dataset: str, classifier: str) -> Path:
        """Scores of another classifier for the test images, from ``classify``."""
        return self.root / "runs" / dataset / f"classifier-{classifier}.parquet"

    def report(self, dataset: str) -> Path:
        """Tables, figures and pages, from ``compare`` and ``report``."""
        return self.root / "reports" / dataset

    def problems(self, dataset: str) -> Path:
        """Everything that is wrong with a data set, after ``fetch`` or ``prepare`` found it."""
        return self.scratch / f"problems-{dataset}.yaml"

    @property
    def scratch(self) -> Path:
        """Checkpoints of unfinished trainings; outside DVC, safe to delete."""
        return self.root / ".scratch"
