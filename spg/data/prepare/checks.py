"""What is wrong with images that can be packed, and what only looks odd."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, TRAIN_WEAKSUP
from spg.data.layouts.annotations import Annotation
from spg.data.layouts.doubts import doubts
from spg.data.layouts.problems import Problems
from spg.data.layouts.spec import Sizes
from spg.data.prepare.boxes import box_fault, box_faults, in_own_pixels, is_stretched
from spg.data.prepare.shards import Packed
from spg.data.prepare.splits import split_images
from spg.project.errors import UserError
from spg.project.schema.data import PrepareParams

log = logging.getLogger(__name__)


def numbered(annotations: list[Annotation]) -> list[Annotation]:
    """Return the annotations with class ids that count from 0, where skips left gaps."""
    ids = {
        class_id: place
        for place, class_id in enumerate(sorted({item.class_id for item in annotations}))
    }
    if all(class_id == place for class_id, place in ids.items()):
        return annotations
    return [item._replace(class_id=ids[item.class_id]) for item in annotations]


def hold_out(
    annotations: Sequence[Annotation],
    places: Sequence[int],
    packed: Packed | None,
    rule: PrepareParams,
    problems: Problems,
) -> list[str]:
    """Return the split of each good image.

    That too few can be held out is noted as a problem, and the splits are then as stated. Before
    the images are packed it is logged instead, since packing may take hours.

    Args:
        annotations: of all images, those that are skipped or cannot be used included.
        places: of the good ones among them.
        packed: what became of the good ones; ``None`` before.
        rule: how many are held out.
        problems: gets a shortage.
    """
    usable = [False] * len(annotations)
    for number, place in enumerate(places):
        usable[place] = packed is None or _fits(annotations[place], number, packed)
    try:
        splits = split_images(
            annotations, per_class=rule.holdout_per_class, taken_from=rule.holdout_from,
            seed=rule.seed, usable=usable,
        )  # fmt: skip
    except UserError as error:
        splits = [item.split for item in annotations]
        if packed is None:
            log.warning("warning: %s; looking for other problems", error)
        else:
            problems.shared.append(str(error))
    return [splits[place] for place in places]


def in_files_pixels(
    annotations: Sequence[Annotation], places: Sequence[int], packed: Packed
) -> list[Annotation]:
    """Return the annotations with the boxes of the good images in the pixels of their files.

    Boxes of another aspect ratio are scaled by axis, which is right for a squashed copy and wrong
    for a cut one, so their number is logged.
    """
    scaled, boxed, stretched = list(annotations), 0, []
    for number, place in enumerate(places):
        item, size = annotations[place], packed.size(number)
        scaled[place] = in_own_pixels(item, size)
        boxed += item.boxes_for is not None
        if is_stretched(item, size):
            stretched.append(item.image_id)
    if stretched:
        log.warning(
            "warning: %d of %d images with boxes have another aspect ratio than the originals that "
            "these are of, e.g. %s: right where they were squashed, wrong where they were cut",
            len(stretched), boxed, stretched[0],
        )  # fmt: skip
    return scaled


def _fits(item: Annotation, number: int, packed: Packed) -> bool:
    if item.image_id in packed.bad:
        return False
    return not item.boxes or not box_fault(item, packed.size(number))


def note_faults(
    images: Sequence[Annotation], splits: Sequence[str], packed: Packed, problems: Problems
) -> None:
    """Note what keeps each image from its part: to be seen, to have boxes, to have a mask.

    Boxes and masks of training images are used by nothing, and masks by test images alone, or by
    held-out ones where nothing is measured by boxes.
    """
    trained = {
        item.class_id
        for item, split in zip(images, splits, strict=True)
        if split == TRAIN_WEAKSUP and item.image_id not in packed.bad
    }
    owners = Counter(mask for item in images for mask in (item.object_mask, *item.more_masks))
    left = set()
    for place, (item, split) in enumerate(zip(images, splits, strict=True)):
        faults = [packed.bad.get(item.image_id)]
        if not faults[0] and split != TRAIN_WEAKSUP:
            faults += box_faults(item, packed.size(place))
        masked = split == TEST or (split == TRAIN_FULLSUP and not item.boxes_wanted)
        if not faults[0] and masked:
            faults += [packed.masks.get(item.image_id), _shared_mask(item, owners)]
        if item.class_id not in trained and not faults[0]:
            faults += [f"{item.named_at or item.image_id}: class {item.class_name} has no good "
                       "training image"]  # fmt: skip
        if any(faults):
            problems.images[item.image_id] = " and ".join(fault for fault in faults if fault)
        else:
            left.add(split)
    for split, what in ((TRAIN_WEAKSUP, "training"), (TEST, "test")):
        if split not in left:
            problems.shared.append(f"no image that is good and not skipped is a {what} image")


def _shared_mask(item: Annotation, owners: Counter[str | None]) -> str | None:
    for mask in (item.object_mask, *item.more_masks):
        if mask is not None and owners[mask] > 1:
            return f"{item.image_id}: {mask} is the mask of {owners[mask]} images"
    return None


def say_doubts(images: Sequence[Annotation], splits: Sequence[str], packed: Packed) -> None:
    """Log what is accepted and looks odd, with counts."""
    for sentence in _doubts(images, splits, packed):
        log.warning("warning: %s", sentence)


def say_missing(splits: Sequence[str], sizes: Sizes, rule: PrepareParams) -> None:
    """Log how many images a published data set has beside those that are here.

    Held-out images are of the split that they were taken from.
    """
    here = Counter(splits)
    taken = here[TRAIN_FULLSUP]
    if sizes.apart:
        taken = min(taken, rule.holdout_per_class * sizes.classes)
    here[TRAIN_FULLSUP] -= taken
    here[TEST if rule.holdout_from == "test" else TRAIN_WEAKSUP] += taken
    for split, published, kind in (
        (TRAIN_WEAKSUP, sizes.train, "training"),
        (TRAIN_FULLSUP, sizes.apart, "held-out"),
        (TEST, sizes.test, "test"),
    ):
        found = here[split]
        if found < published:
            log.warning(
                "warning: %s of %s published %s images are here: results of a part are not those "
                "of the whole",
                f"{found:,}", f"{published:,}", kind,
            )  # fmt: skip


def _doubts(images: Sequence[Annotation], splits: Sequence[str], packed: Packed) -> Iterator[str]:
    measured = [place for place, split in enumerate(splits) if split != TRAIN_WEAKSUP]
    for boxes, kind in (("boxes", ""), ("pseudo_boxes", "pseudo-boxes: ")):
        sized = [(getattr(images[place], boxes), packed.size(place)) for place in measured]
        yield from (f"{kind}{doubt}" for doubt in doubts(sized))
    tests = {images[place].image_id for place in measured if splits[place] == TEST}
    for ids, what in ((packed.objectless, "object"), (packed.full, "background")):
        odd = sorted(tests & ids)
        if odd:
            yield (
                f"{len(odd)} of {len(tests)} test images have no pixel of the {what} in their "
                f"masks, e.g. {odd[0]}"
            )
