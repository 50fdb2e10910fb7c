"""OpenImages30k, below the folder that SPG_WSOLEVALUATION names (docs/sources.md 7)."""

from __future__ import annotations

from spg.data.layouts.openimages import read_annotations
from spg.data.layouts.spec import DatasetSpec, Sizes
from spg.project.schema.kinds import Strict


class Source(Strict):
    """Nothing to choose: wsolevaluation's metadata say what there is."""


SPEC = DatasetSpec(
    source=Source,
    read=read_annotations,
    sizes=lambda _: Sizes(
        train=29_819,
        test=5_000,
        classes=100,
        image_wh=(1024, 768),  # OpenImages' longer side; the commonest shape was not looked up
        archive_bytes=None,
        apart=2_500,
    ),
    published_classes=100,
    published=True,
)
