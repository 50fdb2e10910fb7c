"""ILSVRC 2012 at its smallest, in both layouts; or any Kaggle tree, written as archives."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from spg.data.fetch.ilsvrc import archives, kaggle

ANCESTORS = ["n00001740", "n00001930", "n99999999"]  # of the classes: they have children
WORDS = {"n01440764": "tench, Tinca tinca", "n02119789": "kit fox, Vulpes macrotis",
         "n01751748": "sea snake"}  # fmt: skip


@dataclass
class Ilsvrc:
    """The bytes of a release, without a layout."""

    words: dict[str, str]
    train: dict[str, dict[str, bytes]]  # by WordNet id, by file name
    val: dict[str, bytes]  # by file name
    wnids: dict[str, str]  # of validation images
    xml: dict[str, bytes]  # by validation image
    train_xml: dict[str, bytes] = field(default_factory=dict)  # by training image
    solution: str | None = None

    def write_kaggle(self, root: Path) -> Path:
        files = {f"{kaggle.DATA}/val/{name}": data for name, data in self.val.items()}
        for wnid, images in self.train.items():
            files |= {f"{kaggle.DATA}/train/{wnid}/{name}": data for name, data in images.items()}
        for name, data in self.xml.items():
            files[f"{kaggle.BOXES}/val/{Path(name).stem}.xml"] = data
        for name, data in self.train_xml.items():
            files[f"{kaggle.BOXES}/train/{name[:9]}/{Path(name).stem}.xml"] = data
        lines = [f"{wnid} {words}\n" for wnid, words in self.words.items()]
        files[kaggle.WORDS] = "".join(lines).encode()
        rows = [f"{Path(name).stem},{wnid} 1 2 3 4 \n" for name, wnid in self.wnids.items()]
        files[kaggle.SOLUTION] = ("ImageId,PredictionString\n" + "".join(rows)).encode()
        for name, data in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        return root

    def write_archives(self, root: Path, devkit_order: list[str]) -> dict[str, str]:
        """Write the official archives; class n of the devkit is ``devkit_order[n - 1]``."""
        root.mkdir(parents=True, exist_ok=True)
        inner = {f"{wnid}.tar": tar_of(images) for wnid, images in self.train.items()}
        truth = [f"{devkit_order.index(self.wnids[name]) + 1}\n" for name in sorted(self.val)]
        kit = "ILSVRC2012_devkit_t12"
        devkit = {
            f"{kit}/readme.txt": b"...",
            f"{kit}/data/{archives.META}": meta(devkit_order, self.words),
            f"{kit}/data/{archives.TRUTH}": "".join(truth).encode(),
        }
        boxes = {f"val/{Path(name).stem}.xml": data for name, data in self.xml.items()}
        content = {
            archives.TRAIN: tar_of(inner),
            archives.VAL: tar_of(self.val),
            archives.DEVKIT: tar_of(devkit, "w:gz"),
            archives.VAL_BOXES: tar_of(boxes, "w:gz"),
        }
        if self.train_xml:
            train = {f"{n[:9]}/{Path(n).stem}.xml": data for n, data in self.train_xml.items()}
            content[archives.TRAIN_BOXES] = tar_of(train, "w:gz")
        for name, data in content.items():
            (root / name).write_bytes(data)
        return {name: hashlib.md5(data).hexdigest() for name, data in content.items()}


def tiny_ilsvrc() -> Ilsvrc:
    """Three classes, five training and four validation images of different sizes."""
    counts = {"n01440764": 2, "n02119789": 1, "n01751748": 2}
    train = {
        wnid: {f"{wnid}_{n * 37}.JPEG": jpeg(30 + n, 20, n) for n in range(count)}
        for wnid, count in counts.items()
    }
    val = {f"ILSVRC2012_val_{n:08d}.JPEG": jpeg(40 + n, 30, n) for n in (1, 2, 7, 5)}
    wnids = dict(zip(val, ["n01751748", "n02119789", "n01440764", "n02119789"], strict=True))
    xml = {
        name: voc(Path(name).stem, (40 + n, 30), [(wnids[name], (0, 0, 39 + n, 29))] * (1 + n % 2))
        for name, n in zip(val, (1, 2, 7, 5), strict=True)
    }
    return Ilsvrc(WORDS, train, val, wnids, xml)


def from_kaggle(root: Path) -> Ilsvrc:
    """Read a Kaggle tree without the code under test."""
    lines = (root / kaggle.WORDS).read_text().splitlines()
    words = dict(line.split(" ", 1) for line in lines)
    train = {
        wnid: {p.name: p.read_bytes() for p in (root / kaggle.DATA / "train" / wnid).iterdir()}
        for wnid in words
    }
    val = {p.name: p.read_bytes() for p in (root / kaggle.DATA / "val").iterdir()}
    rows = (root / kaggle.SOLUTION).read_text().splitlines()[1:]
    wnids = {f"{row.split(',')[0]}.JPEG": row.split(",")[1].split()[0] for row in rows}
    xml = {f"{p.stem}.JPEG": p.read_bytes() for p in (root / kaggle.BOXES / "val").iterdir()}
    return Ilsvrc(words, train, val, wnids, xml)


def jpeg(width: int, height: int, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "jpeg")
    return stream.getvalue()


def voc(name, size, objects) -> bytes:
    """Return a box file; coordinates as they stand in it."""
    parts = "".join(
        f"<object><name>{wnid}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for wnid, (x1, y1, x2, y2) in objects
    )
    width, height = size
    return (
        f"<annotation><folder>val</folder><filename>{name}</filename><size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>{parts}</annotation>"
    ).encode()


def tar_of(files: dict[str, bytes], mode: str = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def meta(order: list[str], words: dict[str, str]) -> bytes:
    """Return meta.mat: leaves first, then their ancestors, as the devkit has them."""
    rows = [
        (number, wnid, words.get(wnid, "entity"), "gloss", 0 if wnid in words else 2)
        for number, wnid in enumerate([*order, *ANCESTORS], start=1)
    ]
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children"]
    table = np.array(rows, dtype=[(name, object) for name in fields]).reshape(-1, 1)
    stream = io.BytesIO()
    savemat(stream, {"synsets": table})
    return stream.getvalue()
