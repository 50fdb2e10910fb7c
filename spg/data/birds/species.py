"""The species of the synthetic birds: what tells them apart, and nothing else.

A species fixes the colors of three small parts (crown, bill, wing bars), the shape of the bill, the
number of the bars and whether there is a crest, and a color of its body. Which of these parts tell
the species is a choice (``source.telling``): a part that does not is drawn anew for every image, as
everything else about a bird is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

Color = tuple[int, int, int]


class Bill(NamedTuple):
    """Measures of a bill, in head radii."""

    length: float
    depth: float
    droop: float


BILLS = {
    "fine": Bill(length=1.05, depth=0.27, droop=0.0),
    "stout": Bill(length=0.95, depth=0.45, droop=0.05),
    "hooked": Bill(length=1.0, depth=0.38, droop=0.45),
    "long": Bill(length=1.7, depth=0.24, droop=0.25),
}

# Seven hues, in this order the same for all three parts; seven is prime, which the code words need.
_CROWNS: tuple[tuple[str, Color], ...] = (
    ("Crimson", (214, 16, 40)),
    ("Orange", (250, 128, 0)),
    ("Golden", (255, 225, 20)),
    ("Emerald", (0, 190, 70)),
    ("Turquoise", (0, 215, 225)),
    ("Cobalt", (25, 65, 235)),
    ("Magenta", (230, 30, 200)),
)
_BILLS: tuple[Color, ...] = (
    (225, 30, 30),
    (255, 140, 10),
    (255, 235, 40),
    (20, 200, 60),
    (20, 225, 230),
    (40, 70, 230),
    (235, 40, 190),
)
_BARS: tuple[Color, ...] = (
    (230, 25, 45),
    (255, 145, 15),
    (255, 238, 60),
    (30, 210, 80),
    (40, 230, 240),
    (50, 90, 245),
    (245, 60, 205),
)
_BODIES: tuple[Color, ...] = (
    (176, 66, 62),
    (190, 124, 62),
    (192, 176, 84),
    (82, 150, 88),
    (76, 154, 160),
    (78, 94, 168),
    (160, 84, 146),
)
_BILL_SHAPES = tuple(BILLS)
_HUES = len(_CROWNS)

# One family name for each bill color; the benchmark and the two pretraining sets share none.
_BENCHMARK_FAMILIES = (
    "Warbler", "Finch", "Tanager", "Bunting", "Thrush", "Vireo", "Flycatcher",
)  # fmt: skip
_PRETRAINING_FAMILIES = (
    ("Sparrow", "Robin", "Chat", "Pipit", "Wren", "Martin", "Starling"),
    ("Cowbird", "Oriole", "Grosbeak", "Towhee", "Siskin", "Longspur", "Lark"),
)

Telling = Literal["crown", "bill", "bars", "body"]
"""A part that may tell the species."""
SMALL_PARTS: tuple[Telling, ...] = ("crown", "bill", "bars")
"""Those of a field guide: what tells the species by default."""

_MOST_BENCHMARK = 20
_MOST_PRETRAINING = 60


@dataclass(frozen=True)
class Species:
    """What all birds of one species share.

    Attributes:
        name: Unique name, valid in a file name (letters and underscores).
        crown: Color of the crown, RGB, 0 to 255.
        crest: Whether the crown rises to a crest.
        bill: Color of the bill, RGB, 0 to 255.
        bill_shape: One of "fine", "stout", "hooked" and "long".
        bar: Color of the wing bars, RGB, 0 to 255.
        bars: Number of wing bars, 1 or 2.
        body: Color of back, belly, wings and tail, RGB; None for muted ones of no species.
    """

    name: str
    crown: Color
    crest: bool
    bill: Color
    bill_shape: str
    bar: Color
    bars: int
    body: Color | None


def seen(species: Species, telling: Collection[Telling], rng: np.random.Generator) -> Species:
    """Returns what a bird of a species wears: parts that do not tell are those of any species.

    Numbers are taken from `rng` for the parts that do not tell alone, and no number depends on the
    species. A body that does not tell is None: its colors are muted and come with the plumage.

    Args:
        species: What the bird is.
        telling: The parts that tell it.
        rng: Where the other parts come from.
    """
    worn = species
    if "crown" not in telling:
        _, crown = _CROWNS[rng.integers(_HUES)]
        worn = replace(worn, crown=crown, crest=bool(rng.integers(2)))
    if "bill" not in telling:
        shape = _BILL_SHAPES[rng.integers(len(_BILL_SHAPES))]
        worn = replace(worn, bill=_BILLS[rng.integers(_HUES)], bill_shape=shape)
    if "bars" not in telling:
        worn = replace(worn, bar=_BARS[rng.integers(_HUES)], bars=1 + int(rng.integers(2)))
    return worn if "body" in telling else replace(worn, body=None)


def _species(index: int, families: Sequence[str], offset: int) -> Species:
    """Makes the species of one code word.

    A code word is (crown, bill, crown + 2 bill + offset) modulo the prime number of hues, so two
    words with the same offset differ in at least two places, and those of one block in all three;
    words with different offsets are never equal. The body's hue is crown + 4 bill, which adds a
    place in which the words of one block differ.
    """
    block, crown = divmod(index, _HUES)
    bill = (2 * crown + block) % _HUES
    bar = (crown + 2 * bill + offset) % _HUES
    crest = index % 2 == 0
    adjective, crown_color = _CROWNS[crown]
    return Species(
        name=f"{adjective}_{'crested' if crest else 'capped'}_{families[bill]}",
        crown=crown_color,
        crest=crest,
        bill=_BILLS[bill],
        bill_shape=_BILL_SHAPES[(index + block + offset) % len(_BILL_SHAPES)],
        bar=_BARS[bar],
        bars=1 + (crown + index // 2) % 2,
        body=_BODIES[(crown + 4 * bill) % _HUES],
    )


def benchmark_species(count: int) -> list[Species]:
    """Lists the species of the benchmark, always the same ones in the same order.

    Any two of them differ in the color of at least two of crown, bill and wing bars.

    Args:
        count: Number of species, 2 to 20.

    Raises:
        ValueError: If `count` is out of range.
    """
    if not 2 <= count <= _MOST_BENCHMARK:
        raise ValueError(f"count must be 2 to {_MOST_BENCHMARK}, got {count}")
    return [_species(index, _BENCHMARK_FAMILIES, 0) for index in range(count)]


def pretraining_species(count: int) -> list[Species]:
    """Lists species to pretrain on; none has the colors or the name of a benchmark species.

    Args:
        count: Number of species, 2 to 60.

    Raises:
        ValueError: If `count` is out of range.
    """
    if not 2 <= count <= _MOST_PRETRAINING:
        raise ValueError(f"count must be 2 to {_MOST_PRETRAINING}, got {count}")
    words = _HUES * _HUES
    return [
        _species(index % words, _PRETRAINING_FAMILIES[index // words], 1 + index // words)
        for index in range(count)
    ]
