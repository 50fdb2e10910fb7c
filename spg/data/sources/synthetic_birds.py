"""The default data set: drawn by the project, in the archive layout of CUB-200-2011.

What tells the classes apart sits in the parts that ``source.telling`` names, by default small ones
(crown, bill, wing bars); see spg/data/birds.
Besides CUB's files it has ``part_segmentations/``: the masks of those telling parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike
from tqdm import tqdm

from spg.data.birds.flock import Bird, draw_flock
from spg.data.birds.species import Species, benchmark_species
from spg.data.datasets.synthetic_birds import Source
from spg.project.files import whole_folder, write_text
from spg.project.workspace import Workspace

JPEG_QUALITY = 92


def fetch(workspace: Workspace, dataset: str, source: Source) -> None:
    """Draw the data set ``dataset`` into its raw folder."""
    species = benchmark_species(source.classes)
    per_class = source.train_per_class + source.test_per_class
    flock = draw_flock(
        species, per_class, seed=source.seed, side=source.side, telling=source.telling
    )
    progress = tqdm(flock, total=per_class * len(species), desc="draw birds", unit="image")
    with whole_folder(workspace.raw(dataset)) as folder:
        write_archive(folder, species, progress, train_per_class=source.train_per_class)


def write_archive(
    folder: Path, species: list[Species], birds: Iterable[Bird], *, train_per_class: int
) -> None:
    """Write birds as CUB-200-2011 does: five text files, images/ and segmentations/."""
    classes = [f"{index + 1:03d}.{kind.name}" for index, kind in enumerate(species)]
    tables: dict[str, list[str]] = {
        "images": [], "image_class_labels": [], "train_test_split": [], "bounding_boxes": []
    }  # fmt: skip
    for image_id, bird in enumerate(birds, start=1):
        name = f"{species[bird.class_index].name}_{bird.number + 1:04d}"
        relative = f"{classes[bird.class_index]}/{name}"
        _write_images(folder, relative, bird)
        x, y, w, h = cv2.boundingRect(bird.scene.object_mask.astype(np.uint8))
        tables["images"].append(f"{image_id} {relative}.jpg")
        tables["image_class_labels"].append(f"{image_id} {bird.class_index + 1}")
        tables["train_test_split"].append(f"{image_id} {int(bird.number < train_per_class)}")
        tables["bounding_boxes"].append(f"{image_id} {x:.1f} {y:.1f} {w:.1f} {h:.1f}")
    tables["classes"] = [f"{index + 1} {name}" for index, name in enumerate(classes)]
    for table, lines in tables.items():
        write_text(folder / f"{table}.txt", "\n".join(lines) + "\n")


def _write_images(folder: Path, relative: str, bird: Bird) -> None:
    image = cv2.cvtColor(bird.scene.image, cv2.COLOR_RGB2BGR)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _write_image(folder / "images" / f"{relative}.jpg", image, quality)
    for kind, mask in (
        ("segmentations", bird.scene.object_mask),
        ("part_segmentations", bird.scene.part_mask),
    ):
        _write_image(folder / kind / f"{relative}.png", mask.astype(np.uint8) * 255, [])


def _write_image(path: Path, image: MatLike, options: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, encoded = cv2.imencode(path.suffix, image, options)
    path.write_bytes(encoded.tobytes())
