"""What is wrong with images that can be packed, and what only looks odd."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, TRAIN_WEAKSUP
from spg.data.layouts.annotations import Annotation
from spg.data.layouts.doubts import doubts
from spg.data.layouts.problems import Problems
from spg.data.prepare.boxes import box_fault
from spg.data.prepare.shards import Packed

log = logging.getLogger(__name__)


def numbered(annotations: list[Annotation]) -> list[Annotation]:
    """Return the annotations with class ids that count from 0, where skips left gaps."""
    ids = {
        class_id: place
        for place, class_id in enumerate(sorted({item.class_id for item in annotations}))
    }
    return [item._replace(class_id=ids[item.class_id]) for item in annotations]


def note_faults(
    images: Sequence[Annotation], splits: Sequence[str], packed: Packed, problems: Problems
) -> None:
    """Note what keeps each image from its part: to be seen, to have boxes, to have a mask.

    Boxes and masks of training images are used by nothing, and masks by test images alone.
    """
    trained = {
        item.class_id
        for item, split in zip(images, splits, strict=True)
        if split == TRAIN_WEAKSUP and item.image_id not in packed.bad
    }
    for place, (item, split) in enumerate(zip(images, splits, strict=True)):
        fault = packed.bad.get(item.image_id)
        if not fault and split != TRAIN_WEAKSUP:
            fault = box_fault(item, packed.size(place))
        if not fault and split == TEST:
            fault = packed.masks.get(item.image_id)
        if not fault and item.class_id not in trained:
            fault = f"{item.named_at or item.image_id}: class {item.class_name} has no good "
            fault += "training image"
        if fault:
            problems.images[item.image_id] = fault
    for split, what in ((TRAIN_WEAKSUP, "training"), (TEST, "test")):
        if split not in splits:
            problems.shared.append(f"no image is a {what} image")


def say_doubts(images: Sequence[Annotation], splits: Sequence[str], packed: Packed) -> None:
    """Log what is accepted and looks odd, with counts."""
    for sentence in _doubts(images, splits, packed):
        log.warning("warning: %s", sentence)


def _doubts(images: Sequence[Annotation], splits: Sequence[str], packed: Packed) -> Iterator[str]:
    measured = [place for place, split in enumerate(splits) if split != TRAIN_WEAKSUP]
    yield from doubts([(images[place].boxes, packed.size(place)) for place in measured])
    tests = {images[place].image_id for place in measured if splits[place] == TEST}
    for ids, what in ((packed.objectless, "object"), (packed.full, "background")):
        odd = sorted(tests & ids)
        if odd:
            yield (
                f"{len(odd)} of {len(tests)} test images have no pixel of the {what} in their "
                f"masks, e.g. {odd[0]}"
            )
    if TRAIN_FULLSUP not in splits:
        yield (
            "no image is held out, so that no threshold can be selected (PROTOCOL 10); see "
            "prepare.holdout_per_class"
        )
