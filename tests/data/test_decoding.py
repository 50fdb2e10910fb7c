"""Masks in the forms in which people save them: one and the same object."""

from __future__ import annotations

import io
import random

import cv2
import numpy as np
import pytest
from PIL import Image
from whole.pictures import MASKS, region, saved

from spg.data.images.decoding import BadImageError, decode_mask, encode_mask


@pytest.mark.parametrize("value", [1, 2, 3, 128, 255])
@pytest.mark.parametrize("form", MASKS)
def test_every_pixel_above_0_in_any_channel_and_depth_is_the_object(form, value):
    mask = region(random.Random(f"{form} {value}"), 31, 22)
    assert np.array_equal(decode_mask(MASKS[form](mask, value)), mask)


def test_two_instances_of_different_values_are_one_object():
    image = np.zeros((6, 8), np.uint16)
    image[1, 1], image[2, 2], image[3, 3] = 1, 300, 65535
    assert decode_mask(cv2.imencode(".png", image)[1].tobytes()).sum() == 3


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_where_values_are_not_exact_the_object_begins_at_half_of_the_largest(kind):
    mask = np.zeros((64, 80), dtype=bool)
    mask[16:48, 24:56] = True
    for value in (255, 120):
        image = Image.fromarray(mask.astype(np.uint8) * value).convert("RGB")
        found = decode_mask(saved(image, kind, quality=40))
        assert (found != mask).mean() < 0.01
    black = saved(Image.new("L", (16, 16)), "jpeg")
    assert not decode_mask(black).any()


def test_a_mask_is_never_turned_by_an_orientation_tag():
    mask = region(random.Random(0), 12, 7)
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = saved(Image.fromarray(mask.astype(np.uint8) * 255), "png", exif=exif)
    assert np.array_equal(decode_mask(encoded), mask)


def test_what_is_encoded_is_read_back():
    mask = region(random.Random(1), 12, 7)
    encoded = encode_mask(mask)
    assert np.array_equal(decode_mask(encoded), mask)
    assert set(np.unique(np.asarray(Image.open(io.BytesIO(encoded))))) <= {0, 255}


@pytest.mark.parametrize("content", [b"", b"no image", MASKS["255"](np.eye(64) > 0, 255)[:60]])
def test_a_mask_that_is_none_says_why(content):
    with pytest.raises(BadImageError, match=r"empty|no image|damaged"):
        decode_mask(content)
