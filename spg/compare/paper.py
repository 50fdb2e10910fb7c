"""paper.yaml: what others report. Data, never computed with except for differences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from spg.compare.variants import Variant
from spg.evaluate.image_errors import ERRORS
from spg.evaluate.per_image import COVERED
from spg.project.params import read_model
from spg.project.schema import Strict

ACCURACIES = (
    "max_box_acc", "max_box_acc_v2", "px_ap", "gt_known_loc_acc", "top1_loc_acc", "top5_loc_acc",
    "top1_cls_acc", "top5_cls_acc",
)  # fmt: skip


def _known(metric: str) -> str:
    known = (*ERRORS, *ACCURACIES, *COVERED)
    if metric not in known:
        raise ValueError(f"should be one of {', '.join(known)}")
    return metric


Metric = Annotated[str, AfterValidator(_known)]


class Result(Strict):
    """One reported number."""

    id: str
    table: str
    row: str
    method: str | None
    """Our method that reproduces it, where the suite has one."""
    extractor: str = "cam"
    rule: Literal["threshold", "graph_cut"] = "threshold"
    """How its boxes are drawn."""
    backbone: str | None = None
    """Which one the row names besides GoogLeNet; ``None``: the backbone of the run."""
    classifier: str | None = None
    """Whose classes stand beside the boxes; ``None``: the method's own."""
    dataset: str
    metric: Metric
    value: Annotated[float, Field(ge=0, le=100)]
    """Per cent."""
    status: Literal["confirmed", "single_source"]
    note: str
    missing: str | None = None
    """Why the suite cannot reproduce it, where it has no method for it."""

    @model_validator(mode="after")
    def _method_or_reason(self) -> Result:
        if (self.method is None) == (self.missing is None):
            raise ValueError(f"{self.id}: has either a method or, in `missing`, why there is none")
        return self


class Side(Strict):
    """One side of a claim: a variant of ours."""

    backbone: str | None
    """``None``: the backbone of the run."""
    method: str
    extractor: str
    metric: Metric | None = None
    """``None``: the claim's."""


class Reported(Strict):
    """The two results that a claim compares, by id."""

    better: str
    worse: str


class Claim(Strict):
    """``better`` has a lower error than ``worse``, or more of what is no error."""

    id: str
    text: str
    metric: Metric
    better: Side
    worse: Side
    reported: Reported | None
    note: str


class DatasetName(Strict):
    """How tables call a data set."""

    title: str
    short: str


class Paper(Strict):
    """All of paper.yaml."""

    title: str
    reference: str
    datasets: dict[str, DatasetName]
    results: list[Result]
    claims: list[Claim]

    @model_validator(mode="after")
    def _ids_hold(self) -> Paper:
        ids = [result.id for result in self.results] + [claim.id for claim in self.claims]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"the id {twice[0]!r} stands twice")
        for claim in self.claims:
            sides = claim.reported
            missing = {sides.better, sides.worse} - set(ids) if sides else set()
            if missing:
                raise ValueError(f"claims: {claim.id} cites {sorted(missing)[0]!r}, no such result")
        return self

    def title_of(self, dataset: str) -> str:
        """Return how tables call a data set; its own name where paper.yaml has no other."""
        return self.datasets[dataset].title if dataset in self.datasets else dataset

    def value(self, result_id: str) -> float:
        """Return a reported value, per cent."""
        return next(result.value for result in self.results if result.id == result_id)

    def find(self, variant: Variant, metric: str, classifier: str | None = None) -> Result | None:
        """Return what is reported of a variant on ILSVRC, the number that ours stands beside.

        Args:
            variant: one of ours.
            metric: one of the errors.
            classifier: whose classes stand beside its boxes; ``None``: its own.
        """
        found = [
            result
            for result in self.results
            if (result.method, result.extractor) == (variant.method, variant.extractor)
            and result.backbone in (None, variant.backbone)
            and (result.metric, result.classifier) == (metric, classifier)
            and result.dataset == "ilsvrc"
        ]
        return min(found, key=lambda result: result.backbone is None, default=None)

    def reported_gain(self, claim: Claim) -> float | None:
        """Return the reported difference worse - better in points, where numbers exist."""
        if claim.reported is None:
            return None
        gain = self.value(claim.reported.worse) - self.value(claim.reported.better)
        return round(gain, 2)


def load_paper(path: Path) -> Paper:
    """Read and check paper.yaml.

    Raises:
        UserError: one sentence that names the file and the key.
    """
    return read_model(Paper, path)
