"""Which images may choose thresholds (PROTOCOL 10)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, TRAIN_WEAKSUP
from spg.data.layouts.annotations import Annotation
from spg.project.errors import UserError, first_few
from spg.project.seeding import generator


def split_images(
    annotations: Sequence[Annotation],
    *,
    per_class: int,
    taken_from: str,
    seed: int,
    usable: Sequence[bool] | None = None,
) -> list[str]:
    """Return the split of each image after ``per_class`` images of each class are held out.

    The held-out images become ``train_fullsup``, on which thresholds are chosen, and leave the
    split that they come from. Only images with boxes can be chosen. A split ``train_fullsup`` that
    the reader states stays as it is.

    Images are drawn from all that the reader states, and others take the place of those that are
    not usable: whether one image is skipped or damaged changes the split of no other, but of its
    substitute.

    Args:
        annotations: of all images; ``split`` as the reader states it.
        per_class: how many images of each class are held out; 0 changes nothing.
        taken_from: ``train``, or ``test`` where training images have no boxes. Then the reported
            split is smaller by ``per_class`` images a class.
        seed: of the choice. A class's choice depends on no other class, and a class that has no
            usable image in that split gives none.
        usable: whether each image may be held out, and counts as one that is left; all by default.

    Raises:
        UserError: names every class that has too few images with boxes, or would have none left.
    """
    origin = TRAIN_WEAKSUP if taken_from == "train" else TEST
    good = [True] * len(annotations) if usable is None else usable
    splits = [item.split for item in annotations]
    short = []
    for class_id, own in _members(annotations, origin) if per_class else ():
        pool = [index for index in own if annotations[index].boxes]
        left = [index for index in own if good[index]]
        boxed = [index for index in pool if good[index]]
        said = _shortage(annotations[own[0]].class_name, per_class, taken_from, left, boxed)
        if said or not left:
            short += [said] * bool(left)
            continue
        for index in _drawn(pool, boxed, per_class, seed, class_id):
            splits[index] = TRAIN_FULLSUP
    if short:
        key = f"params.yaml: prepare.holdout_per_class {per_class}"
        raise UserError(f"{key} {first_few(short)}")
    return splits


def _members(annotations: Sequence[Annotation], split: str) -> list[tuple[int, list[int]]]:
    """Return each class of a split with the places of its images, sorted by class."""
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, item in enumerate(annotations):
        if item.split == split and not item.problem:
            members[item.class_id].append(index)
    return sorted(members.items())


def _drawn(
    pool: list[int], boxed: list[int], per_class: int, seed: int, class_id: int
) -> list[int]:
    """Return ``per_class`` of ``boxed``, which are some of ``pool``."""
    good = set(boxed)  # a set: ILSVRC has 1,300 images a class
    chosen = generator(seed, "holdout", class_id).choice(pool, per_class, replace=False)
    picks = [index for index in chosen.tolist() if index in good]
    spare = generator(seed, "holdout spare", class_id).permutation(pool)
    good.difference_update(picks)
    others = [index for index in spare.tolist() if index in good]
    return picks + others[: per_class - len(picks)]


def _shortage(name: str, per_class: int, taken_from: str, left: list[int], boxed: list[int]) -> str:
    """Return why a class cannot spare its images, or an empty text."""
    if len(left) <= per_class:
        return f"leaves no {taken_from} image of class {name}, which has {len(left)}"
    if len(boxed) < per_class:
        other = ", so set prepare.holdout_from to test" if taken_from == "train" else ""
        return (
            f"is more than the {len(boxed)} {taken_from} images of class {name} that have "
            f"boxes{other}"
        )
    return ""
