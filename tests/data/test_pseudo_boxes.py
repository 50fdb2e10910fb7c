"""Boxes that someone proposes for wsolevaluation's extra images: read beside the true ones."""

from __future__ import annotations

import shutil

import pytest
from tiny_ilsvrc import tiny_ilsvrc
from wsol_split import write_split

from spg.data.layouts.fullsup import Source
from spg.data.layouts.ilsvrc import read_annotations
from spg.data.layouts.problems import BadDataError
from spg.data.sources import ilsvrc
from spg.project.errors import UserError
from spg.project.workspace import Workspace

IMAGES = [
    ("val2/0/3.jpeg", 0, (30, 20), [(1, 2, 9, 8), (3, 3, 5, 5)]),
    ("val2/2/1.jpeg", 278, (20, 30), [(0, 0, 19, 29)]),
]
PROPOSED = [(*IMAGES[0][:3], [(0, 0, 12, 12)]), (*IMAGES[1][:3], [(2, 2, 9, 9), (1, 1, 4, 4)])]


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Fetch the tiny ILSVRC with wsolevaluation's images and these proposals."""
    monkeypatch.setenv("SPG_ILSVRC_ROOT", str(tiny_ilsvrc().write_kaggle(tmp_path / "tree")))
    monkeypatch.setenv("SPG_WSOLEVALUATION", str(tmp_path / "theirs"))
    write_split(tmp_path / "theirs", "ILSVRC", IMAGES)

    def run(proposed=PROPOSED, fullsup="pseudo"):
        if proposed is not None:
            write_split(tmp_path / "proposed", "ILSVRC", proposed)
            monkeypatch.setenv("SPG_PSEUDO_BOXES", str(tmp_path / "proposed/metadata/ILSVRC/val"))
        ilsvrc.fetch(Workspace(tmp_path), "ilsvrc", Source(fullsup=fullsup))
        return Workspace(tmp_path).raw("ilsvrc")

    return run


def extra(raw):
    return {i.image_id: i for i in read_annotations(raw) if i.split == "train_fullsup"}


def test_proposed_boxes_stand_beside_the_true_ones(fetched, tmp_path):
    raw = fetched()
    shutil.rmtree(tmp_path / "proposed")
    found = extra(raw)
    assert found["val2/0/3.jpeg"].boxes == ((1, 2, 9, 8), (3, 3, 5, 5))
    assert found["val2/0/3.jpeg"].pseudo_boxes == ((0, 0, 12, 12),)
    assert found["val2/2/1.jpeg"].pseudo_boxes == ((2, 2, 9, 9), (1, 1, 4, 4))
    assert not any(i.pseudo_boxes for i in read_annotations(raw) if i.split != "train_fullsup")


def test_without_the_word_nothing_is_read(fetched):
    assert not any(item.pseudo_boxes for item in extra(fetched(fullsup="wsolevaluation")).values())


def test_a_folder_that_is_not_named_is_one_sentence(fetched, monkeypatch):
    monkeypatch.delenv("SPG_PSEUDO_BOXES", raising=False)
    with pytest.raises(UserError, match=r"SPG_PSEUDO_BOXES is not set; source\.fullsup pseudo"):
        fetched(proposed=None)


def test_images_without_a_proposal_and_proposals_of_others_are_named(fetched):
    raw = fetched([PROPOSED[0], ("val2/7/7.jpeg", 7, (20, 20), [(1, 1, 2, 2)])])
    with pytest.raises(BadDataError) as caught:
        read_annotations(raw)
    assert list(caught.value.problems) == [
        "train_fullsup/pseudo/localization.txt: has no box of val2/2/1.jpeg",
        "train_fullsup/pseudo/localization.txt: val2/7/7.jpeg is no image of train_fullsup",
    ]


def test_proposals_for_other_sizes_or_classes_are_named(fetched):
    image_id, label, size, proposed = PROPOSED[0]
    raw = fetched([(image_id, label + 1, (size[0] * 2, size[1]), proposed), *PROPOSED[1:]])
    with pytest.raises(BadDataError) as caught:
        read_annotations(raw)
    where = "train_fullsup/pseudo"
    assert list(caught.value.problems) == [
        f"{where}/class_labels.txt: {image_id} is {label + 1} here and {label} in train_fullsup",
        f"{where}/image_sizes.txt: {image_id} is {(size[0] * 2, size[1])} here and {size} in "
        "train_fullsup",
    ]


def test_malformed_tables_are_refused_before_anything_is_left(fetched, tmp_path, monkeypatch):
    write_split(tmp_path / "proposed", "ILSVRC", PROPOSED)
    folder = tmp_path / "proposed/metadata/ILSVRC/val"
    (folder / "localization.txt").write_text("val2/0/3.jpeg,1,2,0,4\n")
    monkeypatch.setenv("SPG_PSEUDO_BOXES", str(folder))
    with pytest.raises(UserError, match="ends before it begins"):
        fetched(proposed=None)
    assert not list((tmp_path / "data/raw").iterdir())
