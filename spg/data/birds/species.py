"""The species of the synthetic birds: what tells them apart, and nothing else.

A species fixes the colors of three small parts (crown, bill, wing bars), the shape of the bill, the
number of the bars and whether there is a crest. Everything else about a bird varies inside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
    """

    name: str
    crown: Color
    crest: bool
    bill: Color
    bill_shape: str
    bar: Color
    bars: int


def _species(index: int, families: Sequence[str], offset: int) -> Species:
    """Makes the species of one code word.

    A code word is (crown, bill, crown + 2 bill + offset) modulo the prime number of hues, so two
    words with the same offset differ in at least two places, and those of one block in all three;
    words with different offsets are never equal.
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
