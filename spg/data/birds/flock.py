"""Many birds: every image has its own random stream, so the order of drawing is free."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from spg.data.birds.scene import Scene, draw_scene
from spg.data.birds.species import Species, Telling
from spg.project.parallel import default_workers, in_order
from spg.project.seeding import generator

BIRDS_A_TASK = 32


class Bird(NamedTuple):
    """One image of a flock."""

    class_index: int
    """Index of its species in the list, from 0."""
    number: int
    """Running number inside the class, from 0."""
    scene: Scene


def draw_flock(
    species: list[Species], per_class: int, *, seed: int, side: int, telling: Collection[Telling]
) -> Iterator[Bird]:
    """Draw ``per_class`` images of each species, in the order of classes, on all cores.

    Args:
        species: the classes.
        per_class: images of each.
        seed: of the whole flock; the images depend on nothing else.
        side: longer side of the images in pixels.
        telling: the parts that tell the species.
    """
    places = [(kind, number) for kind in range(len(species)) for number in range(per_class)]
    tasks = [places[start : start + BIRDS_A_TASK] for start in range(0, len(places), BIRDS_A_TASK)]
    draw = partial(_draw, species, seed=seed, side=side, telling=telling)
    for birds in in_order(draw, tasks, workers=min(default_workers(), len(tasks))):
        yield from birds


def _draw(
    species: list[Species],
    places: Sequence[tuple[int, int]],
    *,
    seed: int,
    side: int,
    telling: Collection[Telling],
) -> list[Bird]:
    birds = []
    for kind, number in places:
        stream = generator(seed, species[kind].name, number)
        scene = draw_scene(species[kind], stream, side=side, telling=telling)
        birds.append(Bird(kind, number, scene))
    return birds
