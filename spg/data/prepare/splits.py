"""Which images may choose thresholds (PROTOCOL 10)."""

from __future__ import annotations

import logging
from collections import defaultdict

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, TRAIN_WEAKSUP
from spg.data.layouts.annotations import Annotation
from spg.data.layouts.problems import Problems
from spg.data.prepare.boxes import Size, box_fault
from spg.data.prepare.shards import Packed
from spg.project.errors import UserError, first_few
from spg.project.schema import PrepareParams
from spg.project.seeding import generator

log = logging.getLogger(__name__)


def split_images(
    annotations: list[Annotation], *, per_class: int, taken_from: str, seed: int
) -> list[str]:
    """Return the split of each image after ``per_class`` images of each class are held out.

    The held-out images become ``train_fullsup``, on which thresholds are chosen, and leave the
    split that they come from. Only images with boxes can be chosen. A split ``train_fullsup`` that
    the reader states stays as it is.

    Args:
        annotations: of all images; ``split`` as the reader states it.
        per_class: how many images of each class are held out; 0 changes nothing.
        taken_from: ``train``, or ``test`` where training images have no boxes. Then the reported
            split is smaller by ``per_class`` images a class.
        seed: of the choice. A class's choice depends on no other class, and a class that has no
            image in that split gives none.

    Raises:
        UserError: names every class that has too few images with boxes, or would have none left.
    """
    origin = TRAIN_WEAKSUP if taken_from == "train" else TEST
    splits = [item.split for item in annotations]
    members: defaultdict[int, list[int]] = defaultdict(list)
    boxed: defaultdict[int, list[int]] = defaultdict(list)
    for index, item in enumerate(annotations):
        if item.split == origin:
            members[item.class_id].append(index)
            if item.boxes:
                boxed[item.class_id].append(index)
    names = {
        item.class_id: item.class_name for item in annotations if per_class and item.split == origin
    }
    short = [
        _shortage(name, per_class, taken_from, len(members[class_id]), len(boxed[class_id]))
        for class_id, name in sorted(names.items())
    ]
    if any(short):
        key = f"params.yaml: prepare.holdout_per_class {per_class}"
        raise UserError(f"{key} {first_few([sentence for sentence in short if sentence])}")
    for class_id in sorted(names):
        stream = generator(seed, "holdout", class_id)
        for index in stream.choice(boxed[class_id], per_class, replace=False):
            splits[index] = TRAIN_FULLSUP
    return splits


def _shortage(name: str, per_class: int, taken_from: str, members: int, boxed: int) -> str:
    """Return why a class cannot spare its images, or an empty text."""
    if members <= per_class:
        return f"leaves no {taken_from} image of class {name}, which has {members}"
    if boxed < per_class:
        other = ", so set prepare.holdout_from to test" if taken_from == "train" else ""
        return (
            f"is more than the {boxed} {taken_from} images of class {name} that have boxes{other}"
        )
    return ""


def say_shortage(images: list[Annotation], rule: PrepareParams) -> None:
    """Log at once, before hours of packing, that too few images can be held out."""
    try:
        split_images(
            images, per_class=rule.holdout_per_class, taken_from=rule.holdout_from, seed=rule.seed
        )
    except UserError as error:
        log.warning("warning: %s; looking for other problems", error)


def split_usable(
    images: list[Annotation], packed: Packed, rule: PrepareParams, problems: Problems
) -> list[str]:
    """Return the split of each image; only those whose boxes fit them are held out.

    So a skip of an image that cannot be used changes no other image's split. That too few can be
    held out is noted as a problem, and the splits are then as stated.
    """
    usable = [
        place for place, item in enumerate(images)
        if item.split != TRAIN_WEAKSUP or item.image_id not in packed.bad
    ]  # fmt: skip
    own = [_without_bad_boxes(images[place], packed.size(place)) for place in usable]
    splits = [item.split for item in images]
    try:
        found = split_images(
            own, per_class=rule.holdout_per_class, taken_from=rule.holdout_from, seed=rule.seed
        )
    except UserError as error:
        problems.shared.append(str(error))
        return splits
    for place, split in zip(usable, found, strict=True):
        splits[place] = split
    return splits


def _without_bad_boxes(item: Annotation, size: Size) -> Annotation:
    return item._replace(boxes=()) if item.boxes and box_fault(item, size) else item
