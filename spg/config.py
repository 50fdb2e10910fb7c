"""params.yaml as a strict model: every key is named here, and a wrong one is one sentence.

Nothing has a default: what changes a published number stands in params.yaml with its source.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from spg.errors import UserError
from spg.presets import apply_protocol

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SyntheticBirdsSource(_Strict):
    """What ``fetch`` draws for a synthetic data set."""

    kind: Literal["synthetic_birds"]
    seed: Seed
    side: Annotated[int, Field(ge=32, le=1024)]
    classes: Annotated[int, Field(ge=2, le=20)]
    train_per_class: Count
    test_per_class: Count


class CubSource(_Strict):
    """CUB-200-2011; addresses and checksums are facts and stand in spg/sources/cub.py."""

    kind: Literal["cub"]
    fullsup: Literal["none", "wsolevaluation"]


class IlsvrcSource(_Strict):
    """ILSVRC 2012 CLS-LOC, below the folder that SPG_ILSVRC_ROOT names."""

    kind: Literal["ilsvrc"]
    fullsup: Literal["none", "wsolevaluation"]


SourceParams = Annotated[
    SyntheticBirdsSource | CubSource | IlsvrcSource, Field(discriminator="kind")
]


class PrepareParams(_Strict):
    """How ``prepare`` splits and stores the images."""

    holdout_per_class: Annotated[int, Field(ge=0)]
    holdout_from: Literal["train", "test"]
    seed: Seed
    short_side: Annotated[int, Field(ge=32)] | None
    quality: Annotated[int, Field(ge=1, le=100)]
    skip: list[str]


class StemParams(_Strict):
    """Size and origin of the stem."""

    width: Annotated[float, Field(gt=0, le=1, multiple_of=1 / 16)]
    stride: Literal[8, 16]
    weights: Literal["pretrained", "published", "random"]


class InputParams(_Strict):
    """Geometry: both sides or the shorter one to ``resize``; in training a square ``crop``."""

    aspect: Literal["squash", "keep"]
    resize: Annotated[int, Field(ge=32)]
    crop: Annotated[int, Field(ge=32)]

    @model_validator(mode="after")
    def _crop_fits(self) -> InputParams:
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} must not exceed resize {self.resize}")
        return self


class OptimizerParams(_Strict):
    """Optimizer and its groups."""

    name: Literal["sgd", "adamw"]
    stem_lr: Positive
    new_lr: Positive
    bias_lr_factor: Positive
    weight_decay: NotNegative


class TrainParams(_Strict):
    """One training."""

    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    optimizer: OptimizerParams
    schedule: Literal["constant", "one_cycle"]
    precision: Literal["auto", "float32", "bf16"]


class PretrainingParams(_Strict):
    """How the default's narrow stem gets its weights."""

    seed: Seed
    side: Annotated[int, Field(ge=32, le=1024)]
    classes: Annotated[int, Field(ge=2, le=60)]
    images_per_class: Count
    input: InputParams
    train: TrainParams


class SetupParams(_Strict):
    """How one backbone is trained on one data set: a rung of the ladder."""

    stem: StemParams
    input: InputParams
    mask_side: Annotated[int, Field(ge=8)]
    train: TrainParams


class ProtocolStem(_Strict):
    """The disputed keys of ``stem``."""

    stride: Literal[8, 16]
    weights: Literal["published", "random"]


class ProtocolOptimizer(_Strict):
    """The disputed keys of ``train.optimizer``; ``new_lr_factor`` times ``stem_lr`` is new_lr."""

    new_lr_factor: Positive
    bias_lr_factor: Positive
    weight_decay: NotNegative


class ProtocolTrain(_Strict):
    """The disputed keys of ``train``."""

    dropout: Annotated[float, Field(ge=0, lt=1)]
    optimizer: ProtocolOptimizer


class ProtocolSetup(_Strict):
    """The disputed keys of how a backbone is trained."""

    stem: ProtocolStem
    input: InputParams
    mask_side: Annotated[int, Field(ge=8)]
    train: ProtocolTrain


class DatasetParams(_Strict):
    """A data set, and the backbones that are trained on it."""

    source: SourceParams
    prepare: PrepareParams
    backbones: Annotated[dict[Name, SetupParams], Field(min_length=1)]


class SpgParams(_Strict):
    """The switches of SPG."""

    cascade: bool
    shared_b: bool
    branch_c: bool
    b2_input: Literal["a2", "a2_inner"]


class SpgOverrides(_Strict):
    """What an ablation changes of ``spg``."""

    cascade: bool | None = None
    shared_b: bool | None = None
    branch_c: bool | None = None
    b2_input: Literal["a2", "a2_inner"] | None = None


class ThresholdPair(_Strict):
    """The two thresholds of the paper's Eq. 1."""

    low: Fraction
    high: Fraction

    @model_validator(mode="after")
    def _ordered(self) -> ThresholdPair:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be smaller than high {self.high}")
        return self


class MinimumForeground(_Strict):
    """The official code's rule for maps with almost no foreground."""

    pixels: Annotated[int, Field(ge=0)]
    fraction_of_max: Fraction
    leak: bool


class GuidanceParams(_Strict):
    """From maps to masks."""

    b1: ThresholdPair
    b2: ThresholdPair
    c: ThresholdPair
    minimum_foreground: MinimumForeground
    align_corners: bool
    normalize_first: bool


class ProtocolSpg(_Strict):
    """The disputed key of ``spg``."""

    b2_input: Literal["a2", "a2_inner"]


class ProtocolSweep(_Strict):
    """The disputed key of ``sweep``."""

    protocol: Literal["paper", "official", "wsolevaluation"]


class ProtocolParams(_Strict):
    """One reading of the sources: a value for every disputed key (see :mod:`spg.presets`).

    ``train_of`` takes the place of ``setup.train`` for single backbones.
    """

    spg: ProtocolSpg
    guidance: GuidanceParams
    sweep: ProtocolSweep
    setup: ProtocolSetup
    train_of: dict[Name, ProtocolTrain]


class LocalizationParams(_Strict):
    """Which maps are taken from which trained network."""

    extractors: dict[Name, Annotated[list[Name], Field(min_length=1)]]
    batch_size: Count
    ten_crop: bool


class SweepParams(_Strict):
    """The evaluator and its grid of map thresholds."""

    protocol: Literal["paper", "official", "wsolevaluation"]
    thresholds: Annotated[int, Field(ge=2, le=1000)]


class EvaluationParams(_Strict):
    """From maps to boxes to errors."""

    map_threshold: Fraction
    iou_threshold: Fraction


class ComparisonParams(_Strict):
    """Intervals and verdicts."""

    resamples: Annotated[int, Field(ge=100)]
    confidence: Fraction
    seed: Seed


class ReportParams(_Strict):
    """What the report shows."""

    gallery_images: Annotated[int, Field(ge=1, le=20)]
    digits: Annotated[int, Field(ge=0, le=4)]


class Params(_Strict):
    """All of params.yaml."""

    protocol: Name
    dataset: Name
    backbones: Annotated[list[Name], Field(min_length=1)]
    methods: Annotated[list[Name], Field(min_length=1)]
    guided: list[Name]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    protocols: dict[Name, ProtocolParams]
    datasets: dict[Name, DatasetParams]
    spg: SpgParams
    variants: dict[Name, SpgOverrides]
    guidance: GuidanceParams
    pretraining: PretrainingParams
    localization: LocalizationParams
    sweep: SweepParams
    evaluation: EvaluationParams
    comparison: ComparisonParams
    report: ReportParams

    @model_validator(mode="after")
    def _names_exist(self) -> Params:
        _require(self.dataset in self.datasets, "dataset", self.dataset, sorted(self.datasets))
        known = sorted(self.datasets[self.dataset].backbones)
        for name in self.backbones:
            _require(name in known, f"datasets.{self.dataset}.backbones lacks", name, known)
        for name in self.guided:
            _require(name in self.variants, "guided", name, sorted(self.variants))
        for name in self.all_methods:
            known = sorted(self.localization.extractors)
            _require(name in known, "localization.extractors lacks", name, known)
        steps = self.evaluation.map_threshold * (self.sweep.thresholds + 1)
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(
                f"evaluation.map_threshold: {self.evaluation.map_threshold} is not a multiple of "
                f"1 / {self.sweep.thresholds + 1}, the step of sweep.thresholds"
            )
        for key in ("backbones", "seeds", "all_methods"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise ValueError(f"{key}: {values} names something twice")
        return self

    @property
    def all_methods(self) -> list[str]:
        """Every method of the grid, in the order of the tables."""
        return [*self.methods, *self.guided]

    def setup(self, dataset: str, backbone: str) -> SetupParams:
        """Return how ``backbone`` is trained on ``dataset``.

        Raises:
            UserError: when the data set has no entry for the backbone.
        """
        setups = self.datasets[dataset].backbones
        if backbone not in setups:
            raise UserError(
                f"params.yaml: datasets.{dataset}.backbones has no {backbone!r}; "
                f"there are {sorted(setups)}"
            )
        return setups[backbone]

    def method_module(self, method: str) -> str:
        """Return the file in spg/methods that builds ``method``."""
        return "spg" if method in self.variants else method

    def spg_of(self, method: str) -> SpgParams:
        """Return ``spg`` with the changes that the variant ``method`` makes."""
        changes = self.variants[method].model_dump(exclude_none=True)
        return self.spg.model_copy(update=changes)


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: one sentence that names the file and the key.
    """
    return parse_params(read_yaml(path), str(path.name))


def read_yaml(path: Path) -> Any:
    """Read a YAML file with DVC's own parser (YAML 1.2, duplicate keys refused)."""
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the command in the project's folder") from None
    except (YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path.name}: not readable as YAML: {reason}") from None


def parse_params(mapping: object, source: str) -> Params:
    """Check a mapping; ``source`` names the file in errors."""
    if isinstance(mapping, dict):
        _check_protocol(mapping, source)
        mapping = apply_protocol(mapping)
    try:
        return Params.model_validate(mapping)
    except ValidationError as error:
        raise UserError(f"{source}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """Return the first of pydantic's findings as ``key.path: reason``, and how many follow."""
    first, *others = error.errors()
    # behind `source` pydantic names the kind, which is no level of the file
    path = ".".join(
        str(part)
        for before, part in zip((None, *first["loc"]), first["loc"], strict=False)
        if part != "[key]" and before != "source"
    )
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = "no such key; remove it or correct its spelling"
    elif first["type"].startswith("union_tag"):
        path = f"{path}.kind"
        known = first["ctx"].get("expected_tags", "the kinds of source")
        given = isinstance(first["input"], dict) and "kind" in first["input"]
        reason = f"is not one of {known}" if given else "this key is missing"
    elif first["type"] == "missing":
        reason = "this key is missing"
    elif isinstance(first["input"], (int, float, str, bool)) and path:
        reason = f"{reason}, got {first['input']!r}"
    more = f" ({len(others)} more after this one)" if others else ""
    return f"{path}: {reason}{more}" if path else f"{reason}{more}"


def _check_protocol(mapping: dict[str, Any], source: str) -> None:
    """Name a wrong ``protocol`` itself, before the many nulls that it leaves."""
    name, known = mapping.get("protocol"), mapping.get("protocols")
    if isinstance(name, str) and isinstance(known, dict) and name not in known:
        raise UserError(f"{source}: protocol: {name!r} is not one of {sorted(known)}")


def _require(holds: bool, key: str, name: str, known: list[str]) -> None:
    if not holds:
        raise ValueError(f"{key}: {name!r} is not one of {known}")
