"""What `protocol` and `recipe` fill in: a reading of the sources, a published training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from spg.project.schema.guidance import GuidanceParams
from spg.project.schema.kinds import Count, Name, NotNegative, Positive, Strict
from spg.project.schema.training import InputParams, LayerRates, Schedule


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
