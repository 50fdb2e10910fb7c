"""Raw archive -> packed images and manifest.parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from spg.config import Params
from spg.data.annotations import Annotation
from spg.data.cub import read_annotations
from spg.data.manifest import write_manifest
from spg.data.pack import EncodedImage, write_shards
from spg.data.raw import read_image
from spg.data.splits import split_images
from spg.errors import UserError
from spg.files import whole_folder
from spg.workspace import Workspace


def prepare(workspace: Workspace, params: Params, dataset: str) -> None:
    """Pack the raw archive of ``dataset`` and split its training images."""
    root = workspace.raw(dataset)
    annotations = read_annotations(root)
    rule = params.datasets[dataset].prepare
    splits = split_images(
        annotations, per_class=rule.holdout_per_class, taken_from="train", seed=rule.seed
    )
    sizes: list[tuple[int, int]] = []
    progress = tqdm(annotations, desc="pack images", unit="image")
    with whole_folder(workspace.packed(dataset)) as folder:
        write_shards(folder, _encode(root, progress, sizes))
        write_manifest(folder / "manifest.parquet", _rows(annotations, splits, sizes))


def _encode(
    root: Path, annotations: Iterable[Annotation], sizes: list[tuple[int, int]]
) -> Iterator[EncodedImage]:
    for item in annotations:
        encoded = read_image(root, item.file)
        image = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise UserError(f"{root / item.file}: cannot be decoded as an image")
        sizes.append((image.shape[1], image.shape[0]))
        masks = (item.object_mask, item.part_mask)
        yield EncodedImage(
            encoded, *(None if mask is None else read_image(root, mask) for mask in masks)
        )


def _rows(
    annotations: list[Annotation], splits: list[str], sizes: list[tuple[int, int]]
) -> pd.DataFrame:
    rows = zip(annotations, splits, sizes, strict=True)
    return pd.DataFrame(
        {
            "image_id": number,
            "path": item.image_id,
            "class_id": item.class_id,
            "class_name": item.class_name,
            "split": split,
            "width": width,
            "height": height,
            "boxes": [list(box) for box in item.boxes],
        }
        for number, (item, split, (width, height)) in enumerate(rows, start=1)
    )
