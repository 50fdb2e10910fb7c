"""Score anybody's maps: a folder of ``.npy`` files against a metadata folder of wsolevaluation.

Streaming: a map is read, measured at every threshold and forgotten. What is kept are counts, so
any number of maps needs the same memory and any number of processes gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from typing import Any, NamedTuple, TypeVar

import numpy as np
from tqdm import tqdm

from spg.data.images.decoding import same_shape
from spg.data.layouts.wsol_metadata import WsolImage
from spg.evaluate.image_errors import IOU_LEVELS, count_correct, max_box_acc, select_places
from spg.evaluate.metrics.boxes import Boxes, best_iou
from spg.evaluate.metrics.cam_code import first_boxes
from spg.evaluate.metrics.evaluator import MAPS_A_TASK, Evaluator
from spg.evaluate.metrics.maps import Map
from spg.evaluate.metrics.pixels import OBJECT, Counts, pixel_average_precision
from spg.evaluate.metrics.protocols import FloatArray, Size
from spg.evaluate.outcomes import box_outcome
from spg.project.errors import UserError
from spg.project.parallel import in_order
from spg.tools.scoring.images import Images, Source
from spg.tools.scoring.map_files import BadMapError, file_of, read_map
from spg.tools.scoring.object_masks import Mask, ObjectMask, read_object_mask

Result = TypeVar("Result")
IOU_THRESHOLD = 0.5
LARGEST, ALL = 0, 1  # rows of Tally.correct


class BadMap(NamedTuple):
    """A map that is missing or invalid; it counts as wrong at every threshold."""

    image_id: str
    reason: str


class Tally(NamedTuple):
    """Counts over some images; those of two sets add up."""

    images: int
    boxed: int
    """Images with a true box."""
    correct: Counts
    """``int64 [2, L, T]``: by rule (largest, all), IoU level and threshold."""
    cam_code: int
    """Images that the CAM code's first box finds, IoU >= 0.5."""
    histogram: Counts
    """``int64 [2, T + 2]``, of :func:`~spg.evaluate.metrics.pixels.pixel_histogram`."""
    objectless: int
    """Images without a pixel of an object in their masks."""
    full: int
    """Images without a pixel of the background in them."""
    misshapen: int
    """Images whose masks have another shape than the metadata state."""
    bad: tuple[BadMap, ...]

    @classmethod
    def sum(cls, tallies: Sequence[Tally], *, order: Sequence[str]) -> Tally:
        """Return the counts of all sets; bad maps in the order of these images."""
        total = reduce(cls.plus, tallies)
        places = {image_id: place for place, image_id in enumerate(order)}
        return total._replace(bad=tuple(sorted(total.bad, key=lambda bad: places[bad.image_id])))

    def plus(self, other: Tally) -> Tally:
        """Return the counts of both sets."""
        return Tally(
            self.images + other.images,
            self.boxed + other.boxed,
            self.correct + other.correct,
            self.cam_code + other.cam_code,
            self.histogram + other.histogram,
            self.objectless + other.objectless,
            self.full + other.full,
            self.misshapen + other.misshapen,
            self.bad + other.bad,
        )


def tally_maps(source: Source, images: Images, *, workers: int) -> Tally:
    """Count what every map finds at every threshold."""
    parts = _in_processes(partial(tally_some, source), images, workers, "score maps")
    return reduce(Tally.plus, parts, tally_some(source, []))


def tally_some(source: Source, images: Images) -> Tally:
    """Count what the maps of some images find, in this process."""
    evaluator = source.evaluator
    correct = np.zeros((2, len(IOU_LEVELS), len(evaluator.thresholds)), dtype=np.int64)
    histogram = evaluator.no_pixels()
    boxed, cam_code, objectless, full, misshapen, bad = 0, 0, 0, 0, 0, []
    for image in images:
        boxed += bool(image.boxes)
        loc_map, mask = None, _mask(source, image)
        try:
            loc_map = _loc_map(source, image, mask)
        except BadMapError as error:
            bad.append(BadMap(image.image_id, str(error)))
        if image.boxes and loc_map is not None:
            sweep = evaluator.sweep(loc_map, _boxes(image), _size(image))
            correct[LARGEST] += count_correct(sweep.iou[:1])
            correct[ALL] += count_correct(sweep.iou_all[None])
            cam_code += source.has_cam_code and _cam_code_finds(loc_map, _true_boxes(source, image))
        if mask is not None:
            objectless += not (mask.pixels == OBJECT).any()
            full += bool((mask.pixels == OBJECT).all())
            misshapen += image.size is not None and not same_shape(mask.stored, image.size)
            histogram += _pixels(evaluator, loc_map, mask.pixels)
    odd = (objectless, full, misshapen)
    return Tally(len(images), boxed, correct, cam_code, histogram, *odd, tuple(bad))


def choose_threshold(tally: Tally, source: Source) -> float:
    """Return the threshold with the lowest GT-known error on the maps of ``tally``."""
    return choose_pair([tally], source)[1]


def choose_pair(tallies: Sequence[Tally], source: Source) -> tuple[int, float]:
    """Return which of several tallies, and which threshold, has the lowest GT-known error.

    Args:
        tallies: of the same maps, one for each percentile of a normalization.
        source: where they came from.
    """
    errors = np.concatenate([1 - _gt_known_acc(tally) for tally in tallies])
    place = int(select_places(errors[None], curves=len(tallies))[0])
    way, step = divmod(place, len(source.thresholds))
    return way, float(source.thresholds[step])


def summarize(tally: Tally, source: Source, *, threshold: float, kind: str) -> dict[str, Any]:
    """Return every number; fractions throughout, ``None`` where the truth for it is missing.

    Args:
        tally: of the whole set.
        source: where it came from.
        threshold: at which the GT-known error is taken.
        kind: how ``threshold`` was found: fixed, selected or oracle.
    """
    thresholds = source.thresholds
    largest = max_box_acc(tally.correct[LARGEST], tally.images)
    every = max_box_acc(tally.correct[ALL], tally.images)
    place = grid_index(threshold, thresholds)
    numbers: dict[str, Any] = {
        "threshold_kind": kind,
        "map_threshold": float(thresholds[place]),
        "gt_known_loc_err": float(1 - _gt_known_acc(tally)[place]),
        "gt_known_loc_err_cam_code": 1 - tally.cam_code / tally.images,
        "max_box_acc": float(largest[IOU_LEVELS.index(IOU_THRESHOLD)]),
        "max_box_acc_at": _by_level(largest),
        "max_box_acc_v2": float(every.mean()),
        "max_box_acc_v2_at": _by_level(every),
    }
    if not source.has_cam_code:
        numbers["gt_known_loc_err_cam_code"] = None
    if not tally.boxed:
        numbers = dict.fromkeys(numbers)
    return {
        "protocol": source.protocol_name,
        "normalization": source.normalization,
        "percentile": source.percentile,
        "images": tally.images,
        "thresholds": len(thresholds),
        "step": 1 / source.steps,
        **numbers,
        "px_ap": pixel_average_precision(tally.histogram),
        "bad_maps": [bad._asdict() for bad in tally.bad],
    }


def image_rows(
    source: Source, images: Images, *, threshold: float, workers: int
) -> Iterator[dict[str, Any]]:
    """Yield one row an image: what its map finds at ``threshold``, or what is wrong with it."""
    run = partial(_rows, source, threshold)
    for rows in _in_processes(run, images, workers, "look at images"):
        yield from rows


def grid_index(threshold: float, thresholds: FloatArray) -> int:
    """Return the place of ``threshold`` among the measured ones.

    Raises:
        UserError: when it is not one of them.
    """
    place = int(np.abs(thresholds - threshold).argmin())
    if not abs(thresholds[place] - threshold) <= 1e-9:  # NaN is none of them
        first, last = thresholds[0], thresholds[-1]
        raise UserError(
            f"--threshold {threshold:g}: not one of {first:g}, {thresholds[1]:g} ... {last:g}"
        )
    return place


def _rows(source: Source, threshold: float, images: Images) -> list[dict[str, Any]]:
    return [_row(source, threshold, image) for image in images]


def _row(source: Source, threshold: float, image: WsolImage) -> dict[str, Any]:
    row: dict[str, Any] = {"image_id": image.image_id, "map": "ok", "outcome": None}
    row |= dict.fromkeys(("iou", "iou_all", "x1", "y1", "x2", "y2"))
    try:
        loc_map = _loc_map(source, image, None)
    except BadMapError as error:
        return row | {"map": str(error), "outcome": "bad map"}
    if not image.boxes:
        return row
    evaluator = source.evaluator._replace(thresholds=np.array([threshold]))
    sweep = evaluator.sweep(loc_map, _boxes(image), _size(image))
    true_boxes = _true_boxes(source, image)
    box, iou = sweep.boxes[0, 0], float(sweep.iou[0, 0])
    name = box_outcome(box.astype(np.float64), true_boxes, iou, iou_threshold=IOU_THRESHOLD)
    corners = dict(zip(("x1", "y1", "x2", "y2"), box.tolist(), strict=True))
    return row | {"outcome": name, "iou": iou, "iou_all": float(sweep.iou_all[0]), **corners}


def _loc_map(source: Source, image: WsolImage, mask: ObjectMask | None) -> Map:
    """Read an image's map into the protocol's frame, which may be the mask's (OpenImages)."""
    protocol, normalize = source.protocol, source.evaluator.normalizers[0]
    path = file_of(source.maps, image.image_id, ".npy")
    if protocol.side:
        whole = (protocol.side, protocol.side)
        stored = read_map(path, shape=whole, finished=source.finished)
        return stored if source.finished else normalize(stored)
    stored = read_map(path)
    height, width = stored.shape if mask is None else mask.pixels.shape
    return protocol.loc_map(stored, image.size or (width, height), normalize=normalize)


def _boxes(image: WsolImage) -> Boxes:
    return np.array(image.boxes, dtype=np.float64)


def _size(image: WsolImage) -> Size:
    assert image.size is not None  # read_images has seen to it
    return image.size


def _true_boxes(source: Source, image: WsolImage) -> Boxes:
    """Return the image's boxes in the protocol's frame."""
    return source.protocol.true_boxes(_boxes(image), _size(image))


def _cam_code_finds(loc_map: Map, boxes: Boxes) -> bool:
    """Return whether the CAM code's first box is right; its maps have the image's own size."""
    return bool(best_iou(first_boxes(loc_map, 1), boxes)[0] >= IOU_THRESHOLD)


def _mask(source: Source, image: WsolImage) -> ObjectMask | None:
    """Return an image's mask in the protocol's frame, or ``None`` where no masks are given."""
    if source.masks is None:
        return None
    files = [source.masks / name for name in image.masks]
    files = files or [file_of(source.masks, image.image_id, ".png")]
    ignore = source.masks / image.ignore if image.ignore else None
    side = source.protocol.side
    return read_object_mask(files, ignore, (side, side) if side else image.size)


def _pixels(evaluator: Evaluator, loc_map: Map | None, mask: Mask) -> Counts:
    """Return the histogram of a map; a bad one finds no pixel."""
    if loc_map is None:
        loc_map = np.zeros(mask.shape, dtype=np.float32)
    return evaluator.histogram(loc_map, mask)


def _gt_known_acc(tally: Tally) -> FloatArray:
    level = IOU_LEVELS.index(IOU_THRESHOLD)
    accuracies: FloatArray = tally.correct[LARGEST, level] / tally.images
    return accuracies


def _by_level(values: FloatArray) -> dict[str, float]:
    return {f"{level:g}": float(value) for level, value in zip(IOU_LEVELS, values, strict=True)}


def _in_processes(
    run: Callable[[Images], Result], images: Images, workers: int, title: str
) -> Iterator[Result]:
    """Yield ``run`` of some images after the other, in order."""
    tasks = [images[at : at + MAPS_A_TASK] for at in range(0, len(images), MAPS_A_TASK)]
    with tqdm(total=len(images), desc=title, unit="map") as progress:
        for task, result in zip(tasks, in_order(run, tasks, workers=workers), strict=True):
            progress.update(len(task))
            yield result
