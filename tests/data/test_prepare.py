"""Packing: odd images, boxes at the border, several processes, interruption."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from whole.pictures import MASKS
from whole.refusal import refusal

import spg.data.images.decoding as decoding
import spg.data.prepare.shards as shards_module
from spg.data.images.decoding import BadImageError, encode_mask
from spg.data.images.manifest import boxes_of, read_manifest
from spg.data.images.packed import PackedImages
from spg.data.layouts.cub import read_annotations
from spg.data.prepare.recode import recode
from spg.data.prepare.stage import prepare
from spg.project.errors import UserError
from spg.project.params import parse_params, read_yaml
from spg.project.workspace import Workspace

NAME = "synthetic_birds"
ORIENTATION = 0x0112


def noise(width=13, height=9, channels=3):
    shape = (height, width, channels) if channels > 1 else (height, width)
    pixels = np.random.default_rng(width).integers(0, 256, shape).astype(np.uint8)
    return cv2.GaussianBlur(pixels, (5, 5), 0)


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels_of(content):
    """As training reads them: OpenCV, orientation ignored."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(content, np.uint8), flags)[:, :, ::-1]


def keep(content):
    return recode(content, short_side=None, quality=95)


# ---- One image ----


@pytest.mark.parametrize("kind", ["jpeg", "png"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_ordinary_image_keeps_its_bytes(kind, channels):
    content = encoded(Image.fromarray(noise(channels=channels)), kind)
    assert keep(content) == (content, 13, 9)


def odd_images():
    color = Image.fromarray(noise())
    alpha = color.copy()
    alpha.putalpha(Image.fromarray(noise(channels=1)))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return {
        "cmyk": encoded(color.convert("CMYK"), "jpeg"),
        "palette": encoded(color.convert("P"), "png"),
        "one bit": encoded(color.convert("1"), "png"),
        "alpha": encoded(alpha, "png"),
        "grey with alpha": encoded(alpha.convert("LA"), "png"),
        "gif of two frames": encoded(
            color.convert("P"), "gif", save_all=True, append_images=[Image.new("P", (13, 9))]
        ),
        "tiff": encoded(color, "tiff"),
        "turned by EXIF": encoded(color, "jpeg", exif=exif),
        "webp": encoded(color, "webp", lossless=True),
    }


ODD = odd_images()


@pytest.mark.parametrize("name", ODD)
def test_an_odd_image_becomes_the_rgb_that_pil_sees(name):
    """PIL does not turn by EXIF; neither may what training reads."""
    want = np.asarray(Image.open(io.BytesIO(ODD[name])).convert("RGB"))
    packed = keep(ODD[name])
    assert (packed.width, packed.height) == (13, 9)
    assert np.array_equal(pixels_of(packed.encoded), want)


def test_sixteen_bits_become_eight():
    deep = np.array([[0, 257, 65535, 128]], dtype=np.uint16)
    packed = keep(encoded(Image.fromarray(deep), "png"))
    assert pixels_of(packed.encoded)[0, :, 0].tolist() == [0, 1, 255, 0]


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40), (33, 20), (20, 20)])
def test_the_short_side_is_shrunk_and_the_original_size_kept(width, height):
    grey = Image.fromarray(noise(width, height, channels=1))
    packed = recode(encoded(grey, "png"), short_side=10, quality=100)
    assert (packed.width, packed.height) == (width, height)
    got = pixels_of(packed.encoded)
    assert min(got.shape[:2]) == 10
    assert got.shape[0] / got.shape[1] == pytest.approx(height / width, abs=0.06)
    area = np.asarray(grey.resize(got.shape[1::-1], Image.Resampling.BOX)).astype(int)
    assert np.abs(got[:, :, 0] - area).mean() < 3  # a JPEG of quality 100


@pytest.mark.parametrize("short_side", [9, 20])
def test_a_small_image_is_never_enlarged(short_side):
    content = encoded(Image.fromarray(noise()), "jpeg")
    assert recode(content, short_side=short_side, quality=95).encoded == content


def test_a_lower_quality_is_a_smaller_file():
    content = encoded(Image.fromarray(noise(80, 60)), "png")
    sizes = [len(recode(content, short_side=32, quality=q).encoded) for q in (10, 95)]
    assert sizes[0] < sizes[1]


def broken_images():
    jpeg = encoded(Image.fromarray(noise(64, 64)), "jpeg")
    png = encoded(Image.fromarray(noise(64, 64)), "png")
    return {
        "empty": (b"", "empty file"),
        "text": (b"hello, I am text" * 9, "no image"),
        "half a jpeg": (jpeg[: len(jpeg) // 2], "truncated|damaged"),
        "half a png": (png[: len(png) // 2], "truncated|damaged"),
        "a jpeg's head": (jpeg[:30], "damaged|no image"),
        "32 bits": (encoded(Image.fromarray(noise(channels=1).astype(np.float32)), "tiff"), "32"),
    }


BROKEN = broken_images()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_refused_with_its_reason(name):
    content, reason = BROKEN[name]
    with pytest.raises(BadImageError, match=reason):
        keep(content)


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 100)
    with pytest.raises(BadImageError, match="too large: 13 x 9 pixels"):
        keep(encoded(Image.fromarray(noise()), "png"))


# ---- A data set ----


@pytest.fixture
def project(tiny_workspace, tmp_path):
    """A copy of the raw data alone."""
    workspace = Workspace(tmp_path)
    shutil.copytree(tiny_workspace.raw(NAME), workspace.raw(NAME))
    return workspace


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shards_module, "ROWS_PER_SHARD", 4)


def files_of(workspace):
    folder = workspace.packed(NAME)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def with_prepare(tiny_mapping, **changes):
    datasets = json.loads(json.dumps(tiny_mapping["datasets"]))
    datasets[NAME]["prepare"] |= changes
    return parse_params({**tiny_mapping, "datasets": datasets}, "")


def test_any_number_of_processes_gives_the_same_bytes(
    project, tiny_params, monkeypatch, small_shards
):
    monkeypatch.setenv("SPG_WORKERS", "1")
    prepare(project, tiny_params, NAME)
    alone = files_of(project)
    assert sorted(alone) == ["manifest.parquet", *(f"shard-{k:05d}.arrow" for k in range(7))]
    for workers in ("2", "4"):
        monkeypatch.setenv("SPG_WORKERS", workers)
        prepare(project, tiny_params, NAME)
        assert files_of(project) == alone
    assert [path.name for path in project.scratch.iterdir()] == ["locks"]


def test_what_is_packed_is_what_the_annotations_name_in_their_order(
    project, tiny_params, small_shards
):
    prepare(project, tiny_params, NAME)
    packed, raw = PackedImages(project.packed(NAME)), project.raw(NAME)
    rows = read_manifest(project.packed(NAME) / "manifest.parquet")
    annotations = read_annotations(raw)
    assert rows["image_id"].tolist() == [item.image_id for item in annotations]
    for index, item in enumerate(annotations):
        assert np.array_equal(packed.image(index), np.asarray(Image.open(raw / item.file)))
        mask = np.asarray(Image.open(raw / item.object_mask)) > 127
        assert np.array_equal(packed.object_mask(index), mask)


def test_shrunk_images_keep_boxes_and_sizes_of_the_original(project, tiny_mapping, tiny_workspace):
    prepare(project, with_prepare(tiny_mapping, short_side=32), NAME)
    small, whole = project.packed(NAME), tiny_workspace.packed(NAME)
    mine, other = (
        read_manifest(small / "manifest.parquet"),
        read_manifest(whole / "manifest.parquet"),
    )
    for column in ("image_id", "width", "height", "split"):
        assert mine[column].tolist() == other[column].tolist()
    assert [boxes_of(b).tolist() for b in mine["boxes"]] == [
        boxes_of(b).tolist() for b in other["boxes"]
    ]
    assert min(PackedImages(small).image(0).shape[:2]) == 32
    assert PackedImages(small).object_mask(0).shape == PackedImages(whole).object_mask(0).shape


def spoil(project, places):
    annotations = read_annotations(project.raw(NAME))
    for place in places:
        (project.raw(NAME) / annotations[place].file).write_bytes(b"")
    return [annotations[place].image_id for place in places]


@pytest.mark.parametrize("workers", ["1", "3"])
def test_every_bad_image_is_named_at_once(project, tiny_params, monkeypatch, small_shards, workers):
    monkeypatch.setenv("SPG_WORKERS", workers)
    spoiled = spoil(project, (1, 2, 20))
    with pytest.raises(UserError, match=": 3 problems: ") as caught:
        prepare(project, tiny_params, NAME)
    assert all(f"images/{name}: empty file" in str(caught.value) for name in spoiled)
    assert not project.packed(NAME).exists()


def test_many_bad_images_are_listed_in_a_file(project, tiny_params):
    spoiled = spoil(project, range(25))
    rest = [a.image_id for a in read_annotations(project.raw(NAME))][25:]  # of a class without
    with pytest.raises(UserError, match=r"29 problems: .*; and 9 more; ") as caught:
        prepare(project, tiny_params, NAME)
    path = Path(re.search(r"(\S+) lists them all$", str(caught.value))[1])
    assert all(f"  # images/{name}: empty file\n" in path.read_text() for name in spoiled)
    assert read_yaml(path) == {"skip": spoiled + rest}
    assert path.read_text().count("has no good training image") == 2
    assert path.read_text().count("# - no image that is good and not skipped is a t") == 2


def test_skipped_images_are_left_out_and_recorded(project, tiny_mapping):
    spoiled = spoil(project, (2, 5))
    prepare(project, with_prepare(tiny_mapping, skip=spoiled, holdout_per_class=1), NAME)
    rows = read_manifest(project.packed(NAME) / "manifest.parquet")
    assert not set(spoiled) & set(rows["image_id"])
    assert len(rows) == len(PackedImages(project.packed(NAME))) == 25
    skipped = (project.packed(NAME) / "skipped.txt").read_text().splitlines()
    assert skipped == sorted(spoiled)


def test_skipping_an_unknown_image_is_refused(project, tiny_mapping):
    with pytest.raises(UserError, match=r"skip: the data set has no image 'a\.jpg'; 'x\.jpg'"):
        prepare(project, with_prepare(tiny_mapping, skip=["x.jpg", "a.jpg"]), NAME)


def set_box(project, line, box):
    path = project.raw(NAME) / "bounding_boxes.txt"
    lines = path.read_text().splitlines()
    lines[line] = f"{line + 1} {box}"
    path.write_text("\n".join(lines) + "\n")


def test_boxes_are_cut_at_the_border(project, tiny_params):
    set_box(project, 0, "-3.0 5.0 500.0 6.5")
    prepare(project, tiny_params, NAME)
    row = read_manifest(project.packed(NAME) / "manifest.parquet").loc[0]
    assert boxes_of(row["boxes"]).tolist() == [[0, 5, row["width"], 11.5]]


@pytest.mark.parametrize("box", ["900 5 6 6", "-8 5 6 6", "5 -9 6 9"])
def test_a_box_outside_its_image_is_named(project, tiny_params, box):
    place = next(k for k, a in enumerate(read_annotations(project.raw(NAME))) if a.split == "test")
    set_box(project, place, box)
    name = read_annotations(project.raw(NAME))[place].image_id
    fault = (
        rf"{name}: bounding_boxes\.txt:{place + 1}: the box .* lies outside the \d+ x \d+ pixels"
    )
    with pytest.raises(UserError, match=fault):
        prepare(project, tiny_params, NAME)


@pytest.fixture
def place(project):
    """The place of a test image among the annotations."""
    annotations = read_annotations(project.raw(NAME))
    return next(k for k, item in enumerate(annotations) if item.split == "test")


@pytest.mark.parametrize("box", ["900 5 6 6", "5 5 0 6", "nan 1 1 1", "1 2 3"])
def test_a_box_of_a_training_image_that_no_one_uses_stops_nothing(project, tiny_mapping, box):
    for line in range(3):  # more than could be avoided by chance
        set_box(project, line, box)
    prepare(project, with_prepare(tiny_mapping, holdout_per_class=2), NAME)
    rows = read_manifest(project.packed(NAME) / "manifest.parquet")
    assert [len(boxes) for boxes in rows["boxes"][:4]] == [0, 0, 0, 1]
    assert set(rows["split"][:3]) == {"train_weaksup"}  # they are not held out either


MASK_FAULTS = {
    "empty file": b"",
    "no image that can be read": b"hello",
    "damaged: image file is truncated": None,
    "a mask of 5 x 4 pixels; the image has": cv2.imencode(".png", np.ones((4, 5)))[1].tobytes(),
    "no such file": "missing",
}


@pytest.mark.parametrize("said", MASK_FAULTS)
def test_a_mask_that_does_not_fit_its_image_is_listed_before_any_training(
    project, tiny_params, place, said
):
    item = read_annotations(project.raw(NAME))[place]
    path, content = project.raw(NAME) / item.object_mask, MASK_FAULTS[said]
    if content == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(UserError, match=rf": {re.escape(item.object_mask)}: {said}"):
        prepare(project, tiny_params, NAME)


def test_masks_of_any_form_are_packed_as_the_same_object(project, tiny_params, place):
    item = read_annotations(project.raw(NAME))[place]
    path = project.raw(NAME) / item.object_mask
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 127
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    forms = [MASKS[form](mask, 1) for form in MASKS]
    for content in [
        *forms,
        encoded(Image.fromarray(mask.astype(np.uint8) * 255), "png", exif=exif),
    ]:
        path.write_bytes(content)
        prepare(project, tiny_params, NAME)
        assert np.array_equal(PackedImages(project.packed(NAME)).object_mask(place), mask)


def test_a_mask_without_an_object_is_said_and_counted(project, tiny_params, place, caplog):
    item = read_annotations(project.raw(NAME))[place]
    path = project.raw(NAME) / item.object_mask
    path.write_bytes(encode_mask(np.zeros_like(cv2.imread(str(path))[..., 0], dtype=bool)))
    prepare(project, tiny_params, NAME)
    assert "1 of 9 test images have no pixel of the object in their masks" in caplog.text


def test_what_was_mended_in_place_is_read_anew(project, tiny_params, place, small_shards):
    """Only the bytes of a file change: neither the annotations nor the raw folder does."""
    item, raw = read_annotations(project.raw(NAME))[place], project.raw(NAME)
    mask, image = (raw / item.object_mask).read_bytes(), (raw / item.file).read_bytes()
    empty = encode_mask(np.zeros(cv2.imread(str(raw / item.object_mask)).shape[:2], dtype=bool))
    (raw / item.object_mask).write_bytes(empty)
    spoiled = raw / read_annotations(raw)[0].file  # of another shard, whose rest stays good
    assert place >= 4
    good = spoiled.read_bytes()
    spoiled.write_bytes(b"")
    with pytest.raises(UserError, match="1 problem"):
        prepare(project, tiny_params, NAME)
    spoiled.write_bytes(good)
    (raw / item.object_mask).write_bytes(mask)
    (raw / item.file).write_bytes(image)
    prepare(project, tiny_params, NAME)
    want = cv2.imread(str(raw / item.object_mask), cv2.IMREAD_GRAYSCALE) > 127
    assert np.array_equal(PackedImages(project.packed(NAME)).object_mask(place), want)


def test_a_class_of_bad_images_can_be_skipped_as_a_whole(project, tiny_mapping):
    annotations = read_annotations(project.raw(NAME))
    own = [k for k, item in enumerate(annotations) if item.class_id == 1]
    spoiled = spoil(project, own)
    rule = with_prepare(tiny_mapping, skip=spoiled, holdout_per_class=1)
    prepare(project, rule, NAME)
    rows = read_manifest(project.packed(NAME) / "manifest.parquet")
    assert sorted(rows["class_id"].unique()) == [0, 1]
    names = rows.drop_duplicates("class_id").set_index("class_id")["class_name"]
    assert list(names) == [annotations[0].class_name, annotations[-1].class_name]


def test_a_class_without_training_image_is_a_problem_of_its_test_images(project, tiny_mapping):
    path = project.raw(NAME) / "train_test_split.txt"
    annotations = read_annotations(project.raw(NAME))
    lines = path.read_text().splitlines()
    own = [item.image_id for item in annotations if item.class_id == 2]
    for key, item in enumerate(annotations):
        lines[key] = f"{key + 1} {0 if item.class_id == 2 else lines[key].split()[1]}"
    path.write_text("\n".join(lines))
    rule = with_prepare(tiny_mapping, holdout_per_class=1)
    with pytest.raises(UserError, match=r"class .* has no good training image") as caught:
        prepare(project, rule, NAME)
    assert str(caught.value).count("has no good training image") == len(own)
    prepare(project, with_prepare(tiny_mapping, holdout_per_class=1, skip=own), NAME)


@pytest.mark.parametrize(("word", "said"), [("1", "a test image"), ("0", "a training image")])
def test_a_set_without_test_or_training_images_is_refused(project, tiny_mapping, word, said):
    path = project.raw(NAME) / "train_test_split.txt"
    lines = [f"{line.split()[0]} {word}" for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match=said):
        prepare(project, with_prepare(tiny_mapping, holdout_per_class=0), NAME)


@pytest.mark.parametrize("origin", ["train", "test"])
def test_a_skip_changes_no_other_images_split(project, tiny_mapping, origin):
    """Neither of one image nor of a whole class, whose number the next one gets."""
    annotations = read_annotations(project.raw(NAME))
    rule = {"holdout_per_class": 1, "holdout_from": origin}

    def splits(skip):
        prepare(project, with_prepare(tiny_mapping, skip=skip, **rule), NAME)
        rows = read_manifest(project.packed(NAME) / "manifest.parquet")
        return dict(zip(rows["image_id"], rows["split"], strict=True))

    whole = splits([])
    for k in range(0, 27, 5):
        skipped = [annotations[k].image_id]
        found = splits(skipped)
        changed = {name for name in found if found[name] != whole[name]}
        held_out = whole[skipped[0]] == "train_fullsup"
        assert len(changed) == held_out  # its substitute
    first = [item.image_id for item in annotations if item.class_id == 0]
    found = splits(first)
    assert found == {name: split for name, split in whole.items() if name not in first}


def test_an_image_whose_mask_is_bad_may_be_held_out_and_stays_so(project, tiny_mapping, place):
    annotations, raw = read_annotations(project.raw(NAME)), project.raw(NAME)
    tests = [item for item in annotations if item.split == "test" and item.class_id == 0]
    (raw / tests[0].object_mask).unlink()
    rule = {"holdout_per_class": 1, "holdout_from": "test"}
    for seed in range(4):
        with_seed = {**rule, "seed": seed}
        said = refusal(lambda: prepare(project, with_prepare(tiny_mapping, **with_seed), NAME))  # noqa: B023
        skips = read_yaml(project.problems(NAME))["skip"] if said else []
        assert skips in ([], [tests[0].image_id])
        prepare(project, with_prepare(tiny_mapping, skip=skips, **with_seed), NAME)


def test_a_class_whose_only_spare_image_is_bad_is_said_at_once(project, tiny_mapping, place):
    annotations, raw = read_annotations(project.raw(NAME)), project.raw(NAME)
    for item in annotations:
        if item.split == "test" and item.class_id == 0:
            (raw / item.file).write_bytes(b"")
            spared = item
    Image.new("RGB", (64, 64)).save(raw / spared.file)
    with pytest.raises(UserError, match="holdout_per_class 1 leaves no test image of class") as e:
        prepare(project, with_prepare(tiny_mapping, holdout_per_class=1, holdout_from="test"), NAME)
    assert str(e.value).count("empty file") == 2


def test_one_mask_of_two_images_is_a_problem_of_both(project, tiny_params, place):
    raw = project.raw(NAME)
    lines = (raw / "images.txt").read_text().splitlines()
    other = str(Path(lines[place].split(" ", 1)[1]).with_suffix(".png"))
    lines[place + 1] = f"{place + 2} {other}"
    (raw / "images.txt").write_text("\n".join(lines))
    shutil.copy(raw / read_annotations(raw)[place].file, raw / "images" / other)
    with pytest.raises(UserError, match=r"2 problems: .*\.png is the mask of 2 images"):
        prepare(project, tiny_params, NAME)


@pytest.mark.parametrize(
    "letters", ["\x89", "\x7f", "\x85", "\ufffe", "\u2028", "é", "😀", "\"'#: %", "\\"]
)
def test_the_list_of_skips_is_read_back_to_the_letter(project, tiny_mapping, letters):
    raw, image = project.raw(NAME), f"a{letters}b.jpg"
    lines = (raw / "images.txt").read_text().splitlines()
    lines[0] = f"1 {image}"
    (raw / "images.txt").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match="no such file"):
        prepare(project, with_prepare(tiny_mapping, holdout_per_class=1), NAME)
    assert read_yaml(project.problems(NAME)) == {"skip": [image]}
    pasted = project.problems(NAME).read_text(encoding="utf-8").split("skip:\n")[1]
    whole = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")
    changed = whole.replace("      skip: []", f"      skip:\n{pasted}", 1)  # as people do
    (project.root / "pasted.yaml").write_text(changed, encoding="utf-8")
    found = read_yaml(project.root / "pasted.yaml")["datasets"][NAME]["prepare"]["skip"]
    assert found == [image]
    prepare(project, with_prepare(tiny_mapping, holdout_per_class=1, skip=[image]), NAME)


def test_an_image_too_long_for_its_format_is_too_large():
    image = Image.new("L", (70_000, 400))
    with pytest.raises(BadImageError, match=r"too large: 70000 x 400 pixels do not fit"):
        recode(encoded(image, "png"), short_side=390, quality=95)


def test_too_few_images_to_hold_out_hide_no_other_problem(project, tiny_mapping, caplog):
    spoiled = spoil(project, (2,))
    with pytest.raises(UserError, match=r"holdout_per_class 6 leaves no train image of class") as e:
        prepare(project, with_prepare(tiny_mapping, holdout_per_class=6), NAME)
    assert f"images/{spoiled[0]}: empty file" in str(e.value)
    assert str(e.value).count("leaves no train image of class") == 3
    assert "holdout_per_class 6" in caplog.text  # and is said before the images are packed


def test_images_of_another_name_beside_a_missing_one_are_named(project, tiny_params, place):
    item = read_annotations(project.raw(NAME))[place]
    path = project.raw(NAME) / item.file
    path.rename(path.with_suffix(".JPG"))
    said = rf"no such file, but one called '{path.stem}\.JPG', and images.txt:{place + 1} names it"
    with pytest.raises(UserError, match=said):
        prepare(project, tiny_params, NAME)


@pytest.mark.parametrize(("box", "said"), [
    ("40 30 64 64", "15 of 15 images have boxes that reach beyond the image"),
    ("0.1 0.1 0.5 0.5", "15 of 15 images have boxes within 1 x 1 pixels"),
])  # fmt: skip
def test_boxes_stated_in_another_way_are_doubted_with_counts(
    project, tiny_params, caplog, box, said
):
    for line in range(27):
        set_box(project, line, box)
    prepare(project, tiny_params, NAME)
    assert re.search(said, caplog.text)


# ---- Interruption ----

SLOW = """
import sys, time
import spg.data.prepare.shards as module
from spg.data.prepare.stage import prepare
from spg.project.params import load_params
from spg.project.workspace import Workspace
from pathlib import Path
module.ROWS_PER_SHARD = 4
read = module.read_image
def slow(*arguments):
    time.sleep(0.01)
    return read(*arguments)
module.read_image = slow
root = Path(sys.argv[1])
prepare(Workspace(root), load_params(root / "params.yaml"), "synthetic_birds")
"""


def test_a_killed_run_goes_on_to_the_same_bytes(
    project, tiny_params, tiny_mapping, monkeypatch, small_shards
):
    monkeypatch.setenv("SPG_WORKERS", "1")
    prepare(project, tiny_params, NAME)
    undisturbed = files_of(project)
    shutil.rmtree(project.packed(NAME))
    (project.root / "params.yaml").write_text(json.dumps(tiny_mapping))
    finished: set[int] = set()
    for shards in (1, 3, 5):
        victim = subprocess.Popen(
            [sys.executable, "-c", SLOW, str(project.root)],
            env={**os.environ, "SPG_WORKERS": "1"},
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        while len(list(project.scratch.glob("*/shard-*.json"))) < shards:
            assert victim.poll() is None
            time.sleep(0.005)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
        kept = {path.stat().st_mtime_ns for path in project.scratch.glob("*/shard-*.json")}
        assert finished <= kept  # nothing whole is made again
        finished = kept
        assert not project.packed(NAME).exists()
    prepare(project, tiny_params, NAME)
    assert files_of(project) == undisturbed


def test_shards_of_other_settings_are_not_taken_over(
    project, tiny_params, tiny_mapping, small_shards, monkeypatch
):
    monkeypatch.setenv("SPG_WORKERS", "1")
    spoiled = spoil(project, (26,))
    with pytest.raises(UserError):
        prepare(project, tiny_params, NAME)  # leaves whole shards of the first images
    prepare(project, with_prepare(tiny_mapping, skip=spoiled, short_side=32), NAME)
    images = PackedImages(project.packed(NAME))
    assert {min(images.image(index).shape[:2]) for index in range(len(images))} == {32}


def test_no_batch_holds_more_than_its_rows(project, tiny_params):
    prepare(project, tiny_params, NAME)
    with pa.ipc.open_file(project.packed(NAME) / "shard-00000.arrow") as shard:
        assert shard.num_record_batches == 1
        assert shard.get_batch(0).num_rows == 27
