from __future__ import annotations

import io
import itertools
import math
import shutil

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torchvision.transforms.v2.functional as V
from PIL import Image
from readings import objections

import spg.data.images.packed as pack_module
from spg.data.birds.flock import draw_flock
from spg.data.birds.species import SMALL_PARTS, benchmark_species
from spg.data.fetch.stage import fetch
from spg.data.images.manifest import (
    SCHEMA,
    TEST,
    TRAIN_FULLSUP,
    TRAIN_WEAKSUP,
    boxes_of,
    class_names,
    read_labels,
    read_manifest,
    write_manifest,
)
from spg.data.images.packed import EncodedImage, PackedImages, shard_name, write_shard
from spg.data.inputs.batches import eval_batches, train_batches
from spg.data.inputs.colors import normalize_images
from spg.data.inputs.samples import EvalSamples, TrainSamples, shrink
from spg.data.layouts.cub import read_annotations
from spg.data.prepare.stage import prepare
from spg.data.sources.synthetic_birds import write_archive
from spg.networks.backbones.inception_v3 import InceptionV3Stem
from spg.networks.compute.distributed import World
from spg.project.errors import UserError
from spg.project.schema.training import InputParams
from spg.project.workspace import Workspace

NAME = "synthetic_birds"
COLORS = InceptionV3Stem.colors
CPU = torch.device("cpu")
TABLES = ("images", "image_class_labels", "train_test_split", "bounding_boxes", "classes")


def files_below(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def raw(tiny_workspace):
    return tiny_workspace.raw(NAME)


@pytest.fixture(scope="module")
def manifest(tiny_workspace):
    return read_manifest(tiny_workspace.packed(NAME) / "manifest.parquet")


@pytest.fixture(scope="module")
def packed(tiny_workspace):
    return PackedImages(tiny_workspace.packed(NAME))


# ---- The drawn archive and its reader ----


def test_an_archive_reads_back_as_the_birds_that_were_drawn(tmp_path):
    species = benchmark_species(2)
    birds = list(draw_flock(species, 3, seed=5, side=64, telling=SMALL_PARTS))
    write_archive(tmp_path, species, birds, train_per_class=2)
    annotations = read_annotations(tmp_path)
    assert len({item.image_id for item in annotations}) == 6
    assert [item.class_id for item in annotations] == [0, 0, 0, 1, 1, 1]
    assert [item.split for item in annotations] == ["train_weaksup"] * 2 + ["test"] + [
        "train_weaksup"
    ] * 2 + ["test"]
    for item, bird in zip(annotations, birds, strict=True):
        assert item.class_name == f"{item.class_id + 1:03d}.{species[item.class_id].name}"
        assert item.image_id.startswith(f"{item.class_name}/")
        image = np.asarray(Image.open(tmp_path / item.file))
        assert image.shape == bird.scene.image.shape
        # JPEG loses detail, not the order of colors
        assert np.abs(image.astype(float) - bird.scene.image).mean() < 8
        for file, mask in (
            (item.object_mask, bird.scene.object_mask),
            (item.part_mask, bird.scene.part_mask),
        ):
            stored = np.asarray(Image.open(tmp_path / file))
            assert np.array_equal(stored > 127, mask)


def test_boxes_are_the_tight_bounds_of_the_masks(manifest, packed):
    assert len(manifest) == len(packed) == 27
    for place, row in manifest.iterrows():
        rows, columns = np.nonzero(packed.object_mask(place))
        want = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert boxes_of(row["boxes"]).tolist() == [want]
        assert packed.image(place).shape == (row["height"], row["width"], 3)


def test_drawing_and_packing_twice_gives_the_same_bytes(tmp_path, tiny_params, tiny_workspace):
    again = Workspace(tmp_path)
    fetch(again, tiny_params, NAME)
    prepare(again, tiny_params, NAME)
    for folder in ("raw", "packed"):
        first, second = (files_below(getattr(w, folder)(NAME)) for w in (tiny_workspace, again))
        assert len(first) > 1
        assert first == second


@pytest.fixture
def archive(raw, tmp_path):
    """A copy of the drawn archive's tables, to be damaged."""
    for table in TABLES:
        shutil.copy(raw / f"{table}.txt", tmp_path)
    return tmp_path


def edit(archive, table, change):
    path = archive / f"{table}.txt"
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("table", TABLES)
def test_a_missing_table_is_named(archive, table):
    (archive / f"{table}.txt").unlink()
    with pytest.raises(UserError, match=rf"{table}\.txt: no such file; run `spg fetch`"):
        read_annotations(archive)


@pytest.mark.parametrize("table", TABLES)
def test_a_duplicate_id_is_named_with_its_line(archive, table):
    want = [item._replace(named_at="", boxes_at="") for item in read_annotations(archive)]
    edit(archive, table, lambda lines: lines.insert(2, lines[0]))
    found = [item._replace(named_at="", boxes_at="") for item in read_annotations(archive)]
    assert found == want  # the same line once more
    edit(archive, table, lambda lines: lines.__setitem__(2, f"1 {lines[1].split(' ', 1)[1]}0"))
    (said,) = objections(read_annotations, archive)
    assert said == f"{table}.txt:3: id 1 stands twice, first in line 1"


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("images", "2"),
        ("images", "two 001/a.jpg"),
        ("images", "-2 001/a.jpg"),
        ("image_class_labels", "2 one"),
        ("image_class_labels", "2 1 1"),
        ("train_test_split", "2 yes"),
        ("train_test_split", "2"),
        ("bounding_boxes", "2 1 1 5"),
        ("bounding_boxes", "2 1 1 5 wide"),
        ("bounding_boxes", "2 1 1 0 5"),
        ("bounding_boxes", "2 1 1 5 -5"),
        ("bounding_boxes", "2 1 1 nan 5"),
        ("classes", "2"),
        ("image_class_labels", "\u00b2 1"),  # a digit to str.isdigit, not to int
    ],
)
def test_a_malformed_line_is_named(archive, table, line):
    edit(archive, table, lambda lines: lines.__setitem__(1, line))
    assert any(
        said.startswith(f"{table}.txt:2: ") for said in objections(read_annotations, archive)
    )


@pytest.mark.parametrize("table", TABLES[1:4])
def test_an_image_that_only_some_tables_know_is_named(archive, table, caplog):
    edit(archive, table, lambda lines: lines.pop(4))
    (said,) = objections(read_annotations, archive)
    assert said == f"{table}.txt: has no line for image 5"
    edit(archive, table, lambda lines: lines.insert(0, "999 1"))
    caplog.set_level("INFO")
    assert objections(read_annotations, archive) == [said]
    assert f"{table}.txt: ignored 1 lines of images that images.txt does not name" in caplog.text


def test_a_label_without_class_is_named(archive):
    edit(archive, "image_class_labels", lambda lines: lines.__setitem__(0, "1 77"))
    (said,) = objections(read_annotations, archive)
    assert said == "image_class_labels.txt:1: class 77 is not in classes.txt"


def test_blank_lines_and_a_byte_order_mark_do_no_harm(archive):
    want = read_annotations(archive)
    path = archive / "images.txt"
    path.write_text("\ufeff" + path.read_text().replace("\n", "\r\n\r\n"), encoding="utf-8")
    found = read_annotations(archive)
    assert [item.named_at for item in found[:2]] == ["images.txt:1", "images.txt:3"]
    assert [item._replace(named_at="") for item in found] == [
        item._replace(named_at="") for item in want
    ]


def test_boxes_of_the_archive_become_corners(archive):
    edit(archive, "bounding_boxes", lambda lines: lines.__setitem__(0, "1 60.0 27.5 32.0 13.0"))
    assert read_annotations(archive)[0].boxes == ((60.0, 27.5, 92.0, 40.5),)


def test_an_image_that_is_missing_or_damaged_is_named(tmp_path, raw, tiny_params):
    workspace = Workspace(tmp_path)
    shutil.copytree(raw, workspace.raw(NAME))
    victim = workspace.raw(NAME) / read_annotations(raw)[3].file
    victim.write_bytes(b"no image")
    with pytest.raises(UserError, match=rf"{victim.name}: no image that can be read"):
        prepare(workspace, tiny_params, NAME)
    victim.unlink()
    with pytest.raises(UserError, match=rf"{victim.name}: no such file, and images.txt:4 names it"):
        prepare(workspace, tiny_params, NAME)
    assert not workspace.packed(NAME).exists()


# ---- The manifest ----


def good_rows():
    return pd.DataFrame(
        {
            "image_id": ["a.jpg", "b.jpg", "c.jpg"],
            "class_id": [0, 1, 1],
            "class_name": ["001.A", "002.B", "002.B"],
            "split": ["train_weaksup", "train_weaksup", "test"],
            "width": [4, 5, 6],
            "height": [7, 8, 9],
            "boxes": [[], [[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 2.0, 2.0]], [[0.0, 1.0, 2.0, 3.5]]],
            "pseudo_boxes": [[], [], []],
        }
    )


def as_table(rows):
    return pa.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False).replace_schema_metadata()


def test_a_manifest_reads_back_as_written(tmp_path):
    write_manifest(tmp_path / "manifest.parquet", as_table(good_rows()))
    rows = read_manifest(tmp_path / "manifest.parquet")
    want = good_rows()
    for column in want.columns.drop(["boxes", "pseudo_boxes"]):
        assert rows[column].tolist() == want[column].tolist()
    assert [boxes_of(boxes).tolist() for boxes in rows["boxes"]] == want["boxes"].tolist()
    assert boxes_of(rows["boxes"][0]).shape == (0, 4)
    assert class_names(rows) == ["001.A", "002.B"]
    assert class_names(rows.iloc[::-1]) == ["001.A", "002.B"]


def test_the_schema_of_the_manifest(tiny_workspace):
    schema = pq.read_schema(tiny_workspace.packed(NAME) / "manifest.parquet")
    kinds = {field.name: str(field.type) for field in schema}
    assert list(kinds) == [
        "image_id", "class_id", "class_name", "split", "width", "height", "boxes", "pseudo_boxes"
    ]  # fmt: skip
    assert kinds["boxes"].startswith("fixed_size_list") or "list" in kinds["boxes"]
    assert schema.metadata is None  # pandas would add its version, and other bytes with it


def with_last_box(rows, boxes):
    return rows.assign(boxes=[*rows["boxes"][:2], boxes])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows.iloc[:0], "no image"),
        (lambda rows: rows.assign(image_id=["a.jpg", "b.jpg", "b.jpg"]), "image_id twice"),
        (lambda rows: rows.assign(split=["train_weaksup", "train_weaksup", "val"]), "split"),
        (lambda rows: rows.assign(class_id=[0, 1, 2]), "without training image"),
        (lambda rows: rows.assign(class_id=[1, 2, 2]), "count from 0"),
        (lambda rows: rows.assign(class_id=[0, 2, 2]), "count from 0"),
        (lambda rows: rows.assign(split=["test", "train_weaksup", "test"]), "without training"),
        (lambda rows: rows.assign(split=["train_fullsup", "train_weaksup", "test"]), "without"),
        (lambda rows: rows.assign(width=[4, 0, 6]), "without pixels"),
        (lambda rows: rows.assign(class_name=["001.A", None, "002.B"]), "an empty cell"),
        (
            lambda rows: with_last_box(rows, []).assign(
                split=["train_weaksup", "test", "test"], class_id=0
            ),
            "test images with boxes and others without",
        ),
        (
            lambda rows: with_last_box(rows, []).assign(
                split=["train_weaksup", "train_weaksup", "train_fullsup"]
            ),
            "held-out image without a box",
        ),
        (
            lambda rows: rows.assign(pseudo_boxes=[[], [], [[0.0, 0.0, 1.0, 1.0]]]),
            "pseudo-boxes of an image that is not held out",
        ),
        (
            lambda rows: rows.assign(
                split=["train_weaksup", "train_weaksup", "train_fullsup"],
                pseudo_boxes=[[], [], [[0.0, 0.0, 7.0, 1.0]]],
            ),
            "outside its image",
        ),
        (lambda rows: with_last_box(rows, [[0.0, 1.0, 2.0, 9.5]]), "outside its image"),
        (lambda rows: with_last_box(rows, [[-0.5, 1.0, 2.0, 3.0]]), "outside its image"),
        (lambda rows: with_last_box(rows, [[2.0, 1.0, 2.0, 3.0]]), "without area"),
        (lambda rows: with_last_box(rows, [[0.0, 1.0, float("nan"), 3.0]]), "without area"),
    ],
)
def test_a_wrong_manifest_is_refused_when_written(tmp_path, change, reason):
    path = tmp_path / "manifest.parquet"
    with pytest.raises(UserError, match=reason):
        write_manifest(path, as_table(change(good_rows())))
    assert not path.exists()


@pytest.mark.parametrize("split", ["test", "train_fullsup"])
def test_a_manifest_may_have_no_true_box_where_none_is_wanted(tmp_path, split):
    """Own photographs without boxes; held-out ones whose boxes someone proposes."""
    pseudo = [[], [], [[0.0, 0.0, 1.0, 1.0]] if split == "train_fullsup" else []]
    rows = with_last_box(good_rows(), []).assign(
        split=["train_weaksup", "train_weaksup", split], pseudo_boxes=pseudo
    )
    write_manifest(tmp_path / "manifest.parquet", as_table(rows))
    read = read_manifest(tmp_path / "manifest.parquet")
    assert boxes_of(read["boxes"][2]).shape == (0, 4)
    assert boxes_of(read["pseudo_boxes"][2]).tolist() == pseudo[2]


def test_a_manifest_that_is_missing_foreign_or_damaged_is_one_sentence(tmp_path):
    path = tmp_path / "manifest.parquet"
    with pytest.raises(UserError, match="run `spg prepare` first"):
        read_manifest(path)
    good_rows().drop(columns="boxes").to_parquet(path)
    with pytest.raises(UserError, match="unexpected columns"):
        read_manifest(path)
    path.write_bytes(b"PAR1 no parquet")
    with pytest.raises(UserError, match="damaged or of another kind"):
        read_manifest(path)


# ---- Packed images ----


def png(shape, value):
    stream = io.BytesIO()
    Image.new("RGB" if len(shape) == 3 else "L", shape[1::-1], value).save(stream, "png")
    return stream.getvalue()


@pytest.mark.parametrize("count", [1, 3, 4, 6, 7, 13])
def test_shards_hold_the_very_bytes_in_order(tmp_path, monkeypatch, count):
    monkeypatch.setattr(pack_module, "ROWS_PER_BATCH", 3)
    images = [
        EncodedImage(bytes([n]) * (n + 1), b"o" * n if n % 2 else None, None) for n in range(count)
    ]
    for number in range(-(-count // 6)):
        write_shard(tmp_path / shard_name(number), iter(images[6 * number : 6 * number + 6]))
    shards = sorted(tmp_path.glob("*"))
    rows = [row for shard in shards for row in pa.ipc.open_file(shard).read_all().to_pylist()]
    assert [EncodedImage(**row) for row in rows] == images
    stored = PackedImages(tmp_path)
    assert len(stored) == count
    for n in range(count):
        mask = images[n].object_mask
        assert (
                stored._columns["object_mask"][n].as_py(), stored._columns["image"][n].as_py()
            ) == (
            mask, images[n].image
        )  # fmt: skip


def test_packing_keeps_the_archives_bytes(tiny_workspace, raw):
    table = pa.ipc.open_file(tiny_workspace.packed(NAME) / "shard-00000.arrow").read_all()
    for row, item in zip(table.to_pylist(), read_annotations(raw), strict=True):
        assert row["image"] == (raw / item.file).read_bytes()
        assert row["object_mask"] == (raw / item.object_mask).read_bytes()
        assert row["part_mask"] == (raw / item.part_mask).read_bytes()


def test_images_are_rgb_and_missing_masks_are_none(tmp_path):
    mask = np.array([[0, 0, 255], [0, 0, 0]], dtype=np.uint8)
    encoded = cv2.imencode(".png", mask)[1].tobytes()
    red = png((2, 3, 3), (200, 10, 20))
    rows = [EncodedImage(red, encoded, None), EncodedImage(red, None, encoded)]
    write_shard(tmp_path / shard_name(0), rows)
    images = PackedImages(tmp_path)
    assert images.image(0).shape == (2, 3, 3)
    assert images.image(0)[0, 0].tolist() == [200, 10, 20]
    assert images.object_mask(0).tolist() == [[False, False, True], [False, False, False]]
    assert images.part_mask(0) is None
    assert images.object_mask(1) is None
    assert images.part_mask(1) is not None


def test_missing_or_damaged_packed_images_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="run `spg prepare` first"):
        PackedImages(tmp_path)
    write_shard(tmp_path / shard_name(0), [EncodedImage(b"no image", None, None)])
    with pytest.raises(UserError, match="packed image 0: image cannot be decoded"):
        PackedImages(tmp_path).image(0)


def test_labels_are_the_manifests_columns_without_a_data_frame(tiny_workspace, manifest):
    path = tiny_workspace.packed(NAME) / "manifest.parquet"
    labels = read_labels(path)
    assert labels.image_ids.to_pylist() == manifest["image_id"].tolist()
    assert labels.class_ids.dtype == np.int64
    assert labels.class_ids.tolist() == manifest["class_id"].tolist()
    assert labels.classes == class_names(manifest)
    for splits in ([TRAIN_WEAKSUP], [TEST], [TRAIN_FULLSUP, TEST]):
        want = np.flatnonzero(manifest["split"].isin(splits))
        assert labels.rows_of(*splits).tolist() == want.tolist()


# ---- Batches ----


class Gradients:
    """Images whose pixels tell where they lie: R is the column, G the row, B the image."""

    def __init__(self, count, height=40, width=40):
        self.shape = (count, height, width)

    def image(self, index):
        _, height, width = self.shape
        rows, columns = np.mgrid[:height, :width]
        return np.stack([columns, rows, np.full_like(rows, index)], axis=2).astype(np.uint8)


GEOMETRY = InputParams(aspect="squash", resize=40, crop=32)
INDICES = np.arange(3, 14)


@pytest.fixture
def train_samples():
    return TrainSamples(Gradients(20), [n % 3 for n in range(20)], GEOMETRY, COLORS)


def epoch_of(samples, *, seed=0, epoch=0, skip=0, batch_size=4):
    steps = math.ceil(len(INDICES) / batch_size)
    return list(
        train_batches(
            samples, INDICES,
            batch_size=batch_size, seed=seed, epochs=epoch + 1, skip=epoch * steps + skip,
        )
    )  # fmt: skip


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(one, other)
        for batch, again in zip(first, second, strict=True)
        for one, other in zip(batch[:3], again[:3], strict=True)
    )


def test_an_epoch_covers_each_image_once_with_its_label(train_samples):
    batches = epoch_of(train_samples)
    assert [len(batch.labels) for batch in batches] == [4, 4, 3]
    indices = torch.cat([batch.indices for batch in batches]).tolist()
    assert sorted(indices) == INDICES.tolist()
    assert indices != INDICES.tolist()
    assert torch.cat([batch.labels for batch in batches]).tolist() == [i % 3 for i in indices]
    for batch in batches:
        assert batch.pixels.shape[1:] == (3, 32, 32)
        assert batch.pixels.dtype == torch.uint8
        assert batch.pixels.is_contiguous(memory_format=torch.channels_last)
        images = batch.images(CPU)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(images, normalize_images(batch.pixels, COLORS))
        rows = [train_samples[0, 0, int(index)][0] for index in batch.indices]
        assert torch.equal(batch.pixels, torch.stack(rows))


@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_skipping_gives_the_tail_of_the_epoch(train_samples, skip):
    assert same(epoch_of(train_samples, skip=skip), epoch_of(train_samples)[skip:])


def test_the_epochs_follow_each_other_in_one_go(train_samples):
    both = list(train_batches(train_samples, INDICES, batch_size=4, seed=0, epochs=2))
    assert same(both, epoch_of(train_samples) + epoch_of(train_samples, epoch=1))
    assert [batch.total for batch in both] == [4, 4, 3, 4, 4, 3]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_shares_of_a_batch_make_the_whole(train_samples, size):
    whole = epoch_of(train_samples)
    shares = [
        list(train_batches(
            train_samples, INDICES, batch_size=4, seed=0, epochs=1, place=World(rank, size)
        ))
        for rank in range(size)
    ]  # fmt: skip
    for step, batch in enumerate(whole):
        parts = [share[step] for share in shares]
        assert {part.total for part in parts} == {batch.total}
        if batch.total >= size:
            assert torch.equal(torch.cat([part.pixels for part in parts]), batch.pixels)
            assert torch.equal(torch.cat([part.indices for part in parts]), batch.indices)
        else:
            assert all(torch.equal(part.indices, batch.indices) for part in parts)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_processes_deal_whole_batches_to_localize(size):
    samples = EvalSamples(Gradients(20), [0] * 20, 32, COLORS)
    dealt = [
        [batch.indices.tolist() for batch in
         eval_batches(samples, INDICES, batch_size=4, place=World(rank, size))]
        for rank in range(size)
    ]  # fmt: skip
    whole = [batch.indices.tolist() for batch in eval_batches(samples, INDICES, batch_size=4)]
    in_turn = [one for row in itertools.zip_longest(*dealt) for one in row if one is not None]
    assert in_turn == whole


def test_workers_change_neither_order_nor_pixels(train_samples, monkeypatch):
    alone = epoch_of(train_samples)
    monkeypatch.setenv("SPG_WORKERS", "2")
    assert same(epoch_of(train_samples), alone)


def test_epochs_and_seeds_differ_in_order_and_pixels(train_samples):
    first = epoch_of(train_samples)
    assert same(first, epoch_of(train_samples))
    for other in (epoch_of(train_samples, epoch=1), epoch_of(train_samples, seed=1)):
        orders = [torch.cat([batch.indices for batch in epoch]) for epoch in (first, other)]
        assert not torch.equal(*orders)
        pixels = [
            {int(i): image for b in epoch for i, image in zip(b.indices, b.pixels, strict=True)}
            for epoch in (first, other)
        ]
        changed = [i for i in pixels[0] if not torch.equal(pixels[0][i], pixels[1][i])]
        assert len(changed) > len(INDICES) / 2


def test_the_batch_size_changes_no_pixel(train_samples):
    wide, narrow = epoch_of(train_samples, batch_size=11), epoch_of(train_samples, batch_size=3)
    assert torch.equal(wide[0].pixels, torch.cat([batch.pixels for batch in narrow]))


def pixels_of(batch):
    """Undo the normalization in the words of the ImageNet constants."""
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return (255 * (batch * std + mean)).round()


def test_training_crops_are_whole_random_windows_and_half_are_flipped():
    samples = TrainSamples(Gradients(200), [0] * 200, GEOMETRY, COLORS)
    corners, flips = set(), 0
    for index in range(200):
        image, label, place = samples[0, 0, index]
        assert (label, place) == (0, index)
        columns, rows, number = image.int()
        flips += int(columns[0, 0] > columns[0, -1])
        assert (number == index).all()
        assert columns.max() - columns.min() == rows.max() - rows.min() == 31
        assert (columns[0].diff().abs() == 1).all()
        assert (rows[:, 0].diff() == 1).all()  # never upside down
        corners.add((int(columns.min()), int(rows.min())))
    assert {left for left, _ in corners} == {top for _, top in corners} == set(range(9))
    assert 70 < flips < 130


def test_evaluation_squashes_the_whole_image_and_covers_each_once():
    samples = EvalSamples(Gradients(20, 64, 128), [n % 3 for n in range(20)], GEOMETRY.crop, COLORS)
    batches = list(eval_batches(samples, INDICES, batch_size=4))
    assert torch.cat([batch.indices for batch in batches]).tolist() == INDICES.tolist()
    assert torch.cat([batch.labels for batch in batches]).tolist() == [n % 3 for n in INDICES]
    columns, rows, number = pixels_of(batches[0].images(CPU))[0]
    assert (number == 3).all()
    # centers of 4 x 2 blocks: from the first to the last column and row, never flipped
    assert columns[0, 0] < 4 < 123 < columns[0, -1]
    assert rows[0, 0] < 2 < 61 < rows[-1, 0]
    assert (columns[0].diff() == 4).float().mean() > 0.8


def test_normalization_has_imagenets_values():
    image = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    black = normalize_images(image, COLORS)[0, :, 0, 0]
    white = normalize_images(image + 255, COLORS)[0, :, 0, 0]
    assert black.tolist() == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    assert white.tolist() == pytest.approx([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225])


def test_batches_come_from_the_packed_images(packed, manifest, tiny_params):
    geometry = tiny_params.setup(NAME, "inception_v3").input
    samples = EvalSamples(packed, manifest["class_id"].tolist(), geometry.crop, COLORS)
    (batch,) = eval_batches(samples, np.array([4]), batch_size=4)
    image = Image.fromarray(packed.image(4)).resize((32, 32), Image.Resampling.BILINEAR)
    want = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float()
    assert (pixels_of(batch.images(CPU))[0] - want).abs().max() <= 2
    assert batch.labels.tolist() == [manifest["class_id"][4]]


def test_a_thin_image_is_not_enlarged_to_gigabytes():
    """Of what would be longer than 20,000 pixels the middle is taken; others stay as they were."""
    thin = np.repeat(np.arange(5000, dtype=np.uint16)[None, :, None] // 20, 3, 2).astype(np.uint8)
    for image in (thin, thin.transpose(1, 0, 2)):
        found = shrink(image, 356)
        assert min(found.shape[1:]) == 356
        assert 356 < max(found.shape[1:]) <= 20_000
        assert abs(float(found.float().mean()) - 125) < 2  # the middle's values
    usual = np.random.default_rng(0).integers(0, 255, (30, 400, 3)).astype(np.uint8)
    want = V.resize(torch.from_numpy(usual).permute(2, 0, 1), [32], antialias=True)
    assert torch.equal(shrink(usual, 32), want)
