"""Damage small good files and give them to every reader of strangers' files.

A reader may accept what it gets or refuse it by an error that commands show as one sentence.
Anything else is a bug, and so is an input that takes seconds. ``benchmarks/fuzz.py`` tries many,
``tests/pipeline/test_fuzz.py`` a few.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import tarfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from tiny_ilsvrc import tiny_ilsvrc

from spg.compare.paper import load_paper
from spg.data.datasets.ilsvrc import Source as IlsvrcSource
from spg.data.fetch.ilsvrc import kaggle
from spg.data.fetch.unpack import Limits, unpack
from spg.data.images.manifest import read_manifest
from spg.data.images.packed import PackedImages
from spg.data.layouts import cub, ilsvrc
from spg.data.layouts.raw import read_image as read_raw_image
from spg.data.layouts.wsol_metadata import read_metadata
from spg.data.prepare.recode import BadImageError, recode
from spg.data.prepare.stage import prepare
from spg.data.results.columns import read_batches, read_columns
from spg.data.results.provenance import read_provenance
from spg.data.results.tables import read_maps, read_table, read_tensors
from spg.data.sources.ilsvrc import fetch as fetch_ilsvrc
from spg.networks.parts.model_file import load_model, save_model
from spg.project.errors import UserError
from spg.project.files import read_json
from spg.project.params import Params, load_params
from spg.project.workspace import Workspace
from spg.tools.checkpoints.torch_file import parse_state_dict
from spg.tools.predict import read_image
from spg.tools.scoring.map_files import BadMapError, read_map
from spg.train.checkpoint import load_checkpoint, save_checkpoint

REFUSALS = (UserError, BadMapError, BadImageError)
SLOW = 5.0  # seconds of the processor an input
INTERESTING = [
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"\r", b"\n\n", b" ", b"-1", b"nan", b"inf",
    b"1e308", b"9" * 30, b"9" * 5000, b"../../x", b"/etc/passwd", b"<!ENTITY x 'y'>", b"\xc3\x28",
    b"\xe2\x80\xa8", b"{", b"[" * 2000, b"*a", b"&a [*a]", b"0x10", b"'", b'"',
    b"!!python/object:os.system",
]  # fmt: skip


class Target(NamedTuple):
    """A reader and a file that it likes."""

    good: bytes
    read: Callable[[bytes], object]


class Outcome(NamedTuple):
    """What became of the inputs of a target."""

    accepted: int
    refused: int
    bugs: list[str]
    """Traceback or time of each, behind the number of the input."""


def mutate(good: bytes, draw: random.Random) -> bytes:
    """Return a copy with one to four damages."""
    damaged = good
    for _ in range(draw.randint(1, 4)):
        damaged = draw.choice(MUTATIONS)(damaged, draw)
    return damaged


def _place(content: bytes, draw: random.Random) -> int:
    return draw.randrange(len(content) + 1)


def _flip(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(min(len(changed), draw.choice((1, 1, 8)))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: _place(content, draw)]


def _delete(content: bytes, draw: random.Random) -> bytes:
    start = _place(content, draw)
    return content[:start] + content[start + draw.choice((1, 4, 64)) :]


def _insert(content: bytes, draw: random.Random) -> bytes:
    start = _place(content, draw)
    return content[:start] + draw.choice(INTERESTING) + content[start:]


def _repeat(content: bytes, draw: random.Random) -> bytes:
    start, stop = sorted((_place(content, draw), _place(content, draw)))
    return content[:stop] + content[start : min(stop, start + 4096)] + content[stop:]


def _zeros(content: bytes, draw: random.Random) -> bytes:
    start = _place(content, draw)
    length = len(content[start : start + 512])
    return content[:start] + bytes(length) + content[start + length :]


def _lines(content: bytes, draw: random.Random) -> bytes:
    """Swap, drop or repeat a line, or give all of them other ends."""
    lines = content.split(b"\n")
    first, second = draw.randrange(len(lines)), draw.randrange(len(lines))
    kind = draw.randrange(4)
    if kind == 0:
        lines[first], lines[second] = lines[second], lines[first]
    elif kind == 1:
        del lines[first]
    elif kind == 2:
        lines.insert(first, lines[second])
    return (b"\r\n" if kind == 3 else b"\n").join(lines)


def _word(content: bytes, draw: random.Random) -> bytes:
    """Put something interesting in the place of a word."""
    words = content.split(b" ")
    words[draw.randrange(len(words))] = draw.choice(INTERESTING)
    return b" ".join(words)


MUTATIONS = (_flip, _cut, _delete, _insert, _repeat, _zeros, _lines, _word)


def run_target(target: Target, *, inputs: int, seed: str) -> Outcome:
    """Give a target its good file, which it has to accept, and damaged ones."""
    target.read(target.good)
    counts: Counter[str] = Counter()
    bugs = []
    for number in range(inputs):
        damaged = mutate(target.good, random.Random(f"{seed} {number}"))
        start = time.process_time()
        try:
            target.read(damaged)
            counts["accepted"] += 1
        except REFUSALS:
            counts["refused"] += 1
        except OSError as error:
            if error.errno is None:
                bugs.append(f"{number}: {traceback.format_exc()}")
            else:
                counts["refused"] += 1  # by the system: a sentence of `guarded`
        except Exception:
            bugs.append(f"{number}: {traceback.format_exc()}")
        if time.process_time() - start > SLOW:
            bugs.append(f"{number}: took over {SLOW:g} s")
    return Outcome(counts["accepted"], counts["refused"], bugs)


def targets(finished: Workspace, params: Params, folder: Path, root: Path) -> dict[str, Target]:
    """Return every reader by name.

    Args:
        finished: a tiny project in which evaluate ran for some cells.
        params: its parameters.
        folder: scratch.
        root: of the sources, for params.yaml and paper.yaml.
    """
    cell = next((finished.root / "runs/synthetic_birds").glob("*-spg-0")).name
    run, maps, sweep, evaluation = (
        finished.root / folder / "synthetic_birds" / cell
        for folder in ("runs", "maps", "sweep", "eval")
    )
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    packed = finished.packed("synthetic_birds")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    packed = finished.packed("synthetic_birds")
    state = {"step": 3, "model": network.state_dict(), "history": [{"loss": 1.0}]}
    files: dict[str, tuple[Path, Callable[[Path], object]]] = {
        "params.yaml": (root / "params.yaml", load_params),
        "paper.yaml": (root / "paper.yaml", load_paper),
        "manifest.parquet": (packed / "manifest.parquet", read_manifest),
        "shard-00000.arrow": (
            packed / "shard-00000.arrow", lambda path: PackedImages(path.parent).image(0)
        ),
        "epochs.safetensors": (run / "epochs.safetensors", read_tensors),
        "provenance.json": (
            run / "provenance.json",
            read_provenance,
        ),
        "history.csv": (run / "history.csv", read_table),
        "maps of a cell": (maps / "cam.npy", read_maps),
        "scores.parquet": (maps / "scores.parquet", read_columns),
        "sweep.parquet": (sweep / "sweep.parquet", _batches),
        "metrics.json": (evaluation / "metrics.json", read_json),
    }  # fmt: skip
    own = folder / "files"
    return {
        **{
            name: at(own / path.name, path.read_bytes(), read)
            for name, (path, read) in files.items()
        },
        **_cub(finished, params, folder / "cub"),
        **_kaggle(folder / "ilsvrc"),
        **_metadata(folder / "metadata"),
        "image, prepare": Target(_encoded("jpeg"), partial(recode, short_side=16, quality=90)),
        "PNG, prepare": Target(_encoded("png"), partial(recode, short_side=None, quality=90)),
        "image, predict": at(own / "image.jpg", _encoded("jpeg"), read_image),
        "map, score": at(own / "map.npy", _npy(), read_map),
        "model.safetensors": at(
            own / "model.safetensors",
            _saved(own / "good.safetensors", lambda path: save_model(path, network)),
            lambda path: load_model(path, network),
        ),
        "training state": at(
            own / "state.pt",
            _saved(own / "good.pt", lambda path: save_checkpoint(path, state)),
            load_checkpoint,
        ),
        "checkpoint, zip": Target(_torch(zipped=True), partial(parse_state_dict, path=own)),
        "checkpoint, old": Target(_torch(zipped=False), partial(parse_state_dict, path=own)),
        "archive": at(own / "a.tar", _tar("w"), partial(_unpack, own / "out")),
        "archive, gzip": at(own / "a.tgz", _tar("w:gz"), partial(_unpack, own / "out")),
    }


def at(path: Path, good: bytes, read: Callable[[Path], object]) -> Target:
    """Return a target whose reader takes a path."""

    def read_bytes(content: bytes) -> object:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return read(path)

    return Target(good, read_bytes)


def _cub(finished: Workspace, params: Params, folder: Path) -> dict[str, Target]:
    raw = finished.raw("synthetic_birds")
    own = Workspace(folder)
    own.raw("synthetic_birds").mkdir(parents=True)
    for entry in raw.iterdir():
        (own.raw("synthetic_birds") / entry.name).symlink_to(entry.resolve())
    found = {}
    for table in sorted(raw.glob("*.txt")):
        path = own.raw("synthetic_birds") / table.name
        found[f"CUB's {table.name}"] = restoring(
            path, table.read_bytes(), lambda _: cub.read_annotations(own.raw("synthetic_birds"))
        )
        found[f"prepare, {table.name}"] = restoring(
            path, table.read_bytes(), lambda _: prepare(own, params, "synthetic_birds")
        )
    return found


def restoring(path: Path, good: bytes, read: Callable[[Path], object]) -> Target:
    """Return a target at ``path`` that is good again afterwards, for the targets beside it."""

    def read_bytes(content: bytes) -> object:
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        try:
            return read(path)
        finally:
            path.write_bytes(good)

    return Target(good, read_bytes)


def _kaggle(folder: Path) -> dict[str, Target]:
    root = tiny_ilsvrc().write_kaggle(folder / "root")
    os.environ["SPG_ILSVRC_ROOT"] = str(root)
    fetched, fetching = Workspace(folder / "fetched"), Workspace(folder / "fetching")
    source = IlsvrcSource(fullsup="none")
    fetch_ilsvrc(fetched, "ilsvrc", source)
    raw = fetched.raw("ilsvrc")

    def fetch(_: Path) -> object:
        return fetch_ilsvrc(fetching, "ilsvrc", source)

    def read(_: Path) -> object:
        return [read_raw_image(raw, item.file) for item in ilsvrc.read_annotations(raw)[:3]]

    files = {
        "box file": (next((root / kaggle.BOXES / "val").iterdir()), fetch),
        "solution": (root / kaggle.SOLUTION, fetch),
        "class names": (root / kaggle.WORDS, fetch),
        "index.parquet": (raw / "index.parquet", read),
        "synsets.json": (raw / "synsets.json", read),
    }
    return {
        f"ILSVRC's {name}": restoring(path, path.read_bytes(), reader)
        for name, (path, reader) in files.items()
    }


def _metadata(folder: Path) -> dict[str, Target]:
    files = {
        "image_ids": "b/2.jpg\na/1.jpg\n",
        "class_labels": "a/1.jpg,0\nb/2.jpg,7\n",
        "image_sizes": "b/2.jpg,500,375\na/1.jpg,64,48\n",
        "localization": "b/2.jpg,1,2,30,40\na/1.jpg,0,0,64,48\nb/2.jpg,5,5,9.5,9\n",
    }
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return {
        f"metadata, {name}.txt": restoring(
            folder / f"{name}.txt", text.encode(), lambda _: read_metadata(folder)
        )
        for name, text in files.items()
    }


def _pixels(width: int = 40, height: int = 30) -> Image.Image:
    draw = np.random.default_rng(0)
    return Image.fromarray(draw.integers(0, 255, (height, width, 3)).astype(np.uint8))


def _encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    _pixels().save(buffer, kind)
    return buffer.getvalue()


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(0).random((28, 28), dtype=np.float32))
    return buffer.getvalue()


def _saved(path: Path, save: Callable[[Path], object]) -> bytes:
    save(path)
    return path.read_bytes()


def _torch(*, zipped: bool) -> bytes:
    state = {"module.conv.weight": torch.ones(2, 3), "module.conv.bias": torch.zeros(2)}
    buffer = io.BytesIO()
    torch.save({"state_dict": state}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def _tar(mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name in ("a/1.txt", "a/2.txt", "b.txt"):
            member = tarfile.TarInfo(name)
            member.size = 300
            tar.addfile(member, io.BytesIO(bytes(range(100)) * 3))
    return buffer.getvalue()


def _unpack(folder: Path, archive: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    unpack(archive, folder, Limits(bytes=1 << 20, members=100), lambda name: name)


def _batches(path: Path) -> object:
    return list(read_batches(path, ("extractor", "split", "iou", "iou_all", "box")))
