"""Packing: odd images, boxes at the border, several processes, interruption."""

from __future__ import annotations

import io
import json
import os
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

import spg.data.prepare.recode as recode_module
import spg.data.prepare.shards as shards_module
from spg.data.images.manifest import boxes_of, read_manifest
from spg.data.images.packed import PackedImages
from spg.data.layouts.cub import read_annotations
from spg.data.prepare.recode import BadImageError, recode
from spg.data.prepare.stage import prepare
from spg.project.errors import UserError
from spg.project.params import parse_params
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
    monkeypatch.setattr(recode_module, "MAX_PIXELS", 100)
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
    with pytest.raises(UserError, match="3 images cannot be packed") as caught:
        prepare(project, tiny_params, NAME)
    assert all(f"{name}: empty file" in str(caught.value) for name in spoiled)
    assert not project.packed(NAME).exists()


def test_many_bad_images_are_listed_in_a_file(project, tiny_params):
    spoiled = spoil(project, range(25))
    with pytest.raises(UserError, match=r"and 5 more, all in .*bad_images\.txt") as caught:
        prepare(project, tiny_params, NAME)
    path = Path(str(caught.value).rsplit("all in ", 1)[1])
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines == [f"{name}: empty file" for name in spoiled]


def test_skipped_images_are_left_out_and_recorded(project, tiny_mapping):
    spoiled = spoil(project, (2, 5))
    prepare(project, with_prepare(tiny_mapping, skip=spoiled, holdout_per_class=1), NAME)
    rows = read_manifest(project.packed(NAME) / "manifest.parquet")
    assert not set(spoiled) & set(rows["image_id"])
    assert len(rows) == len(PackedImages(project.packed(NAME))) == 25
    skipped = (project.packed(NAME) / "skipped.txt").read_text().splitlines()
    assert skipped == sorted(spoiled)


def test_skipping_an_unknown_image_is_refused(project, tiny_mapping):
    with pytest.raises(UserError, match=r"prepare\.skip: synthetic_birds has no image 'x\.jpg'"):
        prepare(project, with_prepare(tiny_mapping, skip=["x.jpg"]), NAME)


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
    set_box(project, 3, box)
    name = read_annotations(project.raw(NAME))[3].image_id
    with pytest.raises(UserError, match="lies outside its") as caught:
        prepare(project, tiny_params, NAME)
    assert name in str(caught.value)


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
