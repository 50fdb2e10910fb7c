"""Which images may choose thresholds (PROTOCOL 10)."""

from __future__ import annotations

from collections import defaultdict

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, TRAIN_WEAKSUP
from spg.data.layouts.annotations import Annotation
from spg.project.errors import UserError
from spg.project.seeding import generator


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
        seed: of the choice. A class's choice depends on no other class.

    Raises:
        UserError: when a class has too few images with boxes, or none would be left.
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
    for class_id in sorted({item.class_id for item in annotations} if per_class else ()):
        _check(class_id, per_class, taken_from, members[class_id], boxed[class_id])
        stream = generator(seed, "holdout", class_id)
        for index in stream.choice(boxed[class_id], per_class, replace=False):
            splits[index] = TRAIN_FULLSUP
    return splits


def _check(
    class_id: int, per_class: int, taken_from: str, members: list[int], boxed: list[int]
) -> None:
    key = f"params.yaml: prepare.holdout_per_class {per_class}"
    if len(members) <= per_class:
        raise UserError(
            f"{key} leaves no {taken_from} image of class {class_id}, which has {len(members)}"
        )
    if len(boxed) < per_class:
        other = "; set prepare.holdout_from to test" if taken_from == "train" else ""
        raise UserError(
            f"{key} is more than the {len(boxed)} {taken_from} images of class {class_id} "
            f"that have boxes{other}"
        )
