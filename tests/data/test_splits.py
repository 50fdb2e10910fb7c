"""Which images are held out to choose thresholds on."""

from __future__ import annotations

from collections import Counter

import pytest

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, TRAIN_WEAKSUP
from spg.data.layouts.annotations import Annotation
from spg.data.layouts.spec import Sizes
from spg.data.prepare.checks import say_missing
from spg.data.prepare.splits import split_images
from spg.project.errors import UserError
from spg.project.schema.data import PrepareParams

BOX = ((0.0, 0.0, 1.0, 1.0),)


def some_annotations(classes=3, train=5, test=2, train_boxes=BOX):
    return [
        Annotation(
            f"{number}.jpg", f"{number}.jpg", kind, "x",
            "train_weaksup" if place < train else "test",
            train_boxes if place < train else BOX, None, None,
        )
        for number, (kind, place) in enumerate(
            (kind, place) for kind in range(classes) for place in range(train + test)
        )
    ]  # fmt: skip


def split(annotations, per_class, seed=0, taken_from="train"):
    return split_images(annotations, per_class=per_class, taken_from=taken_from, seed=seed)


def counts(annotations, splits):
    return Counter((item.class_id, place) for item, place in zip(annotations, splits, strict=True))


@pytest.mark.parametrize(("origin", "name"), [("train", "train_weaksup"), ("test", "test")])
def test_each_class_gives_its_share_and_the_other_split_nothing(origin, name):
    annotations = some_annotations(train=5, test=5)
    splits = split(annotations, 2, taken_from=origin)
    counted = counts(annotations, splits)
    for kind in range(3):
        assert counted[kind, name] == 3
        assert counted[kind, "train_fullsup"] == 2
    for item, found in zip(annotations, splits, strict=True):
        assert found == item.split or (item.split == name and found == "train_fullsup")


def test_the_split_depends_on_its_seed_alone():
    annotations = some_annotations(classes=4, train=12)
    first, again, other = (split(annotations, 4, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    members = [i for i, item in enumerate(annotations) if item.class_id == 0]
    fewer = split([annotations[i] for i in members], 4)
    assert fewer == [first[i] for i in members]  # a class more or less changes no other


def test_the_held_out_images_are_not_simply_the_first():
    splits = split(some_annotations(classes=4, train=12), 4)
    assert splits[:4] != ["train_fullsup"] * 4


@pytest.mark.parametrize("count", [5, 6])
def test_holding_out_all_images_of_a_class_is_refused(count):
    with pytest.raises(UserError, match="holdout_per_class"):
        split(some_annotations(), count)


def test_only_images_with_boxes_are_held_out():
    annotations = some_annotations(classes=2, train=9)
    bare = [item._replace(boxes=()) if n % 3 else item for n, item in enumerate(annotations)]
    for seed in range(5):
        for item, found in zip(bare, split(bare, 2, seed), strict=True):
            assert item.boxes or found != "train_fullsup"


def test_training_images_without_boxes_point_to_the_test_split():
    annotations = some_annotations(train_boxes=())
    with pytest.raises(
        UserError, match="0 train images of class x that have boxes, so set prepare"
    ):
        split(annotations, 1)
    assert split(annotations, 1, taken_from="test").count("train_fullsup") == 3


def test_nothing_held_out_leaves_the_readers_splits():
    annotations = some_annotations()
    annotations[0] = annotations[0]._replace(split="train_fullsup")
    assert split(annotations, 0) == [item.split for item in annotations]


def test_the_choice_on_the_default_data_is_what_it_was():
    """Golden: recorded before split_images knew of boxes, so that no published split moves."""
    splits = split(some_annotations(classes=2, train=6), 2)
    assert [i for i, name in enumerate(splits) if name == "train_fullsup"] == [2, 3, 10, 13]


@pytest.mark.parametrize(
    ("splits", "rule", "apart", "said"),
    [
        ({TRAIN_WEAKSUP: 8, TEST: 4}, {}, 0, []),
        ({TRAIN_WEAKSUP: 6, TRAIN_FULLSUP: 2, TEST: 4}, {}, 0, []),  # held out, or others' own
        ({TRAIN_WEAKSUP: 8, TRAIN_FULLSUP: 3, TEST: 4}, {"holdout_per_class": 0}, 3, []),
        ({TRAIN_WEAKSUP: 6, TRAIN_FULLSUP: 5, TEST: 4}, {}, 3, []),  # both
        (
            {TRAIN_WEAKSUP: 7, TRAIN_FULLSUP: 2, TEST: 4}, {"holdout_per_class": 0}, 3,
            ["7 of 8 published training", "2 of 3 published held-out"],
        ),
        ({TRAIN_WEAKSUP: 7, TEST: 4}, {}, 0, ["7 of 8 published training"]),
        ({TRAIN_WEAKSUP: 8, TRAIN_FULLSUP: 1, TEST: 3}, {"holdout_from": "test"}, 0, []),
        (
            {TRAIN_WEAKSUP: 8, TRAIN_FULLSUP: 1, TEST: 2}, {"holdout_from": "test"}, 0,
            ["3 of 4 published test"],
        ),
    ],
)  # fmt: skip
def test_a_part_of_a_published_data_set_is_said_to_be_one(splits, rule, apart, said, caplog):
    rule = PrepareParams(
        **({"holdout_from": "train", "holdout_per_class": 1, "seed": 0, "short_side": None,
            "quality": 95, "skip": []} | rule)
    )  # fmt: skip
    listed = [split for split, count in splits.items() for _ in range(count)]
    sizes = Sizes(8, 4, 2, (5, 5), None, apart)
    say_missing(listed, sizes, rule)
    found = [record.getMessage() for record in caplog.records]
    assert [text.removeprefix("warning: ").partition(" images are")[0] for text in found] == said
