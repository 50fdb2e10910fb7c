"""The sections of params.yaml as strict models: every key is named here, with its range.

Two kinds of section are read elsewhere, by whoever owns them: that of a method beside SPG, by the
``Settings`` of its file in spg/networks/methods, and a data set's ``source``, by the class that its
SPEC in spg/data/datasets names. A new method or data set changes nothing here.

Nothing has a default: what changes a published number stands in params.yaml with its source.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percentile = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
LayerRates = dict[Annotated[str, Field(pattern=r"^\w[\w.]*\.$")], Positive]
"""Layers with a rate of their own, times ``stem_lr``: the beginning of their parameters' names, up
to a dot, e.g. ``stem.layer4.``."""


class Strict(BaseModel):
    """Refuses unknown keys, conversions and changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SourceParams(BaseModel):
    """Where a data set comes from; what stands beside ``kind`` is read by that kind's own class.

    See ``spg.data.layouts``: the data set's SPEC names the class.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    kind: Name

    @property
    def settings(self) -> dict[str, Any]:
        """Every key but ``kind``."""
        return dict(self.model_extra or {})


class PrepareParams(Strict):
    """How ``prepare`` splits and stores the images."""

    holdout_per_class: Annotated[int, Field(ge=0)]
    holdout_from: Literal["train", "test"]
    seed: Seed
    short_side: Annotated[int, Field(ge=32)] | None
    quality: Annotated[int, Field(ge=1, le=100)]
    skip: list[str]


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


class ProtocolStem(Strict):
    """The disputed keys of ``stem``."""

    stride: Literal[8, 16]
    weights: Literal["published", "random"]


class ProtocolOptimizer(Strict):
    """The disputed keys of ``train.optimizer``; ``new_lr_factor`` times ``stem_lr`` is new_lr."""

    new_lr_factor: Positive
    bias_lr_factor: Positive
    weight_decay: NotNegative


class ProtocolTrain(Strict):
    """The disputed keys of ``train``."""

    dropout: Annotated[float, Field(ge=0, lt=1)]
    optimizer: ProtocolOptimizer


class ProtocolSetup(Strict):
    """The disputed keys of how a backbone is trained."""

    stem: ProtocolStem
    input: InputParams
    mask_side: Annotated[int, Field(ge=8)]
    train: ProtocolTrain


class RecipeInput(Strict):
    """Geometry of a recipe; null: as the protocol has it."""

    aspect: Literal["squash", "keep"] | None
    resize: Annotated[int, Field(ge=32)] | None
    crop: Annotated[int, Field(ge=32)] | None


class RecipeOptimizer(Strict):
    """Optimizer of a recipe, null: the protocol's; new_lr is stem_lr times ``new_lr_factor``."""

    name: Literal["sgd", "adamw"]
    stem_lr: Positive
    new_lr_factor: Positive | None
    bias_lr_factor: Positive | None
    weight_decay: NotNegative | None
    layers: LayerRates


class RecipeTrain(Strict):
    """Training of a recipe."""

    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    optimizer: RecipeOptimizer
    schedule: Schedule


class RecipeOverrides(Strict):
    """What a recipe changes of its optimizer for one backbone."""

    stem_lr: Positive | None = None
    new_lr_factor: Positive | None = None
    weight_decay: NotNegative | None = None
    layers: LayerRates | None = None


class RecipeParams(Strict):
    """A published way to train on a data set (:mod:`spg.project.presets`)."""

    input: RecipeInput
    train: RecipeTrain
    optimizer_of: dict[Name, RecipeOverrides]


class DatasetParams(Strict):
    """A data set, and the backbones that are trained on it."""

    source: SourceParams
    prepare: PrepareParams
    recipe: Name | None
    """The one of ``recipes`` that nulls below ``backbones`` stand for."""
    recipes: dict[Name, RecipeParams]
    extractors: dict[Name, Annotated[list[Name], Field(min_length=1)]]
    """By method, in place of ``localization.extractors``."""
    backbones: Annotated[dict[Name, SetupParams], Field(min_length=1)]


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


class ProtocolSpg(Strict):
    """The disputed key of ``spg``."""

    b2_input: Literal["a2", "a2_inner"]


class ProtocolSweep(Strict):
    """The disputed key of ``sweep``."""

    protocol: Literal["paper", "official", "wsolevaluation"]


class ProtocolParams(Strict):
    """One reading of the sources: a value for every disputed key (:mod:`spg.project.presets`).

    ``methods`` has the disputed keys of methods beside SPG, each in that method's section;
    ``train_of`` takes the place of ``setup.train`` for single backbones.
    """

    spg: ProtocolSpg
    methods: dict[Name, dict[str, Any]]
    guidance: GuidanceParams
    sweep: ProtocolSweep
    setup: ProtocolSetup
    train_of: dict[Name, ProtocolTrain]


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
