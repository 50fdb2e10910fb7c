"""paper.yaml: what others report. Data, never computed with except for differences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from spg.config import describe, read_yaml
from spg.errors import UserError
from spg.metrics.localization import ERRORS


def _known(metric: str) -> str:
    if metric not in ERRORS:
        raise ValueError(f"should be one of {', '.join(ERRORS)}")
    return metric


Metric = Annotated[str, AfterValidator(_known)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Result(_Strict):
    """One reported number."""

    id: str
    table: str
    row: str
    method: str | None
    """Our method of that name, where the suite has one."""
    dataset: str
    metric: Metric
    value: Annotated[float, Field(ge=0, le=100)]
    """Per cent."""
    status: Literal["confirmed", "single_source"]
    note: str


class Side(_Strict):
    """One side of a claim: a variant of ours."""

    backbone: str | None
    """``None``: the backbone of the run."""
    method: str
    extractor: str


class Reported(_Strict):
    """The two results that a claim compares, by id."""

    better: str
    worse: str


class Claim(_Strict):
    """``better`` has a lower error than ``worse``."""

    id: str
    text: str
    metric: Metric
    better: Side
    worse: Side
    reported: Reported | None
    note: str


class Paper(_Strict):
    """All of paper.yaml."""

    title: str
    reference: str
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

    def value(self, result_id: str) -> float:
        """Return a reported value, per cent."""
        return next(result.value for result in self.results if result.id == result_id)

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
    try:
        return Paper.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError(f"{path.name}: {describe(error)}") from None
