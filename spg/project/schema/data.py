"""A data set: where it comes from, how it is split and stored, what is trained on it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spg.project.schema.kinds import Name, Seed, Strict
from spg.project.schema.presets import RecipeParams
from spg.project.schema.training import SetupParams


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
