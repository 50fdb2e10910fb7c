"""What is known of a kind of data set, in one place: its SPEC in spg/data/datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from spg.data.layouts.annotations import Annotation
from spg.project.errors import UserError
from spg.project.params import validated
from spg.project.plugins import find_plugin
from spg.project.schema.data import SourceParams
from spg.project.schema.kinds import Strict


class Sizes(NamedTuple):
    """How large a data set is before any of it is there."""

    train: int
    """Training images, those included that prepare holds out of them."""
    test: int
    classes: int
    image_wh: tuple[int, int]
    """The commonest size of an image, pixels."""
    archive_bytes: int | None
    """Of all images as they are published; ``None`` where nothing is."""
    apart: int = 0
    """Further images with boxes or masks, published to select thresholds on."""


class DatasetSpec(NamedTuple):
    """Every fact of a kind of data set that does not stand in params.yaml."""

    source: type[Strict]
    """Reads ``datasets.<name>.source``, all of it but ``kind``."""
    read: Callable[[Path], list[Annotation]]
    """From the raw folder to the annotations of all images."""
    sizes: Callable[[Any], Sizes]
    """From what ``source`` has read to the sizes that will come."""
    far_corner_is_last_pixel: bool = False
    """How wsolevaluation's metadata state a box: true, with the last pixel that belongs to it;
    false, with x + width, cut at the image's last pixel (docs/sources.md 7)."""
    published_classes: int | None = None
    """Outputs of published checkpoints that were trained on it; ``None``: there are none."""
    class_names: Callable[[], list[str]] | None = None
    """Names of all classes in the order of their ids, where they are known without the data."""
    published: bool = False
    """Whether `sizes` are those of what somebody has published, so that fewer images are a part."""


def spec_of(dataset: str, source: SourceParams) -> DatasetSpec:
    """Return the SPEC of a data set's kind.

    Raises:
        UserError: when ``source.kind`` names no file in spg/data/datasets.
    """
    try:
        spec: DatasetSpec = find_plugin("dataset", source.kind).SPEC
    except UserError as error:
        raise UserError(f"params.yaml: datasets.{dataset}.source.kind: {error}") from None
    return spec


def read_source(dataset: str, source: SourceParams) -> Strict:
    """Return what params.yaml says of a data set's source, checked by its kind's own class.

    Raises:
        UserError: one sentence that names the key.
    """
    spec = spec_of(dataset, source)
    return validated(spec.source, source.settings, f"datasets.{dataset}.source")
