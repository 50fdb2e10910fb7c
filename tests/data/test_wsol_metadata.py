"""Metadata folders of wsolevaluation: what is read, and a sentence for each mistake."""

from __future__ import annotations

import contextlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spg.data.layouts.wsol_metadata import WsolImage, read_metadata
from spg.project.errors import UserError
from spg.tools.scoring.object_masks import read_object_mask

BOXED = {
    "image_ids.txt": "a/1.jpg\nb/2.jpg\n",
    "class_labels.txt": "a/1.jpg,0\nb/2.jpg,7\n",
    "image_sizes.txt": "b/2.jpg,500,375\na/1.jpg,64,48\n",
    "localization.txt": "b/2.jpg,1,2,30,40\na/1.jpg,0,0,64,48\nb/2.jpg,5,5,9.5,9\n",
}
MASKED = {
    **BOXED,
    "image_sizes.txt": "",
    "localization.txt": "a/1.jpg,m/1a.png,m/1i.png\na/1.jpg,m/1b.png,\nb/2.jpg,m/2.png,\n",
}


@pytest.fixture
def folder(tmp_path):
    """A function that writes the four files, some of them changed, into an empty folder."""

    def write(files=BOXED, **changes):
        for name, text in (files | {f"{key}.txt": text for key, text in changes.items()}).items():
            (tmp_path / name).unlink(missing_ok=True)
            if text is not None:
                (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write


# ---- What is read ----


def test_boxes_sizes_and_classes(folder):
    assert read_metadata(folder()) == [
        WsolImage("a/1.jpg", 0, (64, 48), ((0, 0, 64, 48),), (), None),
        WsolImage("b/2.jpg", 7, (500, 375), ((1, 2, 30, 40), (5, 5, 9.5, 9)), (), None),
    ]


def test_masks_with_and_without_ignored_regions(folder):
    assert read_metadata(folder(MASKED)) == [
        WsolImage("a/1.jpg", 0, None, (), ("m/1a.png", "m/1b.png"), "m/1i.png"),
        WsolImage("b/2.jpg", 7, None, (), ("m/2.png",), None),
    ]


def test_images_come_in_the_order_of_image_ids(folder):
    found = read_metadata(folder(image_ids="b/2.jpg\na/1.jpg\n"))
    assert [image.image_id for image in found] == ["b/2.jpg", "a/1.jpg"]


@pytest.mark.parametrize("files", [BOXED, MASKED], ids=["boxes", "masks"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text if text else text,
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n  \n",
        lambda text: "\n" + text,
    ],
    ids=["CRLF", "BOM", "no last line end", "empty last lines", "empty first line"],
)
def test_files_of_other_editors_are_read_alike(folder, files, spoil):
    want = read_metadata(folder(files))
    assert read_metadata(folder({name: spoil(text) for name, text in files.items()})) == want


def test_empty_files_leave_their_values_open(folder):
    found = read_metadata(folder(class_labels="", image_sizes="", localization=""))
    assert found[0] == WsolImage("a/1.jpg", None, None, (), (), None)


def test_paths_may_hold_commas_spaces_and_umlauts(folder):
    name = "ä, b/c d, 1.jpg"
    found = read_metadata(
        folder(
            image_ids=name,
            class_labels=f"{name},3",
            image_sizes=f"{name},6,5",
            localization=f"{name},1,2,3,4",
        )
    )
    assert found == [WsolImage(name, 3, (6, 5), ((1, 2, 3, 4),), (), None)]


def test_a_box_may_be_empty_or_leave_the_image(folder):
    lines = "a/1.jpg,5,5,5,9\na/1.jpg,-3,-4,99,99\nb/2.jpg,0,0,1,1"
    assert read_metadata(folder(localization=lines))[0].boxes == ((5, 5, 5, 9), (-3, -4, 99, 99))


# ---- A sentence for each mistake ----

MISTAKES = [
    ({"image_ids": None}, "image_ids.txt: no such file"),
    ({"class_labels": None}, "class_labels.txt: no such file"),
    ({"image_sizes": None}, "image_sizes.txt: no such file"),
    ({"localization": None}, "localization.txt: no such file"),
    ({"image_ids": ""}, "image_ids.txt: names no image"),
    ({"image_ids": "\n \n"}, "image_ids.txt: names no image"),
    ({"image_ids": b"\xff\xfe\x00"}, "image_ids.txt: neither UTF-8 nor UTF-16"),
    ({"image_ids": b"a/1.jpg\nb\xe9.jpg\n"}, "image_ids.txt:2: not UTF-8"),
    ({"image_ids": "a/1.jpg\nb/2.jpg\na/1.jpg\n"}, "image_ids.txt:3: 'a/1.jpg' stands twice"),
    ({"image_ids": "../x.jpg\n"}, "image_ids.txt:1: '../x.jpg' leaves the folder"),
    ({"image_ids": "a/../../x.jpg\n"}, "image_ids.txt:1: 'a/../../x.jpg' leaves the folder"),
    ({"image_ids": "/etc/x.jpg\n"}, "image_ids.txt:1: '/etc/x.jpg' leaves the folder"),
    ({"class_labels": "a/1.jpg,0\n"}, "class_labels.txt: b/2.jpg of image_ids.txt has no line"),
    (
        {"class_labels": "a/1.jpg,0\nc.jpg,1\n"},
        "class_labels.txt:2: 'c.jpg' is not in image_ids.txt",
    ),
    ({"class_labels": "a/1.jpg,0\n\na/1.jpg,0\n"}, "class_labels.txt:3: a/1.jpg stands twice"),
    ({"class_labels": "a/1.jpg,zero\nb/2.jpg,1\n"}, "class_labels.txt:1: expected a class number"),
    ({"class_labels": "a/1.jpg,1.5\nb/2.jpg,1\n"}, "class_labels.txt:1: expected a class number"),
    ({"class_labels": "a/1.jpg\nb/2.jpg,1\n"}, "class_labels.txt:1: expected values separated by"),
    ({"image_sizes": "a/1.jpg,64\nb/2.jpg,1,1\n"}, "image_sizes.txt:1: expected 2 values"),
    ({"image_sizes": "b/2.jpg,1,1\na/1.jpg,64.5,48\n"}, "image_sizes.txt:2: expected width,height"),
    ({"image_sizes": "b/2.jpg,1,1\na/1.jpg,nan,48\n"}, "image_sizes.txt:2: expected width,height"),
    ({"image_sizes": "a/1.jpg,0,48\nb/2.jpg,1,1\n"}, "image_sizes.txt:1: an image of 0 x 48"),
    ({"image_sizes": "a/1.jpg,6,-4\nb/2.jpg,1,1\n"}, "image_sizes.txt:1: an image of 6 x -4"),
    ({"image_sizes": "a/1.jpg,6,4\n"}, "image_sizes.txt: b/2.jpg of image_ids.txt has no line"),
    ({"localization": "a/1.jpg,0,0,4,4\n"}, "localization.txt: b/2.jpg of image_ids.txt has no"),
    ({"localization": "c.jpg,0,0,4,4\n"}, "localization.txt:1: 'c.jpg' is not in image_ids.txt"),
    ({"localization": "a/1.jpg,0,0,4\nb/2.jpg,0,0,1,1\n"}, "localization.txt:1: expected path"),
    ({"localization": "a/1.jpg,4\nb/2.jpg,0,0,1,1\n"}, "localization.txt:1: expected path"),
    ({"localization": "a/1.jpg,0,0,four,4\n"}, "localization.txt:1: expected x0,y0,x1,y1"),
    ({"localization": "a/1.jpg,0,0,nan,4\n"}, "localization.txt:1: a corner of the box"),
    ({"localization": "a/1.jpg,0,0,inf,4\n"}, "localization.txt:1: a corner of the box"),
    ({"localization": "a/1.jpg,5,0,4,4\n"}, "localization.txt:1: the box 5,0,4,4 ends before"),
    ({"localization": "a/1.jpg,0,5,4,4\n"}, "localization.txt:1: the box 0,5,4,4 ends before"),
    ({"localization": "a/1.jpg,,x.png\n"}, "localization.txt:1: the line names no mask"),
]


@pytest.mark.parametrize(("changes", "sentence"), MISTAKES)
def test_mistakes_are_one_sentence_with_file_and_line(folder, changes, sentence):
    with pytest.raises(UserError) as caught:
        read_metadata(folder(**changes))
    message = str(caught.value)
    assert message.startswith(f"{folder(**changes)}: ")
    assert sentence in message
    assert "\n" not in message


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"image_ids.txt: no such file; .*one split of"):
        read_metadata(tmp_path / "nowhere")


def test_a_folder_in_place_of_a_file(folder):
    place = folder(image_sizes=None)
    (place / "image_sizes.txt").mkdir()
    with pytest.raises(UserError, match=r"image_sizes.txt: Is a directory"):
        read_metadata(place)


@given(
    st.sampled_from(sorted(BOXED)), st.lists(st.text("a/1.jpgb2,.0-xnaif \n\x00\"'"), max_size=4)
)
def test_whatever_stands_in_a_file_is_read_or_refused(tmp_path_factory, name, lines):
    place = tmp_path_factory.mktemp("metadata")
    for file, text in (BOXED | {name: "\n".join(lines)}).items():
        (place / file).write_text(text, encoding="utf-8")
    with contextlib.suppress(UserError):
        assert all(isinstance(image, WsolImage) for image in read_metadata(place))


# ---- Masks ----


@pytest.fixture
def masks(tmp_path):
    """Two overlapping objects of different brightness and a region to ignore across both."""
    images = np.zeros((3, 6, 8), dtype=np.uint8)
    images[0, 1:3, 1:4], images[1, 2:5, 3:6], images[2, 2:6, :] = 255, 1, 255
    for name, image in zip(("a", "b", "ignore"), images, strict=True):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    return tmp_path, images > 0


def union_of(folder, names, ignore, size):
    ignored = folder / ignore if ignore else None
    return read_object_mask([folder / name for name in names], ignored, size).pixels


def test_objects_are_united_and_never_ignored(masks):
    folder, (first, second, ignored) = masks
    want = np.where(first | second, 1, np.where(ignored, 255, 0))
    got = union_of(folder, ["a.png", "b.png"], "ignore.png", None)
    assert got.dtype == np.uint8
    assert (got == want).all()
    assert (union_of(folder, ["a.png"], None, None) == first).all()


def test_masks_are_squashed_to_the_nearest_pixel(masks):
    folder, (first, second, _) = masks
    got = union_of(folder, ["a.png", "b.png"], None, (16, 3))
    union = (first | second).astype(np.uint8)
    assert got.shape == (3, 16)
    assert (got == union[::2].repeat(2, axis=1)).all()
    assert (got == cv2.resize(union, (16, 3), interpolation=cv2.INTER_NEAREST)).all()


def test_missing_damaged_and_differing_masks_are_named(masks):
    folder, _ = masks
    with pytest.raises(UserError, match=r"nowhere.png: no such mask"):
        union_of(folder, ["nowhere.png"], None, None)
    (folder / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 30)
    with pytest.raises(UserError, match=r"damaged.png: damaged|damaged.png: no image"):
        union_of(folder, ["a.png", "damaged.png"], None, None)
    cv2.imwrite(str(folder / "other.png"), np.zeros((5, 5), np.uint8))
    with pytest.raises(UserError, match=r"a.png: the masks of this image differ in size"):
        union_of(folder, ["a.png", "other.png"], None, None)


def test_an_ignore_mask_of_another_size_is_named(masks):
    folder, _ = masks
    cv2.imwrite(str(folder / "other.png"), np.zeros((5, 5), np.uint8))
    with pytest.raises(UserError, match=r"differ in size"):
        union_of(folder, ["a.png"], "other.png", None)
