"""What is scored: the images of a split, and where their maps and masks lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from spg.data.layouts.wsol_metadata import WsolImage, read_metadata
from spg.evaluate.metrics.evaluator import Evaluator
from spg.evaluate.metrics.protocols import PROTOCOLS, FloatArray, Protocol
from spg.project.errors import UserError
from spg.tools.scoring.map_files import check_one_file_each

Images = Sequence[WsolImage]


class Source(NamedTuple):
    """Where maps and masks lie, and how they are read."""

    maps: Path
    masks: Path | None
    protocol_name: str
    steps: int
    """Thresholds are 1 / steps apart."""
    normalization: str | None = None
    """How maps are brought to [0, 1] (PROTOCOL 32); ``None``: finished ones as they come, raw ones
    by min-max."""
    percentile: float | None = None
    """Of ``ivr``."""

    @property
    def protocol(self) -> Protocol:
        """The evaluator's rules."""
        return PROTOCOLS[self.protocol_name]

    @property
    def has_cam_code(self) -> bool:
        """Whether maps have the original image's size, for which that code is made."""
        return self.protocol.side is None

    @property
    def evaluator(self) -> Evaluator:
        """The protocol with its thresholds."""
        name = self.normalization or "min_max"
        percentiles = () if self.percentile is None else (self.percentile,)
        return Evaluator.named(self.protocol_name, self.steps - 1, name, percentiles)

    @property
    def finished(self) -> bool:
        """Whether map files come finished: in the protocol's frame and in [0, 1]."""
        return self.protocol.side is not None and self.normalization is None

    @property
    def thresholds(self) -> FloatArray:
        """``Float[T]``, ascending."""
        return self.evaluator.thresholds


def read_images(metadata: Path, source: Source) -> list[WsolImage]:
    """Read the metadata and check that ``source`` can be scored against it.

    Raises:
        UserError: names the file that is missing, malformed or insufficient, or the map that would
            be taken for two images.
    """
    images = read_metadata(metadata)
    boxed = any(image.boxes for image in images)
    if boxed and images[0].size is None:
        raise UserError(f"{metadata / 'image_sizes.txt'}: empty, but boxes need the images' sizes")
    if not boxed and not images[0].masks:
        raise UserError(f"{metadata / 'localization.txt'}: holds neither boxes nor masks")
    if not boxed and source.masks is None:
        raise UserError(
            f"{metadata / 'localization.txt'}: names masks and no boxes; give the "
            "folder of the masks by --masks (--select-on needs boxes)"
        )
    _check_alike(metadata, images)
    if not source.maps.is_dir():
        raise UserError(f"{source.maps}: no such folder of maps")
    check_one_file_each(source.maps, [image.image_id for image in images], ".npy", "map")
    if source.masks is not None:
        unnamed = [image.image_id for image in images if not image.masks]
        check_one_file_each(source.masks, unnamed, ".png", "mask")
    return images


def _check_alike(metadata: Path, images: Images) -> None:
    """Check that all images have boxes, or all have masks: who has none would count as wrong."""
    for kind, having in (
        ("boxes", [bool(image.boxes) for image in images]),
        ("masks", [bool(image.masks) for image in images]),
    ):
        if any(having) and not all(having):
            odd = images[having.index(False)].image_id
            raise UserError(
                f"{metadata / 'localization.txt'}: {having.count(False)} of {len(images)} images "
                f"have no {kind}, e.g. {odd}, and the others have; score the two kinds apart"
            )
