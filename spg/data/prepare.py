"""Raw archive -> packed images and manifest.parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from spg.config import Params, PrepareParams
from spg.data.cub import Annotation, image_path, mask_path, read_annotations
from spg.data.manifest import TEST, TRAIN_FULLSUP, TRAIN_WEAKSUP, write_manifest
from spg.data.pack import EncodedImage, write_shards
from spg.errors import UserError
from spg.files import whole_folder
from spg.seeding import generator
from spg.workspace import Workspace


def prepare(workspace: Workspace, params: Params, dataset: str) -> None:
    """Pack the raw archive of ``dataset`` and split its training images."""
    root = workspace.raw(dataset)
    annotations = read_annotations(root)
    splits = split_images(annotations, params.datasets[dataset].prepare)
    sizes: list[tuple[int, int]] = []
    progress = tqdm(annotations, desc="pack images", unit="image")
    with whole_folder(workspace.packed(dataset)) as folder:
        write_shards(folder, _encode(root, progress, sizes))
        write_manifest(folder / "manifest.parquet", _rows(annotations, splits, sizes))


def split_images(annotations: list[Annotation], prepare: PrepareParams) -> list[str]:
    """Return the split of each image.

    ``holdout_per_class`` training images of each class become ``train_fullsup``, on which
    thresholds may be chosen (PROTOCOL 10); the others are ``train_weaksup``.
    """
    splits = [TRAIN_WEAKSUP if item.is_train else TEST for item in annotations]
    for class_id in sorted({item.class_id for item in annotations}):
        members = [
            index
            for index, item in enumerate(annotations)
            if item.class_id == class_id and item.is_train
        ]
        if len(members) <= prepare.holdout_per_class:
            raise UserError(
                f"params.yaml: prepare.holdout_per_class {prepare.holdout_per_class} leaves no "
                f"training image of class {class_id}, which has {len(members)}"
            )
        stream = generator(prepare.seed, "holdout", class_id)
        for index in stream.choice(members, prepare.holdout_per_class, replace=False):
            splits[index] = TRAIN_FULLSUP
    return splits


def _encode(
    root: Path, annotations: Iterable[Annotation], sizes: list[tuple[int, int]]
) -> Iterator[EncodedImage]:
    for item in annotations:
        path = image_path(root, item.path)
        encoded = _read_bytes(path)
        if encoded is None:
            raise UserError(f"{path}: no such image, but images.txt names it")
        image = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise UserError(f"{path}: cannot be decoded as an image")
        sizes.append((image.shape[1], image.shape[0]))
        masks = (mask_path(root, k, item.path) for k in ("segmentations", "part_segmentations"))
        yield EncodedImage(encoded, *(_read_bytes(mask) for mask in masks))


def _read_bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _rows(
    annotations: list[Annotation], splits: list[str], sizes: list[tuple[int, int]]
) -> pd.DataFrame:
    rows = zip(annotations, splits, sizes, strict=True)
    return pd.DataFrame(
        {
            "image_id": item.image_id,
            "path": item.path,
            "class_id": item.class_id,
            "class_name": item.class_name,
            "split": split,
            "width": width,
            "height": height,
            "boxes": [list(item.box)],
        }
        for item, split, (width, height) in rows
    )
