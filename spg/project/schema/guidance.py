"""The switches of SPG and the thresholds of its guidance."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spg.project.schema.kinds import Fraction, Strict


class SpgParams(Strict):
    """The switches of SPG."""

    cascade: bool
    shared_b: bool
    branch_c: bool
    b2_input: Literal["a2", "a2_inner"]


class SpgOverrides(Strict):
    """What an ablation changes of ``spg``."""

    cascade: bool | None = None
    shared_b: bool | None = None
    branch_c: bool | None = None
    b2_input: Literal["a2", "a2_inner"] | None = None


class ThresholdPair(Strict):
    """The two thresholds of the paper's Eq. 1."""

    low: Fraction
    high: Fraction

    @model_validator(mode="after")
    def _ordered(self) -> ThresholdPair:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be smaller than high {self.high}")
        return self


class MinimumForeground(Strict):
    """The official code's rule for maps with almost no foreground."""

    pixels: Annotated[int, Field(ge=0)]
    fraction_of_max: Fraction
    leak: bool


class GuidanceParams(Strict):
    """From maps to masks."""

    b1: ThresholdPair
    b2: ThresholdPair
    c: ThresholdPair
    minimum_foreground: MinimumForeground
    align_corners: bool
    normalize_first: bool
