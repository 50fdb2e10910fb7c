"""ILSVRC 2012 CLS-LOC, below the folder that SPG_ILSVRC_ROOT names (docs/sources.md 7)."""

from __future__ import annotations

from spg.data.layouts.fullsup import Source
from spg.data.layouts.ilsvrc import read_annotations
from spg.data.layouts.imagenet_classes import CLASSES, sorted_wnids
from spg.data.layouts.spec import DatasetSpec, Sizes

SPEC = DatasetSpec(
    source=Source,
    read=read_annotations,
    sizes=lambda source: Sizes(
        train=1_281_167,
        test=50_000,
        classes=CLASSES,
        image_wh=(500, 375),
        archive_bytes=138_000_000_000 + 6_300_000_000,
        apart=0 if source.fullsup == "none" else 10_000,
    ),
    far_corner_is_last_pixel=True,
    published_classes=CLASSES,
    class_names=sorted_wnids,
    published=True,
)
