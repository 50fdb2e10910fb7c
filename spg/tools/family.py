"""Does this machine compute what the others of its family do, bit by bit?

A short form of a probe of 70 operations, those that the default's results go through, and a short
training, which puts them together: on drawn numbers, in a process that is capped as a portable one
(:mod:`spg.project.portable`). Every expected digest has been given by an AMD EPYC that has AVX2 and
nothing beyond it, and by an Intel Xeon with AVX-512 and AMX.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spg.project import portable
from spg.project.errors import UserError

EXPECTED = {
    "conv 3x3 stride 1 forward": "301a2983346dffe3",
    "conv 3x3 stride 1 backward": "0fe058e79ce07771",
    "conv 1x1 stride 1 forward": "480551bad4722b65",
    "conv 1x1 stride 1 backward": "5aa2654a0e27eaae",
    "batch norm, training forward": "6386797adf2337ae",
    "batch norm, training backward": "493af2d82e364463",
    "max pool forward": "a68a2e764f401b20",
    "max pool backward": "3d49bcecf6086326",
    "linear forward": "7571602ad4bec359",
    "linear backward": "35fe30e6ce5ae944",
    "log softmax forward": "032fe4ed989a752e",
    "log softmax backward": "bde255b2a7f6becc",
    "bce with logits forward": "8687813b0ade5516",
    "bce with logits backward": "19411b715a34af1b",
    "bilinear up forward": "66bdb2fdd1684a9d",
    "bilinear up backward": "248a8eb4a4bbf324",
    "bilinear down, antialias forward": "3cb8a089dc258504",
    "AdamW": "c17616ae30164c19",
    "torch random": "7f8058104afc5521",
    "cv2 resize linear": "2f0bc8b364884d77",
    "cv2 resize cubic": "7ca84f36695efce5",
    "cv2 jpeg": "115d6f8ed2a68b9f",
    "numpy exp float64": "288c712ea62ab76b",
    "numpy log float64": "d1ff8f597629307c",
    "numpy sums float32": "af7ec26923663401",
    "20 steps of a small network": "7ebc335e070987a3",
}
"""The first digits of each result's sha256."""

Arrays = dict[str, tuple[Any, ...]]


def differing() -> list[str]:
    """Return the operations that this machine, capped, computes otherwise; empty: of the family.

    Raises:
        UserError: when the capped process cannot run.
    """
    environment = {**os.environ, **portable.CAPS}
    asked = subprocess.run(
        [sys.executable, "-m", __name__], env=environment, check=False, capture_output=True,
        text=True,
    )  # fmt: skip
    if asked.returncode:
        raise UserError(f"the probe of portable bits failed: {asked.stderr.strip()[-200:]}")
    found: dict[str, str] = json.loads(asked.stdout)
    return [name for name, digest in EXPECTED.items() if found.get(name) != digest]


def digests() -> dict[str, str]:
    """Return the digest of each operation of `EXPECTED`, as this very process computes it."""
    results = {**_layers(), **_rest(), "20 steps of a small network": _trained()}
    return {name: _digest(results[name]) for name in EXPECTED}


def _digest(values: tuple[Any, ...]) -> str:
    digest = hashlib.sha256()
    for value in values:
        array = value.detach().contiguous().numpy() if isinstance(value, Tensor) else value
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _drawn(*shape: int, salt: int = 0, scale: float = 1.0) -> Tensor:
    numbers = np.random.Generator(np.random.PCG64(salt)).standard_normal(shape) * scale
    return torch.from_numpy(numbers.astype(np.float32))


def _layers() -> Arrays:
    """Return results and gradients of what networks are made of."""
    found: Arrays = {}

    def note(name: str, layer: Callable[..., Tensor], *inputs: Tensor) -> None:
        leaves = [one.clone(memory_format=torch.preserve_format).requires_grad_() for one in inputs]
        result = layer(*leaves)
        result.backward(_drawn(*result.shape, salt=99))  # type: ignore[no-untyped-call]
        found[f"{name} forward"] = (result,)
        found[f"{name} backward"] = tuple(leaf.grad for leaf in leaves)

    image = _drawn(8, 32, 40, 40).to(memory_format=torch.channels_last)
    three = _drawn(48, 32, 3, 3, salt=3, scale=0.1).to(memory_format=torch.channels_last)
    one = _drawn(80, 32, 1, 1, salt=1, scale=0.1).to(memory_format=torch.channels_last)
    note("conv 3x3 stride 1", lambda x, w: F.conv2d(x, w, padding=1), image, three)
    note("conv 1x1 stride 1", F.conv2d, image, one)
    note(
        "batch norm, training",
        lambda x, g, b: F.batch_norm(x, None, None, g, b, training=True),
        image, _drawn(32, salt=8), _drawn(32, salt=9),
    )  # fmt: skip
    note("max pool", lambda x: F.max_pool2d(x, 3, 2, 1), image)
    note("linear", F.linear, _drawn(64, 96, salt=10), _drawn(50, 96, salt=11))
    note("log softmax", lambda x: F.log_softmax(x, 1), _drawn(64, 30, salt=14))
    target = (_drawn(8, 32, 40, 40, salt=15) > 0).float()
    note(
        "bce with logits",
        lambda x: F.binary_cross_entropy_with_logits(x, target, reduction="none"), image,
    )  # fmt: skip
    for name, size, salt, shape in (
        ("bilinear up", 96, 16, (8, 1, 16, 16)),
        ("bilinear down, antialias", 24, 17, (8, 3, 64, 64)),
    ):
        note(
            name,
            lambda x, size=size, down=size < 64: F.interpolate(
                x, (size, size), mode="bilinear", align_corners=False, antialias=down
            ),
            _drawn(*shape, salt=salt),
        )
    return found


def _rest() -> Arrays:
    """Return results of the optimizer, of random numbers, of OpenCV and of NumPy."""
    parameter = nn.Parameter(_drawn(1000, salt=20))
    optimizer = torch.optim.AdamW([parameter], 1e-3, weight_decay=0.05, fused=True)
    for step in range(3):
        parameter.grad = _drawn(1000, salt=21 + step)
        optimizer.step()
    torch.manual_seed(0)
    random = (
        torch.randn(1003), torch.rand(1003), torch.randperm(1003),
        F.dropout(torch.ones(5000), 0.3), nn.init.xavier_uniform_(torch.empty(64, 32, 3, 3)),
    )  # fmt: skip
    grid = _drawn(120, 90, 3, salt=30).numpy()
    picture = np.clip(grid * 60 + 128, 0, 255).astype(np.uint8)
    found: Arrays = {"AdamW": (parameter,), "torch random": random}
    for name, way in (("linear", cv2.INTER_LINEAR), ("cubic", cv2.INTER_CUBIC)):
        found[f"cv2 resize {name}"] = (
            cv2.resize(picture, (64, 64), interpolation=way),
            cv2.resize(grid, (200, 150), interpolation=way),
        )
    found["cv2 jpeg"] = (
        cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1],
        cv2.imdecode(cv2.imencode(".jpg", picture)[1], cv2.IMREAD_COLOR),
    )
    double = np.random.Generator(np.random.PCG64(40)).standard_normal(10007)
    single = double.astype(np.float32)
    found["numpy exp float64"] = (np.exp(np.abs(double) + 0.01),)
    found["numpy log float64"] = (np.log(np.abs(double) + 0.01),)
    square = single[:10000].reshape(100, 100)
    found["numpy sums float32"] = (single.sum(), single.mean(), single.std(), square @ square)
    return found


def _trained() -> tuple[Any, ...]:
    """Return the state of a small network after 20 steps."""
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.MaxPool2d(3, 2, 1), nn.Conv2d(16, 48, 3, padding=1, bias=False), nn.BatchNorm2d(48),
        nn.ReLU(), nn.Conv2d(48, 10, 1),
    ).to(memory_format=torch.channels_last)  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
    labels = torch.arange(32) % 10
    for step in range(20):
        images = _drawn(32, 3, 64, 64, salt=100 + step).to(memory_format=torch.channels_last)
        loss = F.cross_entropy(network(images).mean((2, 3)), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return tuple(network.state_dict().values())


if __name__ == "__main__":
    torch.set_num_threads(portable.THREADS)
    cv2.setNumThreads(portable.THREADS)
    sys.stdout.write(json.dumps(digests()))
