"""paper.yaml: what others report. Data, never computed with except for differences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from spg.compare.variants import Variant
from spg.evaluate.image_errors import ERRORS
from spg.evaluate.per_image import COVERED
from spg.project.params import read_model
from spg.project.schema.kinds import Strict

ACCURACIES = (
    "max_box_acc", "max_box_acc_v2", "px_ap", "gt_known_loc_acc", "top1_loc_acc", "top5_loc_acc",
    "top1_cls_acc", "top5_cls_acc",
)  # fmt: skip

GOOGLENET = "inception_v3"
"""Our backbone that is the paper's GoogLeNet, of which a row is that names no backbone."""


def stand_in(backbones: Sequence[str]) -> str:
    """Return which of our backbones stands beside the paper's GoogLeNet: it, where it ran.

    Another says something of the order of methods, and nothing of the level.
    """
    return GOOGLENET if GOOGLENET in backbones else backbones[0]


class Ours(NamedTuple):
    """What our numbers are of: it decides which reported ones stand beside them."""

    dataset: str | None
    """As :meth:`Paper.whole` names it; see :meth:`Paper.stands_beside`."""
    googlenet: str
    """Our backbone beside rows that name none (:func:`stand_in`)."""
    normalization: str
    """Of the maps. Beside errors stand the paper's all the same, which are of min-max; an accuracy
    stands beside one of the same normalization alone."""


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
    normalization: Literal["min_max", "max", "pas", "ivr"] = "min_max"
    """How its maps are brought to [0, 1] (PROTOCOL 32)."""
    backbone: str | None = None
    """Which one the row names besides GoogLeNet; ``None``: that one (:func:`stand_in`)."""
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
    """``None``: the paper's GoogLeNet (:func:`stand_in`)."""
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
    dataset: str | None = None
    """The one data set that it is about; ``None``: it is asked on every one."""
    metric: Metric
    better: Side
    worse: Side
    reported: Reported | None
    note: str


class DatasetName(Strict):
    """How tables call a data set."""

    title: str
    short: str
    classes: int | None = None
    """How many it has; with fewer it is another data set, whose errors are lower."""


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
            known = {result.id for result in self.results}
            missing = {sides.better, sides.worse} - known if sides else set()
            if missing:
                raise ValueError(f"claims: {claim.id} cites {sorted(missing)[0]!r}, no such result")
            if claim.dataset not in (None, *self.datasets):
                where = f"{claim.dataset!r}, which `datasets` does not name"
                raise ValueError(f"claims: {claim.id} is about {where}")
            if sides and len({self.result(one).dataset for one in sides.model_dump().values()}) > 1:
                raise ValueError(f"claims: {claim.id} cites results on two data sets")
        return self

    def title_of(self, dataset: str) -> str:
        """Return how tables call a data set; its own name where paper.yaml has no other."""
        return self.datasets[dataset].title if dataset in self.datasets else dataset

    def whole(self, kind: str, classes: int) -> str | None:
        """Return which of the paper's data sets ours is, whatever params.yaml calls it.

        Args:
            kind: of its source.
            classes: how many it has; a part of ILSVRC's classes is a data set of its own.
        """
        known = self.datasets.get(kind)
        return kind if known is not None and known.classes == classes else None

    def stands_beside(self, dataset: str | None, metric: str) -> str:
        """Return the data set whose reported numbers stand beside ours.

        It is the same one where something of that kind is reported on it: any error beside errors,
        else the same metric. Numbers on any other stand beside those on ILSVRC, whose levels say
        nothing there, but whose order of methods does.

        Args:
            dataset: as :meth:`whole` names it.
            metric: one of the errors, or another.
        """
        kind = ERRORS if metric in ERRORS else (metric,)
        own = any(r.dataset == dataset and r.metric in kind for r in self.results)
        return str(dataset) if own else "ilsvrc"

    def result(self, result_id: str) -> Result:
        """Return a reported number by its id."""
        return next(result for result in self.results if result.id == result_id)

    def find(
        self, variant: Variant, metric: str, ours: Ours, *, classifier: str | None = None
    ) -> Result | None:
        """Return the reported number of a variant that ours stands beside, where there is one.

        Args:
            variant: one of ours.
            metric: one of the errors, or another.
            ours: what ours are of.
            classifier: whose classes stand beside its boxes; ``None``: its own.
        """
        where = self.stands_beside(ours.dataset, metric)
        found = [
            result
            for result in self.results
            if (result.method, result.extractor) == (variant.method, variant.extractor)
            and (result.backbone or ours.googlenet) == variant.backbone
            and (result.metric, result.classifier) == (metric, classifier)
            and (metric in ERRORS or result.normalization == ours.normalization)
            and result.dataset == where
        ]
        return min(found, key=lambda result: result.backbone is None, default=None)

    def claims_on(self, dataset: str | None) -> list[Claim]:
        """Return the claims that are asked on a data set: its own, and those of none in particular.

        Args:
            dataset: as :meth:`whole` names it.
        """
        return [claim for claim in self.claims if claim.dataset in (None, dataset)]

    def reported_gain(self, claim: Claim) -> float | None:
        """Return the reported difference worse - better in points, where numbers exist."""
        if claim.reported is None:
            return None
        better, worse = self.result(claim.reported.better), self.result(claim.reported.worse)
        return round(worse.value - better.value, 2)

    def reported_on(self, claim: Claim) -> str | None:
        """Return the data set that :meth:`reported_gain` is of."""
        return None if claim.reported is None else self.result(claim.reported.better).dataset


def load_paper(path: Path) -> Paper:
    """Read and check paper.yaml.

    Raises:
        UserError: one sentence that names the file and the key.
    """
    return read_model(Paper, path)
