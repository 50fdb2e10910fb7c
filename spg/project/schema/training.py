"""How a network is trained: stem, geometry, optimizer, schedule, execution."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from spg.project.schema.kinds import Count, NotNegative, Positive, Seed, Strict

LayerRates = dict[Annotated[str, Field(pattern=r"^\w[\w.]*\.$")], Positive]
"""Layers with a rate of their own, times ``stem_lr``: the beginning of their parameters' names, up
to a dot, e.g. ``stem.layer4.``."""


class StemParams(Strict):
    """Size and origin of the stem."""

    width: Annotated[float, Field(ge=1 / 16, le=1, multiple_of=1 / 16)]
    stride: Literal[8, 16]
    weights: Literal["drawn", "published", "random"]


class InputParams(Strict):
    """Geometry: both sides or the shorter one to ``resize``; in training a square ``crop``."""

    aspect: Literal["squash", "keep"]
    resize: Annotated[int, Field(ge=32)]
    crop: Annotated[int, Field(ge=32)]

    @model_validator(mode="after")
    def _crop_fits(self) -> InputParams:
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} must not exceed resize {self.resize}")
        return self


class OptimizerParams(Strict):
    """Optimizer and its groups."""

    name: Literal["sgd", "adamw"]
    stem_lr: Positive
    new_lr: Positive
    bias_lr_factor: Positive
    weight_decay: NotNegative
    layers: LayerRates


class StepsSchedule(Strict):
    """Rates times ``gamma`` after each of the ``milestones``."""

    name: Literal["steps"]
    milestones: Annotated[list[Count], Field(min_length=1)]
    """Epochs that have ended, ascending."""
    gamma: Annotated[float, Field(gt=0, le=1)]

    @field_validator("milestones")
    @classmethod
    def _ascending(cls, milestones: list[int]) -> list[int]:
        if sorted(set(milestones)) != milestones:
            raise ValueError(f"{milestones} should ascend, each once")
        return milestones


class PolySchedule(Strict):
    """Rates times ``(1 - steps done / all steps) ** power``."""

    name: Literal["poly"]
    power: Positive


def _schedule_tag(schedule: object) -> str | None:
    """Return which of the schedules is meant; describe() leaves tags in brackets out of paths."""
    if isinstance(schedule, str):
        return "[word]"
    name = schedule.get("name") if isinstance(schedule, dict) else getattr(schedule, "name", None)
    return f"[{name}]" if name in ("steps", "poly") else None


Schedule = Annotated[
    Annotated[Literal["constant", "one_cycle"], Tag("[word]")]
    | Annotated[StepsSchedule, Tag("[steps]")]
    | Annotated[PolySchedule, Tag("[poly]")],
    Discriminator(
        _schedule_tag,
        custom_error_type="schedule",
        custom_error_message="should be constant, one_cycle, {name: steps, milestones: [2, 4], "
        "gamma: 0.1} or {name: poly, power: 0.9}",
    ),
]


class TrainParams(Strict):
    """One training."""

    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    optimizer: OptimizerParams
    schedule: Schedule
    precision: Literal["auto", "float32", "bf16", "fp16"]


class ExecutionParams(Strict):
    """How trainings are computed, where that changes their bits."""

    portable: bool
    deterministic: bool
    sync_batchnorm: bool
    compile: bool


class PretrainingParams(Strict):
    """How the default's narrow stem gets its weights."""

    seed: Seed
    side: Annotated[int, Field(ge=32, le=1024)]
    classes: Annotated[int, Field(ge=2, le=60)]
    images_per_class: Count
    input: InputParams
    train: TrainParams


class SetupParams(Strict):
    """How one backbone is trained on one data set: a rung of the ladder."""

    stem: StemParams
    input: InputParams
    mask_side: Annotated[int, Field(ge=8)]
    train: TrainParams
