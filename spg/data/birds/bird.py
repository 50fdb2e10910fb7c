"""The shape of one bird: a pose, and the outlines of its parts in drawing order.

Lengths are in body lengths. A bird is laid out facing right, x to the right and y down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from spg.data.birds.background import Points
from spg.data.birds.species import BILLS, Bill, Species

Places = NDArray[np.floating[Any]]


class Pose(NamedTuple):
    """Ranges, in degrees, from which a pose is drawn; positive angles turn the front down."""

    tilt: tuple[float, float]
    pitch: tuple[float, float]
    share: float


POSES = {
    "upright": Pose(tilt=(-68.0, -35.0), pitch=(-15.0, 15.0), share=0.3),
    "level": Pose(tilt=(-28.0, 2.0), pitch=(-15.0, 20.0), share=0.3),
    "foraging": Pose(tilt=(8.0, 38.0), pitch=(25.0, 60.0), share=0.2),
    "flying": Pose(tilt=(-30.0, 15.0), pitch=(-15.0, 12.0), share=0.2),
}


SPECIES_ROLES = ("crown", "bill", "bar")  # whose shape depends on the species
_TURNED_HEAD_SHARE = 0.12
_BAR_STARTS = (0.27, 0.46)
_BAR_WIDTH = 0.08
# Room kept for crest and bill around the head, in head radii: the same for every species, so that
# neither the size nor the place of a bird depends on it.
_HEAD_ROOM = 1.6


class Part(NamedTuple):
    """One thing to draw.

    Attributes:
        role: What it is, a key of the plumage.
        points: Outline or line, [N, 2].
        stroke: Thickness of a line; 0 for a filled outline.
    """

    role: str
    points: Points
    stroke: float = 0.0


class Bird(NamedTuple):
    """The shape of one bird.

    Attributes:
        pose: Name of the pose.
        parts: What to draw, in drawing order.
        frame: Points that span the room the bird needs, [N, 2].
        feet: The points where it stands, [2, 2]; [0, 2] in flight.
        tilt: Angle of the body in radians.
    """

    pose: str
    parts: tuple[Part, ...]
    frame: Points
    feet: Points
    tilt: float

    def mapped(self, linear: Points, shift: Points) -> Bird:
        """Returns the bird scaled, perhaps mirrored, and moved: `points @ linear.T + shift`."""
        scale = float(np.sqrt(abs(np.linalg.det(linear))))
        parts = tuple(
            Part(role, points @ linear.T + shift, stroke * scale)
            for role, points, stroke in self.parts
        )
        tilt = self.tilt if linear[0, 0] > 0 else -self.tilt
        return Bird(
            self.pose, parts, self.frame @ linear.T + shift, self.feet @ linear.T + shift, tilt
        )


def ellipse(x: float, y: float, radius_x: float, radius_y: float, *, corners: int = 28) -> Points:
    """Returns the outline of an ellipse, [corners, 2]."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)], axis=1)


def rotation(angle: float) -> Points:
    """Returns the [2, 2] matrix that turns points by `angle` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _hull(*outlines: Points) -> Points:
    points = np.concatenate(outlines).astype(np.float32)
    return cv2.convexHull(points)[:, 0].astype(np.float64)


def sample_bird(species: Species, rng: np.random.Generator) -> Bird:
    """Draws the shape of a bird: pose and proportions from `rng`, telling parts by species.

    The numbers taken from `rng` do not depend on the species.
    """
    name = str(rng.choice(list(POSES), p=[pose.share for pose in POSES.values()]))
    pose = POSES[name]
    tilt, pitch = np.radians(rng.uniform(*pose.tilt)), np.radians(rng.uniform(*pose.pitch))
    depth, radius = rng.uniform(0.23, 0.31), rng.uniform(0.19, 0.235)
    center = np.array([rng.uniform(0.42, 0.5), -rng.uniform(0.55, 0.8) * depth])
    turned = rng.random() < _TURNED_HEAD_SHARE and name in ("upright", "level")
    turn = rotation(tilt).T @ rotation(pitch) @ np.diag([-1.0 if turned else 1.0, 1.0]) * radius

    def head(points: Points) -> Points:
        placed: Points = points @ turn.T + center
        return placed

    back, front = _wings(species, rng, flying=name == "flying")
    hips = np.array([[-0.06, 0.8 * depth], [0.07, 0.8 * depth]]) @ rotation(tilt).T
    parts = [*back, _tail(rng), *_body(head, depth, rng), *front, *_head(species, head, rng)]
    body = [part._replace(points=part.points @ rotation(tilt).T) for part in parts]
    feet = hips + np.array([-0.02, rng.uniform(0.2, 0.32)])
    feet[:, 1] = feet[:, 1].max()
    legs = [Part("leg", leg, 0.028) for leg in np.stack([hips, feet], axis=1)]
    room = head(ellipse(0, 0, _HEAD_ROOM, _HEAD_ROOM)) @ rotation(tilt).T
    fixed = [part.points for part in body if part.role not in SPECIES_ROLES]
    frame = np.concatenate([room, *fixed])
    if name == "flying":
        return Bird(name, tuple(body), frame, feet[:0], tilt)
    return Bird(name, (*legs, *body), frame, feet, tilt)


def _tail(rng: np.random.Generator) -> Part:
    length, width = rng.uniform(0.35, 0.7), rng.uniform(0.06, 0.1)
    notch, flare = rng.uniform(-0.06, 0.08), rng.uniform(1.0, 1.6)
    upper = np.array([[0.12, -width], [-length, -width * flare], [-length + notch, 0.0]])
    outline = np.concatenate([upper, upper[1::-1] * [1, -1]])
    return Part("tail", outline @ rotation(np.radians(rng.uniform(-22, 12))).T + [-0.4, -0.03])


def _body(head: Callable[[Points], Points], depth: float, rng: np.random.Generator) -> list[Part]:
    egg = ellipse(0, 0, 0.5, depth)
    egg[:, 1] *= 1 + 0.24 * egg[:, 0]
    chest = ellipse(0.2, 0, 0.98 * depth, 0.98 * depth)
    throat = head(ellipse(0.12, 0.42, 0.52, 0.52))
    belly = ellipse(0.02, 0.3 * depth, 0.42, 0.66 * depth)
    breast = ellipse(0.23, 0.2 * depth, 0.75 * depth, 0.75 * depth)
    return [
        Part("back", egg),
        Part("back", _hull(head(ellipse(0, 0, 0.97, 0.97)), chest)),
        Part("belly", belly),
        Part("belly", _hull(throat, breast)),
        *_streaks(depth, rng),
    ]


def _streaks(depth: float, rng: np.random.Generator) -> list[Part]:
    """Marks on the belly: none, lengthwise streaks, spots or cross bars."""
    kind, count = rng.integers(4), int(rng.integers(8, 22))
    middles = rng.uniform(-0.85, 0.85, (count, 2)) * [0.36, 0.5 * depth] + [0.06, 0.35 * depth]
    step = np.array([[0.0, 0.0], [0.06, 0.012], [0.004, 0.0], [0.008, 0.05]])[kind]
    width = rng.uniform(0.012, 0.028)
    marks = np.stack([middles - step / 2, middles + step / 2], axis=1)
    return [Part("streak", mark, width) for mark in marks] if kind else []


def _wings(
    species: Species, rng: np.random.Generator, *, flying: bool
) -> tuple[list[Part], list[Part]]:
    """Returns what of the wings is behind the body, and what is before it."""
    if not flying:
        heading = np.radians(180 + rng.uniform(-14, 10))
        axis = rng.uniform(0.72, 0.88) * np.array([np.cos(heading), np.sin(heading)])
        return [], _wing(species, np.array([0.27, -0.05]), axis, (0.1, 0.19), lines=5)
    raised = rng.random() < 0.7
    heading = np.radians(rng.uniform(-150, -95) if raised else rng.uniform(110, 150))
    axis = rng.uniform(0.8, 1.1) * np.array([np.cos(heading), np.sin(heading)])
    far = rotation(np.radians(rng.uniform(18, 38) * (1 if raised else -1))) @ axis * 0.92
    widths = (0.1, 0.4) if raised else (0.4, 0.1)
    outline = _wing_outline(np.array([0.12, -0.06]), far, widths)
    return [Part("far_wing", outline)], _wing(
        species, np.array([0.1, -0.02]), axis, widths, lines=8
    )


def _wing_points(
    root: Points, axis: Points, widths: tuple[float, float], along: Places, across: Places
) -> Points:
    """Maps places on a wing, `along` 0 to 1 from root to tip and `across` -1 to 1, to points."""
    normal = np.array([axis[1], -axis[0]]) / np.linalg.norm(axis)
    width = np.sin(np.pi * np.clip(along, 0, 1) ** 0.62) ** 0.75
    width = width * np.where(across < 0, widths[0], widths[1]) * across
    points: Points = root + along[:, None] * axis + width[:, None] * normal
    return points


def _wing_outline(root: Points, axis: Points, widths: tuple[float, float]) -> Points:
    along = np.linspace(0, 1, 16)
    along = np.concatenate([along, along[::-1]])
    return _wing_points(root, axis, widths, along, np.repeat([-1.0, 1.0], 16))


def _wing(
    species: Species, root: Points, axis: Points, widths: tuple[float, float], *, lines: int
) -> list[Part]:
    parts = [Part("wing", _wing_outline(root, axis, widths))]
    for across in np.linspace(-0.75, 0.85, lines):
        along = np.linspace(0.4, 0.94, 6)
        line = _wing_points(root, axis, widths, along, np.full(6, across))
        parts.append(Part("feather", line, 0.012))
    across = np.linspace(-0.92, 0.92, 9)
    bulge = 0.07 * (1 - across**2)
    for start in _BAR_STARTS[: species.bars]:
        along = np.concatenate([start + bulge, (start + bulge + _BAR_WIDTH)[::-1]])
        edges = np.concatenate([across, across[::-1]])
        parts.append(Part("bar", _wing_points(root, axis, widths, along, edges)))
    return parts


def _head(
    species: Species, head: Callable[[Points], Points], rng: np.random.Generator
) -> list[Part]:
    angle = np.radians(np.linspace(-18, -170, 14))
    top = 1.04 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.array([[-0.66, -0.32], [0.0, -0.42], [0.5, -0.43]])
    crest = np.array([[0.2, -0.98], [-0.6, -1.28], [-1.2, -1.32], [-0.9, -0.4]])
    parts = [
        Part("back", head(ellipse(0, 0, 1, 1))),
        Part("belly", head(ellipse(0.12, 0.5, 0.52, 0.45))),
        Part("bill", head(_bill(BILLS[species.bill_shape]))),
        *([Part("crown", head(crest))] if species.crest else []),
        Part("crown", head(np.concatenate([top, lower]))),
    ]
    ring = [Part("eye_ring", head(ellipse(0.42, -0.08, 0.21, 0.21)))] * (rng.random() < 0.3)
    eye = Part("eye", head(ellipse(0.42, -0.08, 0.15, 0.15)))
    return [*parts, *ring, eye, Part("glint", head(ellipse(0.47, -0.13, 0.05, 0.05, corners=8)))]


def _bill(bill: Bill) -> Points:
    along = np.linspace(0, 1, 7)
    sink = bill.droop * along**2.5
    upper = np.stack([0.88 + bill.length * along, -bill.depth * (1 - along**1.6) + sink], axis=1)
    lower = np.stack([0.88 + bill.length * along, bill.depth * (1 - along) * 0.8 + sink], axis=1)
    return np.concatenate([upper, lower[::-1]])
