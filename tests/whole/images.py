"""Photographs as they come to ``spg predict`` and ``prepare``, which see the same pixels."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from spg.data.images.decoding import decode_mask, decode_rgb
from spg.data.prepare.recode import recode
from spg.tools.predict import read_image
from whole.pictures import mask_file, no_picture, picture, region, seen
from whole.refusal import refusal


def check_image(draw: random.Random, folder: Path, _mapping: dict) -> bool:
    """Read an image by both, or a mask; return whether it is one."""
    width, height = draw.choice([1, 2, 7, 300]), draw.choice([1, 2, 5, 200])
    encoded = picture(draw, width, height)
    path = folder / draw.choice(["x.jpg", "a b'c.PNG", "no suffix", "ü.jpeg"])
    wrong = draw.random() < 0.2
    if draw.random() < 0.3:
        return _check_mask(draw, wrong=wrong)
    path.write_bytes(no_picture(draw, encoded) if wrong else encoded)
    if wrong:
        sentence = refusal(lambda: read_image(path))
        assert sentence
        assert str(path) in sentence
        return False
    found = read_image(path)
    packed = recode(encoded, short_side=None, quality=95)
    assert (packed.width, packed.height) == (width, height)
    assert np.array_equal(found, decode_rgb(packed.encoded))
    assert np.abs(found.astype(int) - seen(encoded)).max() <= 2  # two decoders of JPEG
    return True


def _check_mask(draw: random.Random, *, wrong: bool) -> bool:
    mask = region(draw, draw.randint(2, 40), draw.randint(2, 40))
    encoded = mask_file(draw, mask)
    if wrong:
        assert refusal(lambda: decode_mask(no_picture(draw, encoded)))
        return False
    assert np.array_equal(decode_mask(encoded), mask)
    return True
