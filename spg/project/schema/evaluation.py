"""From trained networks to numbers and pages: maps, sweep, thresholds, intervals, report."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from spg.project.schema.kinds import Count, Fraction, Name, Percentile, Seed, Strict


class LocalizationParams(Strict):
    """Which maps are taken from which trained network."""

    extractors: dict[Name, Annotated[list[Name], Field(min_length=1)]]
    batch_size: Count
    precision: Literal["auto", "float32", "bf16", "fp16"]
    ten_crop: bool


class GraphCutParams(Strict):
    """Which extractors get boxes by GraphCut too, and the quantiles that its colors come from."""

    extractors: list[Name]
    background: Fraction
    foreground: Fraction

    @model_validator(mode="after")
    def _ordered(self) -> GraphCutParams:
        if self.background >= self.foreground:
            raise ValueError(
                f"background {self.background} must be smaller than foreground {self.foreground}"
            )
        return self


class SweepParams(Strict):
    """The evaluator, its grid of map thresholds, boxes that need none, and measures of maps."""

    protocol: Literal["paper", "official", "wsolevaluation"]
    thresholds: Annotated[int, Field(ge=2, le=1000)]
    normalization: Literal["min_max", "max", "pas", "ivr"]
    percentiles: Annotated[list[Percentile], Field(min_length=1, max_length=99)]
    """Of ``ivr``, ascending."""
    graph_cut: GraphCutParams
    measures: list[Name]

    @field_validator("percentiles")
    @classmethod
    def _ascending(cls, percentiles: list[float]) -> list[float]:
        if sorted(set(percentiles)) != percentiles:
            raise ValueError(f"{percentiles} should ascend, each once")
        return percentiles


class EvaluationParams(Strict):
    """From maps to boxes to errors."""

    map_threshold: Fraction
    percentile: Percentile
    """The fixed one of ``ivr``."""
    iou_threshold: Fraction
    folds: Annotated[int, Field(ge=2, le=50)] | None
    """Of test images that choose thresholds for each other, where no image is held out."""


class ComparisonParams(Strict):
    """Intervals and verdicts."""

    resamples: Annotated[int, Field(ge=100)]
    confidence: Fraction
    seed: Seed


class ReportParams(Strict):
    """What the report shows."""

    gallery_images: Annotated[int, Field(ge=1, le=20)]
    digits: Annotated[int, Field(ge=0, le=4)]
