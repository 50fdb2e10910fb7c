"""Files that people take for checkpoints of ``torch.save``."""

from __future__ import annotations

import argparse
import io
import random
import shlex
from collections import OrderedDict, defaultdict
from datetime import date
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from spg.tools.checkpoints.torch_file import parse_state_dict
from whole.refusal import refusal

NAMES = ("features.0.weight", "features.0.bias", "layer3.1.conv2.weight", "classifier.2.bias")
NO_CHECKPOINTS = {
    "web page": (b"<!DOCTYPE html><html><title>Virus scan warning</title></html>", "web page"),
    "sign in": (b"\n\n<HTML><body>Sign in</body></HTML>", "web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS"),
    "gzip": (b"\x1f\x8b\x08\0" + bytes(50), "archive"),
    "safetensors": (b"\x02\0\0\0\0\0\0\0{}" + bytes(8), "not a checkpoint"),
    "tensors": (b'\x40\0\0\0\0\0\0\0{"a":{"dtype":"F32"}}', "safetensors"),
    "nothing": (b"", "empty"),
    "json": (b'{"error": "quota"}', "text"),
    "commented page": (b"\xef\xbb\xbf<!-- x -->\n<html></html>", "web page"),
    "zip": (b"PK\x05\x06" + bytes(18), "not a checkpoint"),
}
BESIDES = {
    "numpy number": np.float64(0.5), "numpy array": np.ones(2), "settings": argparse.Namespace(a=1),
    "path": PurePosixPath("x"), "log": defaultdict(list), "date": date(2026, 1, 2),
}  # fmt: skip


def _wrapped(draw: random.Random, name: str, wrappers: list[tuple[int, str]]) -> str:
    parts = name.split(".")
    for place, wrapper in wrappers:
        parts.insert(min(place, len(parts) - 1), wrapper)
    return ".".join(parts)


def _saved(content: object, draw: random.Random) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=draw.random() < 0.7)
    return stream.getvalue()


def check_checkpoint(draw: random.Random, folder: Path, _mapping: dict) -> bool:
    """Read a file; return whether it is a checkpoint."""
    path = folder / "in.pth.tar"
    kind = draw.choice(["tensors", "tensors", "file", "besides", "network", "elsewhere"])
    state = OrderedDict((name, torch.randn(2, 3)) for name in NAMES)
    if kind == "file":
        content, said = NO_CHECKPOINTS[draw.choice(sorted(NO_CHECKPOINTS))]
        return _refused(content, path, said)
    if kind == "besides":
        extra = BESIDES[draw.choice(sorted(BESIDES))]
        key = draw.choice(["state_dict", "model_state_dict", "model", "net"])
        return _way_forward(_saved({key: state, "best": extra}, draw), path, state)
    if kind == "network":
        network = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3))
        arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        nested = {"state_dict": {"model": network.state_dict()}, "args": BESIDES["settings"]}
        content = draw.choice(
            [network, {"model": network, "epoch": 3}, {"state_dict": arrays}, nested]
        )
        return _way_forward(_saved(content, draw), path, network.state_dict())
    if kind == "elsewhere":
        return _refused(_saved({"weights": state, "epoch": 1}, draw), path, "'weights'; 'epoch'")
    wrappers = [(draw.randrange(3), draw.choice(["module", "_orig_mod", "model"]))
                for _ in range(draw.randint(0, 2))]  # fmt: skip
    wrapped = OrderedDict((_wrapped(draw, name, wrappers), state[name]) for name in state)
    key = draw.choice(["state_dict", "model_state_dict", "model", "net"])
    content = draw.choice([wrapped, {key: wrapped, "epoch": 2}, {"state_dict": {"net": wrapped}}])
    found = parse_state_dict(_saved(content, draw), path)
    assert list(found) == list(NAMES)
    assert all(torch.equal(found[name], state[name]) for name in NAMES)
    return True


def _refused(content: bytes, path: Path, said: str) -> bool:
    sentence = refusal(lambda: parse_state_dict(content, path))
    assert sentence, f"accepted, and it is {said}"
    assert said in sentence, sentence
    return False


def _way_forward(content: bytes, path: Path, state: dict) -> bool:
    """Check that the file is refused with code that gets its tensors out."""
    path.write_bytes(content)
    sentence = refusal(lambda: parse_state_dict(content, path))
    assert sentence, "accepted, although it asks for more than tensors"
    (code,) = sentence.split("python -c ")[1:]
    there = path.parent / "in.tensors.pth"
    (code,) = shlex.split(code)
    exec(compile(code.replace("'in.tensors.pth'", repr(str(there))), "the advice", "exec"), {})
    found = parse_state_dict(there.read_bytes(), there)
    assert all(torch.equal(found[name], state[name]) for name in state)
    return False
