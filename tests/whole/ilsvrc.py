"""Kaggle's tree of ILSVRC, as it lies on people's disks."""

from __future__ import annotations

import os
import random
from pathlib import Path

from tiny_ilsvrc import voc

from spg.data.datasets.ilsvrc import Source
from spg.data.fetch.ilsvrc.kaggle import BOXES, DATA, SOLUTION, WORDS
from spg.data.images.manifest import read_manifest
from spg.data.prepare.stage import prepare
from spg.data.sources.ilsvrc import fetch
from spg.project.params import Params, parse_params, read_yaml
from spg.project.workspace import Workspace
from whole.pictures import no_picture, picture
from whole.refusal import refusal

NAME = "ilsvrc"
WNIDS = ("n01440764", "n01751748", "n02119789")
IMAGE_FAULTS = ("no file", "no picture", "no class", "stray quote", "class twice", "other class",
                "another folder", "two files")  # fmt: skip
BOX_FAULTS = ("no box file", "odd encoding", "no number", "of another image", "of another size",
              "of another class", "no area", "outside")  # fmt: skip
FAULTS = IMAGE_FAULTS + BOX_FAULTS
TRAIN_FAULTS = ("no picture", "two files")
SHARED_FAULTS = ("class without folder", "class without words", "table of a spreadsheet")
SUFFIXES = (".JPEG", ".JPEG", ".JPEG", ".jpeg", ".JPG", ".jpg")
STRAYS = ("._ILSVRC2012_val_00000001.JPEG", ".DS_Store", "Thumbs.db", "notes.txt", "x.JPEG")


class Tree:
    """One tree: what is written, and the truth.

    Args:
        draw: makes everything.
        every: whether every fault of an image occurs once, instead of some at random.
        sides: of the images, pixels.
    """

    def __init__(
        self, draw: random.Random, *, every: bool = False, sides: tuple[int, int] = (3, 14)
    ) -> None:
        self.draw = draw
        self.rate = 0.0 if every else 0.15
        self.sides = sides
        self.files: dict[str, bytes] = {}
        self.solution: list[str] = []
        self.rows: dict[str, tuple] = {}  # class, split, size, boxes of each good image
        self.faulty: set[str] = set()
        self.shared = draw.choice(SHARED_FAULTS) if draw.random() < self.rate else None
        self.sorted = every or draw.random() < 0.4
        for rank, wnid in enumerate(WNIDS):
            for number in range(draw.randint(2, 3)):
                spoil = number and draw.random() < self.rate
                self._add_training(rank, wnid, number, draw.choice(TRAIN_FAULTS) if spoil else None)
        for number in range(1, 1 + draw.randint(6, 9)):
            spoil = number > 2 and draw.random() < self.rate
            self._add_validation(number, draw.choice(FAULTS) if spoil else None)
        for number, fault in enumerate(FAULTS * every, start=100):
            self._add_validation(number, fault)
        for number, fault in enumerate(TRAIN_FAULTS * every, start=100):
            self._add_training(0, WNIDS[0], number, fault)
        for name in draw.sample(STRAYS, draw.randint(0, len(STRAYS))):
            folder = draw.choice(["val", f"train/{WNIDS[0]}"])
            self.files[f"{DATA}/{folder}/{name}"] = b"Mac OS X"

    def _add_training(self, rank: int, wnid: str, number: int, fault: str | None) -> None:
        draw = self.draw
        image_id = f"train/{wnid}/{wnid}_{number}.JPEG"
        width, height = draw.randint(*self.sides), draw.randint(*self.sides)
        encoded = picture(draw, width, height)
        self._put(image_id, encoded, fault)
        xml = voc(
            draw.choice([f"{wnid}_{number}", "%s"]), (width, height), [(wnid, (1, 1, 900, 2))]
        )
        box = [[1.0, 1.0, width, 3.0]]
        kind = draw.choice(["none", "good", "odd", "outside", "no area"])
        if kind == "odd":
            xml = b'<?xml version="1.0" encoding="x-mac-klingon"?>' + xml
        elif kind in ("outside", "no area"):
            corners = (900, 1, 950, 2) if kind == "outside" else (5, 5, 2, 9)
            xml = voc("%s", (width, height), [(wnid, corners)])
        if kind != "none":
            self.files[f"{BOXES}/{image_id.removesuffix('.JPEG')}.xml"] = xml
        if fault:
            self.faulty.add(image_id)
        else:
            boxes = box if kind == "good" else []
            self.rows[image_id] = (rank, "train_weaksup", (width, height), boxes)

    def _add_validation(self, number: int, fault: str | None) -> None:
        draw = self.draw
        name = f"ILSVRC2012_val_{number:08d}"
        image_id = f"val/{name}.JPEG"
        rank = draw.randrange(3)
        wnid, other = WNIDS[rank], WNIDS[(rank + 1) % 3]
        if fault == "another folder" and not self.sorted:
            fault = None
        width, height = draw.randint(*self.sides), draw.randint(*self.sides)
        folder = f"{other if fault == 'another folder' else wnid}/" if self.sorted else ""
        self._put(image_id, picture(draw, width, height), fault, folder)
        self._add_class(image_id, fault, wnid)
        boxes = [(0, 1, draw.randint(0, width + 3), draw.randint(1, height + 3))
                 for _ in range(draw.randint(1, 2))]  # fmt: skip
        objects = [(wnid, box) for box in boxes] + [(other, (0, 0, 1, 1))] * draw.randint(0, 1)
        changed = {
            "no area": [(wnid, (2, 2, 0, 2))], "outside": [(wnid, (900, 900, 910, 910))],
            "of another class": [(other, (0, 0, 1, 1))], "no number": [(wnid, ("one", 0, 1, 1))],
        }  # fmt: skip
        size = (width + 1, height) if fault == "of another size" else (width, height)
        said = "ILSVRC2012_val_00000777" if fault == "of another image" else name
        xml = voc(said, size, changed.get(fault, objects))
        if fault == "odd encoding":
            xml = b'<?xml version="1.0" encoding="x-mac-klingon"?>' + xml
        if fault != "no box file":
            start = draw.choice([b"", b'<?xml version="1.0"?>\r\n', b"\xef\xbb\xbf"])
            self.files[f"{BOXES}/val/{name}.xml"] = xml if fault else start + xml
        if fault:
            self.faulty.add(image_id)
            return
        cut = [[0.0, 1.0, min(width, x2 + 1), min(height, y2 + 1)] for _, _, x2, y2 in boxes]
        self.rows[image_id] = (rank, "test", (width, height), cut)

    def _put(self, image_id: str, encoded: bytes, fault: str | None, folder: str = "") -> None:
        """Write an image's file with some suffix, where ``fault`` does not prevent it."""
        if fault == "no file":
            return
        head, name = image_id.removesuffix(".JPEG").rsplit("/", 1)
        path = f"{DATA}/{head}/{folder}{name}"
        content = no_picture(self.draw, encoded) if fault == "no picture" else encoded
        self.files[path + self.draw.choice(SUFFIXES)] = content
        if fault == "two files":
            self.files |= {path + suffix: content for suffix in (".JPEG", ".jpeg")}

    def _add_class(self, image_id: str, fault: str | None, wnid: str) -> None:
        """Write the image's line of LOC_val_solution.csv."""
        name = image_id.removeprefix("val/").removesuffix(".JPEG")
        line = self.draw.choice([f"{name},{wnid} 1 2 3 4 ", f'{name},"{wnid} 1 2 3 4"'])
        lines = {"no class": [], "stray quote": [f'{name},"{wnid} 1 2 3 4'],
                 "class twice": [line, line], "other class": [f"{name},n99999999 1 2 3 4"],
                 }  # fmt: skip
        self.solution += lines.get(fault, [line])

    def write(self, root: Path) -> None:
        words = [f"{wnid} {wnid} words, more" for wnid in WNIDS]
        if self.shared == "class without folder":
            words.append("n01629819 European fire salamander")
        elif self.shared == "class without words":
            words.append("n01629819")
        rows = ["ImageId,PredictionString", *self.solution]
        if self.shared == "table of a spreadsheet":
            rows = [row.replace(",", ";") for row in rows]
        for name, lines in ((WORDS, words), (SOLUTION, rows)):
            end = self.draw.choice(["\n", "\r\n"])
            encoding = self.draw.choice(["utf-8", "utf-8-sig", "utf-16"])
            self.files[name] = (end.join(lines) + end * self.draw.randint(0, 2)).encode(encoding)
        for name, content in self.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        for folder in (f"{DATA}/val", f"{BOXES}/val"):
            (root / folder).mkdir(parents=True, exist_ok=True)


def params_with(mapping: dict, skip: list[str]) -> Params:
    """Return parameters that skip some images and hold out none."""
    changes = {"skip": skip, "holdout_per_class": 0, "short_side": None}
    dataset = {**mapping["datasets"][NAME]}
    dataset["prepare"] = {**dataset["prepare"], **changes}
    return parse_params({**mapping, "datasets": {**mapping["datasets"], NAME: dataset}}, "")


def check_tree(draw: random.Random, folder: Path, mapping: dict) -> bool:
    """Fetch and prepare a tree; return whether it was right at once."""
    tree, workspace = Tree(draw), Workspace(folder / "project")
    tree.write(folder / "root")
    os.environ["SPG_ILSVRC_ROOT"] = str(folder / "root")
    sentence = refusal(lambda: fetch(workspace, NAME, Source(fullsup="none")))
    assert bool(sentence) == bool(tree.shared), (tree.shared, sentence)
    if sentence:
        assert not workspace.raw(NAME).exists()
        return False
    skips: list[str] = []
    sentence = refusal(lambda: prepare(workspace, params_with(mapping, []), NAME))
    if sentence:
        skips = read_yaml(workspace.scratch / f"problems-{NAME}.yaml")["skip"]
        assert set(skips) == tree.faulty, (set(skips) ^ tree.faulty, sentence)
        prepare(workspace, params_with(mapping, skips), NAME)
    assert set(skips) == tree.faulty, tree.faulty
    for row in read_manifest(workspace.packed(NAME) / "manifest.parquet").itertuples():
        rank, split, size, boxes = tree.rows.pop(row.image_id)
        assert (row.class_id, row.split, (row.width, row.height)) == (rank, split, size)
        assert [list(box) for box in row.boxes] == boxes
    assert not tree.rows
    return not skips
