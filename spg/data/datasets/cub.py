"""CUB-200-2011: 200 species of birds, with boxes and masks (docs/sources.md 7)."""

from __future__ import annotations

from spg.data.layouts.cub import read_annotations
from spg.data.layouts.fullsup import Source
from spg.data.layouts.spec import DatasetSpec, Sizes

SPEC = DatasetSpec(
    source=Source,
    read=read_annotations,
    sizes=lambda source: Sizes(
        train=5_994,
        test=5_794,
        classes=200,
        image_wh=(500, 375),
        archive_bytes=1_150_585_339 + 39_272_883,
        apart=0 if source.fullsup == "none" else 1_000,
    ),
    published_classes=200,
    published=True,
)
