"""Data sets in the layout of CUB-200-2011, as people make them."""

from __future__ import annotations

import random
from pathlib import Path, PurePosixPath

import numpy as np

from spg.data.images.manifest import read_manifest
from spg.data.images.packed import PackedImages
from spg.data.prepare.stage import prepare
from spg.project.params import Params, parse_params, read_yaml
from spg.project.workspace import Workspace
from whole.pictures import mask_file, no_picture, picture, region
from whole.refusal import refusal

NAME = "cub"
IMAGE_FAULTS = ("no file", "no picture", "no label", "label of no class", "label twice", "no split",
                "split 2")  # fmt: skip
MEASURE_FAULTS = ("no box", "three numbers", "box outside", "no area", "no mask", "no mask picture",
                  "mask of another size")  # fmt: skip
"""Of a training image these are no faults: nothing is measured on it."""
SHARED_FAULTS = ("no path", "class without name", "a line of no number")
ODDITIES = ("a line of no image", "the same line again", "path twice")
"""The first two change nothing; the third is a fault of its image."""


class Birds:
    """One data set: what is written, and the truth.

    Args:
        draw: makes everything.
        every: whether every fault occurs once in each split, instead of some at random.
        sides: of the images, pixels.
    """

    def __init__(
        self, draw: random.Random, *, every: bool = False, sides: tuple[int, int] = (3, 14)
    ) -> None:
        self.draw = draw
        self.rate = 0.0 if every else 0.12
        self.sides = sides
        self.tables: dict[str, list[str]] = {
            name: [] for name in ("images", "image_class_labels", "train_test_split",
                                  "bounding_boxes", "classes")
        }  # fmt: skip
        self.files: dict[str, bytes] = {}
        self.rows: dict[str, tuple] = {}  # class, split, size, boxes, mask of each good image
        self.faulty: set[str] = set()
        self.maskless: set[str] = set()  # a fault only of what is not held out
        self.shared = 0
        first = draw.choice([0, 1, 1, 7])
        numbers = sorted(draw.sample(range(first, first + 5), draw.choice([2, 3])))
        for rank, number in enumerate(numbers):
            self._add_class(rank, number)
        self.tables["classes"].append("999 of no image")
        for fault in (IMAGE_FAULTS + MEASURE_FAULTS) * every:
            for split in "10":
                key = len(self.tables["images"]) + 1
                path = f"faults/{fault}_{key}.jpg"
                self._add_image(key, path, 0, numbers[0], split, fault)
        if not every and draw.random() < 0.25:
            self._spoil_whole(draw.choice(SHARED_FAULTS + ODDITIES))

    def _add_class(self, rank: int, number: int) -> None:
        draw = self.draw
        name = draw.choice([f"{number:03d}.Bird", f"{number:03d}.Cyprinus carpio", "Möwe " * 2])
        self.tables["classes"].append(f"{number} {name.strip()}{number}")
        splits = ["1"] * draw.randint(2, 4) + ["0"] * draw.randint(3, 5)
        for place, split in enumerate(splits):
            key = len(self.tables["images"]) + 1
            path = f"{name.strip()}{number}/{draw.choice(['a', 'a b', 'é', '1,5'])}_{key}.jpg"
            sure = place < 1 or len(splits) - 3 < place  # so that every class keeps both splits
            faults = IMAGE_FAULTS + MEASURE_FAULTS
            fault = draw.choice(faults) if draw.random() < self.rate and not sure else None
            self._add_image(key, path, rank, number, split, fault)

    def _add_image(self, key, path, rank, number, split, fault) -> None:
        draw, tables = self.draw, self.tables
        width, height = draw.randint(*self.sides), draw.randint(*self.sides)
        x, y = draw.randint(-3, width - 2), draw.randint(-3, height - 2)
        w, h = draw.randint(4, 20), draw.randint(4, 20)
        image, mask = picture(draw, width, height), region(draw, width, height)
        encoded = mask_file(draw, mask)
        size = {"mask of another size": (width + 1, height)}.get(fault, (width, height))
        if fault == "mask of another size":
            encoded = mask_file(draw, region(draw, *size))
        forms = f"{x} {y} {w} {h}", f"{x}.0 {y}.0 {w}.0 {h}.0", f"{x}e0 {y} {w} {h}"
        wrong = {"three numbers": f"{x} {y} {w}", "no area": f"{x} {y} 0 {h}",
                 "box outside": f"{width} 0 {w} {h}"}  # fmt: skip
        box = wrong.get(fault, draw.choice(forms))
        label = 998 if fault == "label of no class" else number
        tables["images"].append(f"{key} {path}")
        tables["image_class_labels"] += [f"{key} {label}"] * (fault != "no label")
        tables["image_class_labels"] += [f"{key} {label + 1}"] * (fault == "label twice")
        tables["train_test_split"] += [f"{key} {2 if fault == 'split 2' else split}"] * (
            fault != "no split"
        )
        tables["bounding_boxes"] += [f"{key} {box}"] * (fault != "no box")
        if fault != "no file":
            content = no_picture(draw, image) if fault == "no picture" else image
            self.files[f"images/{path}"] = content
        if fault != "no mask":
            content = no_picture(draw, encoded) if fault == "no mask picture" else encoded
            self.files[str(PurePosixPath("segmentations", path).with_suffix(".png"))] = content
        if fault in IMAGE_FAULTS or (fault in MEASURE_FAULTS[:4] and split == "0"):
            self.faulty.add(path)
            return
        if fault and split == "0":
            self.maskless.add(path)
        corners = [max(0, x), max(0, y), min(width, x + w), min(height, y + h)]
        self.rows[path] = (
            rank, "train_weaksup" if split == "1" else "test", (width, height),
            None if fault in MEASURE_FAULTS[:4] else corners,
            None if fault in MEASURE_FAULTS[4:] else mask,
        )  # fmt: skip

    def _spoil_whole(self, fault: str) -> None:
        if fault in SHARED_FAULTS:
            self.shared = 1
        if fault == "a line of no image":
            self.tables["bounding_boxes"].insert(0, "777 1 1 5 5")
        elif fault == "the same line again":
            for lines in self.tables.values():
                lines.append(lines[0])
        elif fault == "no path":
            self.tables["images"].append("777")
        elif fault == "a line of no number":
            self.tables["train_test_split"].append("image 1")
        elif fault == "path twice":
            path = self.tables["images"][1].split(" ", 1)[1]  # of several training images
            self.tables["images"].append(f"776 {path}")
            self.faulty.add(path)
            self.rows.pop(path, None)
        elif fault == "class without name":
            self.tables["classes"].append("997")

    def write(self, raw: Path) -> None:
        """Write the tables as some editor would, and the files."""
        raw.mkdir(parents=True)
        for name, lines in self.tables.items():
            end = self.draw.choice(["\n", "\n", "\r\n", "\r"])
            text = end.join([self._respaced(line) for line in lines]) + end * self.draw.randint(
                0, 3
            )
            encoding = self.draw.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"])
            (raw / f"{name}.txt").write_bytes(text.encode(encoding))
        for name, content in self.files.items():
            (raw / name).parent.mkdir(parents=True, exist_ok=True)
            (raw / name).write_bytes(content)

    def _respaced(self, line: str) -> str:
        first, _, rest = line.partition(" ")
        return f"{first}{self.draw.choice([' ', ' ', chr(9), '  '])}{rest}"


def params_with(mapping: dict, **changes) -> Params:
    """Return parameters with changes to how the data set is prepared."""
    datasets = {**mapping["datasets"]}
    prepared = {**datasets[NAME]["prepare"], "short_side": None, **changes}
    datasets[NAME] = {**datasets[NAME], "prepare": prepared}
    return parse_params({**mapping, "datasets": datasets}, "")


def check_birds(draw: random.Random, folder: Path, mapping: dict) -> bool:
    """Prepare a data set; return whether it was right at once. Its problems come in one list."""
    birds, workspace = Birds(draw), Workspace(folder)
    birds.write(workspace.raw(NAME))
    held_out = draw.choice([0, 1])
    rule = {"holdout_per_class": held_out, "holdout_from": "test"}
    skips = prepared(workspace, params_with(mapping, **rule), birds)
    if birds.shared:
        return False
    if skips:
        prepare(workspace, params_with(mapping, **rule, skip=skips), NAME)
    check_rows(workspace, birds, held_out)
    return not skips


def prepared(workspace: Workspace, params: Params, birds: Birds) -> list[str]:
    """Prepare; return what has to be skipped, which is what is faulty and nothing else."""
    sentence = refusal(lambda: prepare(workspace, params, NAME))
    if sentence is None:
        assert not birds.faulty, birds.faulty
        assert not birds.shared
        return []
    listed = workspace.scratch / f"problems-{NAME}.yaml"
    skips = (read_yaml(listed) or {}).get("skip", [])
    assert birds.faulty <= set(skips) <= birds.faulty | birds.maskless, sentence
    shared = listed.read_text(encoding="utf-8").count("\n# - ")
    assert shared >= birds.shared, sentence
    assert birds.shared or not shared, sentence
    return skips


def check_rows(workspace: Workspace, birds: Birds, held_out: int) -> None:
    manifest = read_manifest(workspace.packed(NAME) / "manifest.parquet")
    packed = PackedImages(workspace.packed(NAME))
    assert set(birds.rows) - birds.maskless <= set(manifest["image_id"]) <= set(birds.rows)
    for place, row in enumerate(manifest.itertuples()):
        rank, split, size, box, mask = birds.rows[row.image_id]
        assert row.class_id == rank
        assert row.split == split or (split, row.split) == ("test", "train_fullsup")
        assert row.split != "test" or row.image_id not in birds.maskless
        assert (row.width, row.height) == size
        assert [list(found) for found in row.boxes] == ([] if box is None else [box])
        assert packed.image(place).shape == (size[1], size[0], 3)
        found = packed.object_mask(place)
        assert np.array_equal(found, mask) if mask is not None else found is None
    counts = manifest[manifest["split"] == "train_fullsup"].groupby("class_id").size()
    assert set(counts) <= {held_out}
