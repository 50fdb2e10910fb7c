"""Randomness by name: a generator for each purpose, never a global state."""

from __future__ import annotations

import zlib

import numpy as np


def generator(*keys: int | str) -> np.random.Generator:
    """Return the NumPy generator of the given keys, e.g. ``generator(seed, "crop", epoch, 7)``.

    Equal keys give equal streams on every machine, whatever else was drawn before.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(_entropy(keys))))


def torch_seed(*keys: int | str) -> int:
    """Return a 63-bit seed for ``torch.manual_seed`` from the given keys."""
    state = np.random.SeedSequence(_entropy(keys)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def _entropy(keys: tuple[int | str, ...]) -> list[int]:
    return [zlib.crc32(key.encode()) if isinstance(key, str) else key for key in keys]
