"""The default data set, drawn by the project in the layout of CUB-200-2011."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from spg.data.layouts.cub import read_annotations
from spg.data.layouts.spec import DatasetSpec, Sizes
from spg.project.schema.kinds import Count, Seed, Strict

Part = Literal["crown", "bill", "bars", "body"]
"""A part that may tell the classes apart, as spg/data/birds names them (``Telling`` there)."""


class Source(Strict):
    """What ``fetch`` draws."""

    seed: Seed
    side: Annotated[int, Field(ge=32, le=1024)]
    classes: Annotated[int, Field(ge=2, le=20)]
    train_per_class: Count
    test_per_class: Count
    telling: Annotated[list[Part], Field(min_length=1)]
    """Which parts tell the classes apart; all else varies freely."""

    @field_validator("telling")
    @classmethod
    def _each_once(cls, parts: list[Part]) -> list[Part]:
        if len(set(parts)) < len(parts):
            raise ValueError(f"{', '.join(parts)}: name each part once")
        return parts


def sizes(source: Source) -> Sizes:
    """Return how many images are drawn."""
    return Sizes(
        train=source.classes * source.train_per_class,
        test=source.classes * source.test_per_class,
        classes=source.classes,
        image_wh=(source.side, source.side),
        archive_bytes=None,
    )


SPEC = DatasetSpec(source=Source, read=read_annotations, sizes=sizes)
