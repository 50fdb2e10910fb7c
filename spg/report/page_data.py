"""What the page's gallery shows, as data: pictures, maps, boxes, outcomes of test images."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.compare.variants import Grid, Variant
from spg.data.images.manifest import TEST, boxes_of, read_manifest, spread
from spg.data.images.packed import PackedImages
from spg.data.results.tables import read_maps, read_table
from spg.evaluate.metrics.maps import Map
from spg.evaluate.metrics.normalization import Normalize, min_max, normalizers
from spg.project.workspace import Cell, Workspace
from spg.report.names import variant_name

IMAGES = 120  # at most, so that the page stays a few megabytes
SIDE = 160  # longer side of the pictures, pixels
QUALITY = 80  # of their JPEG
MAP_SIDE = 64  # longer side of the maps in the page; larger ones are shrunk by area
LEVELS = 255


def gallery_data(
    workspace: Workspace, dataset: str, rows: Grid, normalization: str
) -> dict[str, Any]:
    """Return the gallery: test images spread over the split, every variant's first seed.

    Pictures and maps are base64; maps are quantized to 8 bits between their own extremes, row after
    row, image after image, or, where ``sweep.normalization`` is another than min-max, normalized
    and quantized between 0 and 1. Boxes are half-open fractions of the image's width and height.
    """
    manifest = read_manifest(workspace.packed(dataset) / "manifest.parquet")
    packed = PackedImages(workspace.packed(dataset))
    shown = manifest.loc[spread(np.flatnonzero(manifest["split"] == TEST), IMAGES)]
    classes = dict(zip(manifest["class_id"], manifest["class_name"], strict=True))
    variants = [
        _variant_data(
            workspace, cells[0], variant, shown["image_id"].tolist(), classes, normalization
        )
        for variant, cells in rows.items()
    ]
    return {
        "images": [
            _image_data(packed, int(place), row)
            for place, row in zip(shown.index, shown.to_dict("records"), strict=True)
        ],
        "variants": variants,
        "minMax": normalization == "min_max",
        "total": int((manifest["split"] == TEST).sum()),
    }


def quantize(raw_map: Map, normalize: Normalize = min_max) -> NDArray[np.uint8]:
    """Return a map as 8 bits between 0 and 1, at most `MAP_SIDE` wide and high.

    A constant map, and one with NaN or infinity, becomes zeros, as in the evaluation (PROTOCOL 3).

    Args:
        raw_map: ``Float[h, w]``, any range.
        normalize: how it is brought to [0, 1].
    """
    if not np.isfinite(raw_map).all():
        raw_map = np.zeros_like(raw_map)
    height, width = raw_map.shape
    scale = MAP_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        raw_map = cv2.resize(raw_map, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    levels = np.rint(normalize(raw_map.astype(np.float64)) * LEVELS)
    return np.asarray(levels, dtype=np.uint8)


def picture(image: NDArray[np.uint8]) -> tuple[str, tuple[int, int]]:
    """Return an RGB image as a JPEG data URI and its size, longer side at most `SIDE`."""
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )[1]
    return f"data:image/jpeg;base64,{_base64(encoded.tobytes())}", size


def _image_data(packed: PackedImages, place: int, row: dict[str, Any]) -> dict[str, Any]:
    source, size = picture(packed.image(place))
    boxes = boxes_of(row["boxes"]) / np.array([row["width"], row["height"]] * 2)
    return {
        "id": row["image_id"],
        "class": row["class_name"],
        "src": source,
        "size": list(size),
        "boxes": boxes.round(5).tolist(),
    }


def _variant_data(
    workspace: Workspace,
    cell: Cell,
    variant: Variant,
    image_ids: list[str],
    classes: dict[int, str],
    normalization: str,
) -> dict[str, Any]:
    table = read_table(workspace.evaluation(cell) / "per_image.parquet")
    own = table[table["extractor"] == variant.extractor].set_index("image_id").loc[image_ids]
    maps = read_maps(workspace.maps(cell) / f"{variant.extractor}.npy")
    order = read_table(workspace.maps(cell) / "scores.parquet")["image_id"]
    places = pd.Series(np.arange(len(order)), index=order).loc[image_ids]
    ways = [normalizers(normalization, [own_one])[0] for own_one in own["percentile_selected"]]
    small = np.stack(
        [quantize(np.asarray(maps[place]), way) for place, way in zip(places, ways, strict=True)]
    )
    return {
        "name": variant_name(variant._asdict()),
        "backbone": variant.backbone,
        "method": variant.method,
        "thresholds": own["map_threshold_selected"].round(6).tolist(),
        "mapSize": [int(small.shape[2]), int(small.shape[1])],
        "maps": _base64(small.tobytes()),
        "iou": [None if np.isnan(iou) else round(iou, 4) for iou in own["iou_selected"]],
        "outcome": own["outcome_selected"].tolist(),
        "guess": [classes[guess] for guess in own["top1"]],
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
