"""Many birds: every image has its own random stream, so the order of drawing is free."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

from spg.birds.scene import Scene, draw_scene
from spg.birds.species import Species
from spg.seeding import generator


class Bird(NamedTuple):
    """One image of a flock."""

    class_index: int
    """Index of its species in the list, from 0."""
    number: int
    """Running number inside the class, from 0."""
    scene: Scene


def draw_flock(species: list[Species], per_class: int, *, seed: int, side: int) -> Iterator[Bird]:
    """Draw ``per_class`` images of each species, in the order of classes, on all cores.

    Args:
        species: the classes.
        per_class: images of each.
        seed: of the whole flock; the images depend on nothing else.
        side: longer side of the images in pixels.
    """
    places = [(kind, number) for kind in range(len(species)) for number in range(per_class)]
    draw = partial(_draw, species, seed=seed, side=side)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(draw, places, chunksize=32)


def _draw(species: list[Species], place: tuple[int, int], *, seed: int, side: int) -> Bird:
    kind, number = place
    stream = generator(seed, species[kind].name, number)
    return Bird(kind, number, draw_scene(species[kind], stream, side=side))
