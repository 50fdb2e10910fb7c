"""A stranger's folder of images: what is read, and what is wrong with it, in one list."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from spg.data.layouts.image_folder import ENDINGS, read_annotations
from spg.data.layouts.problems import BadDataError
from spg.data.prepare.stage import prepare
from spg.data.sources.folder import fetch
from spg.project.errors import UserError
from spg.project.params import parse_params
from spg.project.workspace import Workspace

NAME = "photos"
IMAGES = {
    "train/wren/a.jpg": (30, 20), "train/wren/b.PNG": (24, 24), "train/owl/c.jpeg": (20, 30),
    "test/wren/d.jpg": (40, 20), "test/owl/e.jpg": (20, 40),
}  # fmt: skip
BOXES = ("test/wren/d.jpg,1,2,30,18", "test/owl/e.jpg,0,0,20,40", "test/owl/e.jpg,2.5,3,9,9")


def write_images(root, images=IMAGES):
    rng = np.random.default_rng(0)
    for name, (width, height) in images.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
        Image.fromarray(pixels).save(path, kind)
    return root


def table(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def boxes(root, *lines, header="image,x0,y0,x1,y1"):
    table(root / "boxes.csv", header, *lines)


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path / "own")


def test_splits_and_classes_are_those_of_torchvision(folder):
    found = read_annotations(folder)
    for split, ours in (("train", "train_weaksup"), ("test", "test")):
        theirs = ImageFolder(str(folder / split))
        want = {
            Path(path).relative_to(folder).as_posix(): theirs.classes[label]
            for path, label in theirs.samples
        }
        assert {i.image_id: i.class_name for i in found if i.split == ours} == want
    assert {item.class_name: item.class_id for item in found} == {"owl": 0, "wren": 1}
    assert {".jpg", ".jpeg", ".png", ".webp"} <= ENDINGS
    assert not any(item.boxes_wanted for item in found)
    assert [item.split for item in found] == ["train_weaksup"] * 3 + ["test"] * 2


def test_boxes_are_read_as_they_stand_several_of_an_image(folder):
    boxes(folder, *BOXES)
    found = {item.image_id: item for item in read_annotations(folder)}
    assert found["test/owl/e.jpg"].boxes == ((0, 0, 20, 40), (2.5, 3, 9, 9))
    assert found["test/owl/e.jpg"].boxes_at == "boxes.csv:3, boxes.csv:4"
    assert all(item.boxes_wanted for item in found.values())


def test_columns_may_stand_in_any_order_and_names_may_hold_commas(tmp_path):
    folder = write_images(tmp_path / "own", {**IMAGES, "test/owl/f, g.jpg": (20, 20)})
    boxes(folder, '1,2,"test/owl/f, g.jpg",9,8', header="x0,y0,image,x1,y1")
    found = {item.image_id: item for item in read_annotations(folder)}
    assert found["test/owl/f, g.jpg"].boxes == ((1, 2, 9, 8),)


def test_val_is_the_test_split_where_there_is_no_test(tmp_path):
    images = {name.replace("test/", "val/"): size for name, size in IMAGES.items()}
    found = read_annotations(write_images(tmp_path / "own", images))
    assert [item.split for item in found] == ["train_weaksup"] * 3 + ["test"] * 2


def test_val_chooses_thresholds_where_there_is_test(tmp_path):
    folder = write_images(tmp_path / "own", {**IMAGES, "val/owl/v.jpg": (20, 20)})
    boxes(folder, *BOXES, "val/owl/v.jpg,1,1,9,9")
    splits = {item.image_id: item.split for item in read_annotations(folder)}
    assert splits["val/owl/v.jpg"] == "train_fullsup"
    (folder / "boxes.csv").unlink()
    with pytest.raises(BadDataError, match="val: its images are there to choose thresholds on"):
        read_annotations(folder)


def test_splits_may_stand_in_a_table(tmp_path):
    names = ("wren/a.jpg", "wren/b.jpg", "owl/c.jpg", "owl/d.jpg")
    folder = write_images(tmp_path / "own", dict.fromkeys(names, (20, 20)))
    words = ("train", "test", "train", "test")
    lines = [f"{name},{word}" for name, word in zip(names, words, strict=True)]
    table(folder / "splits.csv", "image,split", *lines)
    splits = {item.image_id: item.split for item in read_annotations(folder)}
    assert [splits[name] for name in names] == ["train_weaksup", "test"] * 2


def test_masks_are_wanted_of_every_test_image_if_of_any(folder):
    assert all(item.object_mask is None for item in read_annotations(folder))
    (folder / "masks/test/owl").mkdir(parents=True)
    Image.fromarray(np.full((40, 20), 255, np.uint8)).save(folder / "masks/test/owl/e.png")
    found = {item.image_id: item.object_mask for item in read_annotations(folder)}
    assert found["test/wren/d.jpg"] == "masks/test/wren/d.png"
    assert found["test/owl/e.jpg"] == "masks/test/owl/e.png"
    assert not any(mask for name, mask in found.items() if name.startswith("train"))


def test_everything_that_is_wrong_with_the_boxes_is_one_list(folder):
    boxes(
        folder, BOXES[0], "test/owl/z.jpg,1,2,3,4", "test/owl/e.jpg,1,2,3",
        "test/owl/e.jpg,a,2,3,4", "test/owl/e.jpg,5,5,3,9", "test/owl/e.jpg,nan,5,9,9",
    )  # fmt: skip
    with pytest.raises(BadDataError) as caught:
        read_annotations(folder)
    assert list(caught.value.problems) == [
        "boxes.csv:3: 'test/owl/z.jpg': no such image below the folder",
        "boxes.csv:4: expected 5 values, got 'test/owl/e.jpg,1,2,3'",
        "boxes.csv:5: expected four numbers x0,y0,x1,y1, got 'a,2,3,4'",
        "boxes.csv:6: the box 5,5,3,9 has no area; x1 and y1 are its far corner, not width and "
        "height",
        "boxes.csv:7: a corner of the box is not a finite number of pixels",
    ]
    assert len(caught.value.readable) == len(IMAGES)


def splits(root, *lines):
    table(root / "splits.csv", "image,split", *lines)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: boxes(root, header="image,x,y,w,h"), "boxes.csv:1: expected the header"),
        (lambda root: table(root / "boxes.csv"), "boxes.csv:1: expected the header"),
        (lambda root: splits(root, "train/wren/a.jpg,training"), "split is 'training', not one"),
        (lambda root: splits(root, "train/wren/a.jpg,train"), "has no line of test/owl/e.jpg"),
        (
            lambda root: splits(root, "train/wren/a.jpg,train", "train/wren/a.jpg,test"),
            "splits.csv:3: train/wren/a.jpg stands twice, first in line 2",
        ),
        (lambda root: write_images(root, {"a.jpg": (9, 9)}), "a.jpg: lies in none of train, val"),
        (lambda root: write_images(root, {"test/a.jpg": (9, 9)}), "lies in no folder of a class"),
        (lambda root: (root / "train").rename(root / "teach"), "has neither splits.csv nor"),
        (lambda root: (root / "train/zzz").mkdir(), "train/zzz: holds no image; remove"),
    ],
)
def test_what_is_wrong_with_the_folder_is_said(folder, change, said):
    change(folder)
    with pytest.raises(BadDataError) as caught:
        read_annotations(folder)
    assert any(said in problem for problem in caught.value.problems), caught.value.problems


def test_the_class_is_the_folder_below_the_split_as_torchvision_has_it(tmp_path):
    images = {name.replace("wren/", "wren/2024/may/"): size for name, size in IMAGES.items()}
    folder = write_images(tmp_path / "own", {**images, "train/.cache/x.jpg": (9, 9)})
    shutil.rmtree(folder / "train/.cache")
    found = [item for item in read_annotations(folder) if item.split == "train_weaksup"]
    theirs = ImageFolder(folder / "train")
    assert {item.class_name: item.class_id for item in found} == theirs.class_to_idx
    want = {Path(path).relative_to(folder).as_posix(): label for path, label in theirs.samples}
    assert {item.image_id: item.class_id for item in found} == want


def test_hidden_folders_are_no_classes(tmp_path):
    folder = write_images(tmp_path / "own", {**IMAGES, "train/.ipynb_checkpoints/x.jpg": (9, 9)})
    assert {item.class_name for item in read_annotations(folder)} == {"owl", "wren"}


def test_val_is_the_test_split_in_a_table_too(tmp_path):
    names = ("wren/a.jpg", "wren/b.jpg", "owl/c.jpg", "owl/d.jpg")
    folder = write_images(tmp_path / "own", dict.fromkeys(names, (20, 20)))
    words = ("train", "val") * 2
    splits(folder, *(f"{name},{word}" for name, word in zip(names, words, strict=True)))
    found = {item.image_id: item.split for item in read_annotations(folder)}
    assert [found[name] for name in names] == ["train_weaksup", "test"] * 2


def test_accents_are_found_however_they_are_spelled(tmp_path):
    apart, together = "test/owl/u\u0308.jpg", "test/owl/\u00fc.jpg"
    folder = write_images(tmp_path / "own", {**IMAGES, apart: (20, 20)})
    boxes(folder, f"{together},1,1,9,9")
    found = {item.image_id: item for item in read_annotations(folder)}
    assert found[apart].boxes == ((1, 1, 9, 9),)


def test_a_name_that_no_table_can_hold_is_one_sentence(folder):
    name = os.fsdecode(b"train/wren/\xff\xfe.jpg")
    (folder / "train/wren/a.jpg").rename(folder / name)
    with pytest.raises(BadDataError, match=r"udcff.*\.jpg: this name is not UTF-8; rename it"):
        read_annotations(folder)


def test_a_table_of_another_kind_hides_nothing_and_blames_no_image(tmp_path):
    names = ("wren/a.jpg", "owl/c.jpg")
    folder = write_images(tmp_path / "own", dict.fromkeys(names, (20, 20)))
    table(folder / "splits.csv", "name,part", "wren/a.jpg,train")
    boxes(folder, "owl/c.jpg,1,1,9,9")
    with pytest.raises(BadDataError) as caught:
        read_annotations(folder)
    assert list(caught.value.problems) == [
        "splits.csv:1: expected the header image,split, got 'name,part'"
    ]
    splits(folder, "wren/a.jpg,train", "owl/c.jpg,Test")
    with pytest.raises(BadDataError) as caught:
        read_annotations(folder)
    assert list(caught.value.problems) == [
        "splits.csv:3: split is 'Test', not one of train, val, test"
    ]


def test_an_empty_folder_is_one_sentence(tmp_path):
    with pytest.raises(BadDataError, match="no image in it; known endings are"):
        read_annotations(tmp_path)


# ---- fetch and prepare ----


@pytest.fixture
def fetched(folder, tmp_path, mapping, monkeypatch):
    """Fetch the folder and return the project."""

    def run():
        monkeypatch.setenv("SPG_FOLDER", str(folder))
        params, workspace = parse_params(mapping, "params"), Workspace(tmp_path / "project")
        fetch(workspace, NAME, params.datasets[NAME].source)
        return workspace, params

    return run


def test_the_raw_folder_is_a_copy_that_reads_the_same(folder, fetched):
    boxes(folder, *BOXES)
    (folder / "masks/test/owl").mkdir(parents=True)
    (folder / "masks/test/owl/e.png").write_bytes(b"a mask")
    (folder / "notes.txt").write_text("no image")
    raw = fetched()[0].raw(NAME)
    assert read_annotations(raw) == read_annotations(folder)
    assert (raw / "masks/test/owl/e.png").read_bytes() == b"a mask"
    assert not (raw / "notes.txt").exists()


@pytest.mark.parametrize("named", [None, "nowhere"])
def test_a_folder_that_is_not_named_or_not_there(tmp_path, mapping, monkeypatch, named):
    monkeypatch.delenv("SPG_FOLDER", raising=False)
    if named:
        monkeypatch.setenv("SPG_FOLDER", str(tmp_path / named))
    source = parse_params(mapping, "params").datasets[NAME].source
    with pytest.raises(UserError, match="SPG_FOLDER"):
        fetch(Workspace(tmp_path), NAME, source)


def test_test_images_without_a_box_beside_boxed_ones_are_listed(folder, fetched):
    boxes(folder, BOXES[0])
    workspace, params = fetched()
    with pytest.raises(UserError, match=r"boxes.csv: has no box"):
        prepare(workspace, params, NAME)


def test_masks_that_are_missing_are_listed(folder, fetched):
    (folder / "masks/test/wren").mkdir(parents=True)
    Image.fromarray(np.full((20, 40), 255, np.uint8)).save(folder / "masks/test/wren/d.png")
    workspace, params = fetched()
    with pytest.raises(UserError, match=r"1 problem: .*masks/test/owl/e.png: no such file"):
        prepare(workspace, params, NAME)
