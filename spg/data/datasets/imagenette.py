"""Imagenette 2: ten classes of ImageNet that anyone may load (docs/sources.md 7)."""

from __future__ import annotations

from typing import Literal

from spg.data.layouts.imagenette import WNIDS, read_annotations
from spg.data.layouts.spec import DatasetSpec, Sizes
from spg.project.schema.kinds import Strict


class Source(Strict):
    """Addresses and checksums are facts and stand in spg/data/sources/imagenette.py."""

    size: Literal["full", "320px", "160px"]
    """Which published archive: as ImageNet has the photographs, or with a shorter side of that."""


_ARCHIVE_BYTES = {"full": 1_500_000_000, "320px": 330_000_000, "160px": 94_000_000}  # about
_COMMON_WH = {"full": (500, 375), "320px": (427, 320), "160px": (213, 160)}

SPEC = DatasetSpec(
    source=Source,
    read=read_annotations,
    sizes=lambda source: Sizes(
        train=12_894,
        test=500,
        classes=len(WNIDS),
        image_wh=_COMMON_WH[source.size],
        archive_bytes=_ARCHIVE_BYTES[source.size],
    ),
    far_corner_is_last_pixel=True,
    class_names=lambda: list(WNIDS),
    published=True,
)
