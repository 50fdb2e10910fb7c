"""Weights and images by formula, and summaries of tensors: what reference values are made of.

So a test can say "our network is theirs" without any of their weights: both sides fill their
parameters by name.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

OFFICIAL_CASES = json.loads(
    (Path(__file__).parent / "golden/official_spg.json").read_text(encoding="utf-8")
)["cases"]
"""What the authors' code returned for networks filled by these formulas."""


def stream(salt: str, name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32((salt + name).encode())))


def value_by_formula(salt: str, name: str, shape: torch.Size) -> torch.Tensor:
    """The value of the published parameter ``name``."""
    n = stream(salt, name).standard_normal(tuple(shape))
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith("running_var"):
        value = 1 + 0.1 * np.abs(n)
    elif len(shape) == 4:
        value = n * np.sqrt(2 / (shape[1] * shape[2] * shape[3]))
    elif name.endswith("weight") and len(shape) == 1:  # of a batch norm
        value = 1 + 0.1 * n
    else:  # running means, biases and linear layers
        value = 0.1 * n
    return torch.from_numpy(value.astype(np.float32))


def images_by_formula(case) -> torch.Tensor:
    """The images of a case, ``Tensor[B, 3, S, S]``."""
    low = stream(case["salt"], "image").standard_normal(
        (case.get("batch", len(case["labels"])), 3, 8, 8)
    )
    side = (case["input_size"], case["input_size"])
    image = torch.from_numpy(low.astype(np.float32))
    return F.interpolate(image, size=side, mode="bilinear", align_corners=False)


def summary(tensor: torch.Tensor, index) -> dict:
    """Shape, moments and the values at some places of a tensor, as in the reference files."""
    flat = tensor.detach().double().flatten()
    numbers = {"mean": flat.mean(), "std": flat.std(correction=0), "min": flat.min()}
    numbers |= {"max": flat.max()}
    return {
        "shape": list(tensor.shape),
        **{name: float(number) for name, number in numbers.items()},
        "value": flat[torch.tensor(index)].tolist(),
    }
