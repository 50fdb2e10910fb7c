"""One map -> one row of sweep.parquet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spg.evaluate.metrics.boxes import Boxes, best_iou
from spg.evaluate.metrics.cam_code import first_boxes
from spg.evaluate.metrics.component_tree import Ints
from spg.evaluate.metrics.evaluator import Evaluator
from spg.evaluate.metrics.graph_cut import graph_cut_box
from spg.evaluate.metrics.maps import Map, localization_map
from spg.evaluate.metrics.normalization import Normalize
from spg.evaluate.metrics.pixels import IGNORED
from spg.evaluate.metrics.protocols import Protocol, Size
from spg.evaluate.metrics.rules import RANKS
from spg.evaluate.sweep.image import Image
from spg.project.plugins import find_plugin
from spg.project.schema.evaluation import GraphCutParams, SweepParams

Measure = Callable[[Map, Image], dict[str, float | None]]


def evaluator_of(rule: SweepParams) -> Evaluator:
    """Return the evaluator that params.yaml asks for."""
    return Evaluator.named(rule.protocol, rule.thresholds, rule.normalization, rule.percentiles)


def find_measures(names: Sequence[str]) -> list[Measure]:
    """Return the measures of maps that params.yaml names."""
    return [find_plugin("measure", name).measure for name in names]


def measure_map(
    raw_map: Map, image: Image, evaluator: Evaluator, measures: Sequence[Measure]
) -> dict[str, Any]:
    """Return a map's row without the columns of GraphCut.

    A map is resized once into the evaluator's frame and, where that is not the image itself, once
    more into the image, in which the CAM code's boxes and the measures are taken. All of it is done
    for each of the evaluator's normalizations, whose numbers lie behind each other.

    Args:
        raw_map: ``Float[h, w]``, any range.
        image: what is known of the image.
        evaluator: protocol, thresholds and normalizations.
        measures: of :func:`find_measures`.
    """
    parts = [
        _normalized(raw_map, image, evaluator, measures, normalize)
        for normalize in evaluator.normalizers
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    known = {"image_id": image.image_id, "split": image.split, "graph_cut_box": np.zeros(4)}
    return known | columns


def _normalized(
    raw_map: Map,
    image: Image,
    evaluator: Evaluator,
    measures: Sequence[Measure],
    normalize: Normalize,
) -> Mapping[str, NDArray[Any]]:
    """Return the columns that one normalization fills."""
    protocol = evaluator.protocol
    loc_map = protocol.loc_map(raw_map, image.size, normalize=normalize)
    same = protocol.loc_map is localization_map
    in_image = loc_map if same else localization_map(raw_map, image.size, normalize=normalize)
    sweep = evaluator.sweep(loc_map, image.boxes, image.size)
    cam_code = first_boxes(in_image, RANKS)
    found = {"iou": sweep.iou[0], "second_iou": sweep.iou[1], "iou_all": sweep.iou_all}
    found["cam_code_iou"] = best_iou(cam_code, image.boxes)
    if not len(image.boxes):
        found = {name: np.full_like(values, np.nan) for name, values in found.items()}
    pseudo = np.full_like(found["iou"], np.nan)
    if len(image.pseudo_boxes):
        pseudo = evaluator.sweep(loc_map, image.pseudo_boxes, image.size).iou[0]
    masks = (_values(image.object_mask, image.left_out), _values(image.part_mask, None))
    of_object, of_parts = (
        evaluator.no_pixels() if mask is None else evaluator.histogram(loc_map, mask)
        for mask in masks
    )
    measured: dict[str, float | None] = {}
    for measure in measures:
        measured |= measure(in_image, image)
    return {
        **found,
        "pseudo_iou": pseudo,
        "box": _unscaled(sweep.boxes[0], protocol, image.size).ravel(),
        "cam_code_box": cam_code[0],
        "pixels": np.concatenate([of_object, of_parts[1:]]).ravel(),
        **{name: np.array([value], dtype=np.float64) for name, value in measured.items()},
    }


def _values(
    mask: NDArray[np.bool_] | None, left_out: NDArray[np.bool_] | None
) -> NDArray[np.uint8] | None:
    """Return a mask as the evaluator wants it, ``uint8 [h, w]`` of 0, 1 and 255 (ignored)."""
    if mask is None:
        return None
    values = mask.astype(np.uint8)
    if left_out is not None:
        values[left_out] = IGNORED
    return values


def graph_cut_columns(
    raw_map: Map, pixels: NDArray[np.uint8], image: Image, rule: GraphCutParams
) -> dict[str, Any]:
    """Return the box of GraphCut and its IoU.

    Its colors come from quantiles of the map, which no normalization reorders: it takes min-max.

    Args:
        raw_map: ``Float[h, w]``, any range.
        pixels: ``uint8 [H, W, 3]``, of any size; the box is brought back to the original's.
        image: the image.
        rule: quantiles of the map.
    """
    size = np.array(pixels.shape[1::-1])
    box = graph_cut_box(
        pixels,
        localization_map(raw_map, (int(size[0]), int(size[1]))),
        background=rule.background,
        foreground=rule.foreground,
    )
    box = box * np.tile(np.array(image.size) / size, 2)
    iou = best_iou(box[None], image.boxes)[0] if len(image.boxes) else np.nan
    return {"graph_cut_iou": iou, "graph_cut_box": box}


def _unscaled(boxes: Ints, protocol: Protocol, size: Size) -> Boxes:
    """Return boxes of the protocol's frame in the image."""
    scale = np.array(size) / np.array(protocol.frame(size))
    unscaled: Boxes = boxes * np.array([*scale, *scale])
    return unscaled
