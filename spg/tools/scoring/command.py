"""The command ``spg score``: from its options to a printed summary, a JSON file and a table."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from spg.data.layouts.doubts import doubts
from spg.evaluate.metrics.normalization import IVR
from spg.project.errors import UserError, first_few
from spg.project.files import whole_file, write_json
from spg.tools.scoring.beside import as_text, beside, own_images, read_project
from spg.tools.scoring.guesses import Guesses, classified, grouped, has_five, read_guesses
from spg.tools.scoring.images import Images, Source, read_images
from spg.tools.scoring.tally import (
    BadMap,
    Tally,
    choose_pair,
    choose_threshold,
    grid_index,
    image_rows,
    summarize,
    tally_maps,
)

ROWS_A_BATCH = 4096
MOST_STEPS = 1000  # so that three digits show every threshold
PERCENTILES = tuple(step / 10 for step in range(1, 10))
"""Among which --select-on chooses that of ``ivr``, as ``sweep.percentiles`` of params.yaml."""

CLASSIFIED = {
    "top1_loc_err": "Top-1 localization error    ",
    "top5_loc_err": "Top-5 localization error    ",
    "top1_cls_err": "Top-1 classification error  ",
    "top5_cls_err": "Top-5 classification error  ",
}

log = logging.getLogger(__name__)

ROW_SCHEMA = pa.schema(
    {
        "image_id": pa.string(),
        "map": pa.string(),  # ok, or what is wrong with it
        "outcome": pa.string(),  # of the box alone, where no guessed classes are given
        "top1": pa.int64(),  # the class guessed first, where they are
        "iou": pa.float64(),  # rule `largest`
        "iou_all": pa.float64(),  # rule `all`
        "x1": pa.int64(),  # the box of `largest`, half-open, in the protocol's frame
        "y1": pa.int64(),
        "x2": pa.int64(),
        "y2": pa.int64(),
    }
)


class ScoreOptions(NamedTuple):
    """What a user may ask for; the help of ``spg score`` describes each."""

    maps: Path
    metadata: Path
    masks: Path | None
    protocol: str
    step: float
    normalization: str | None
    percentile: float | None
    threshold: float | None
    select_on: tuple[Path, Path] | None
    scores: Path | None
    report: str | None
    table: Path | None
    json_file: Path | None
    workers: int


def run_score(options: ScoreOptions, echo: Callable[[str], None]) -> None:
    """Score a folder of maps; ``echo`` the summary and write what else was asked for.

    Raises:
        UserError: when the input cannot be scored; and after everything is written, when there
            are missing or invalid maps.
    """
    source = Source(
        options.maps, options.masks, options.protocol, steps_of(options.step),
        options.normalization, options.percentile,
    )  # fmt: skip
    _check(options, source)
    images = read_images(options.metadata, source)
    asked = options.report
    project = read_project(source, asked, options.threshold) if asked else None
    if project is not None:
        images = own_images(project, images)
    _check_boxes(options, images)
    guesses = read_guesses(options.scores, images) if options.scores else None
    threshold, kind = options.threshold, "fixed"
    if options.select_on:
        source, threshold = _select(options.select_on, options, source)
        kind = "selected"
    tallies = _tallies(source, images, guesses, workers=options.workers)
    tally = Tally.sum(tallies, order=[image.image_id for image in images])
    if threshold is None:
        threshold, kind = choose_threshold(tally, source), "oracle"
    threshold = float(source.thresholds[grid_index(threshold, source.thresholds)])
    sized = [(image.boxes, image.size) for image in images if image.size]
    warnings = [*doubts(sized), *_mask_doubts(options, tally)]
    numbers = summarize(tally, source, threshold=threshold, kind=kind) | {"warnings": warnings}
    if guesses is not None:
        numbers |= classified(tallies, source, threshold=threshold, five=has_five(guesses))
    rows = partial(image_rows, source, images, threshold=threshold, workers=options.workers)
    text = _text(numbers)
    if project is not None:
        table = beside(project, list(rows()), kind=kind)
        numbers["beside"] = json.loads(table.to_json(orient="records"))
        text = f"{text}\n\n{as_text(table, kind)}"
    if options.json_file:
        write_json(options.json_file, numbers)
    if options.table:
        named = rows() if guesses is None else _with_guesses(rows(), images, guesses)
        _write_table(options.table, named)
    for warning in warnings:
        log.warning("warning: %s", warning)
    echo(text)
    if tally.bad:
        raise UserError(_complaint(tally.bad, len(images)))


def _tallies(
    source: Source, images: Images, guesses: Guesses | None, *, workers: int
) -> list[Tally]:
    """Return the counts of each group of :func:`grouped`, or of all images where none is."""
    groups = [images] if guesses is None else grouped(images, guesses)
    return [tally_maps(source, group, workers=workers) for group in groups]


def _with_guesses(
    rows: Iterable[dict[str, Any]], images: Images, guesses: Guesses
) -> Iterator[dict[str, Any]]:
    """Yield rows with the class that was guessed first, and the outcome where it is the fault."""
    for row, image in zip(rows, images, strict=True):
        guess = guesses[image.image_id][0]
        wrong = row["outcome"] == "correct" and guess != image.class_id
        yield row | {"top1": guess} | ({"outcome": "wrong_class"} if wrong else {})


def steps_of(step: float) -> int:
    """Return how many steps fill the range from 0 to 1.

    Raises:
        UserError: when it is not a whole number from 2 to `MOST_STEPS`.
    """
    steps = round(1 / step) if 0.1 / MOST_STEPS < step < 1 else 0
    if not 2 <= steps <= MOST_STEPS or abs(steps * step - 1) > 1e-9:
        raise UserError(
            f"--step {step:g}: has to be 1 over a whole number up to {MOST_STEPS:,}, e.g. 0.01"
        )
    return steps


def _mask_doubts(options: ScoreOptions, tally: Tally) -> list[str]:
    """Return what makes masks look as if they were of other images, or stated in another way.

    Raises:
        UserError: when no image has an object, as in the original: there is nothing to find.
    """
    if options.masks and tally.objectless == tally.images:
        raise UserError(
            f"{options.masks}: no mask has a pixel of an object, in all {tally.images} images; "
            "PxAP cannot be computed"
        )
    counts = {
        "have no pixel of an object in their masks": tally.objectless,
        "have no pixel of the background in their masks": tally.full,
        "have masks of another shape than image_sizes.txt states": tally.misshapen,
    }
    return [f"{count} of {tally.images} images {what}" for what, count in counts.items() if count]


def _check(options: ScoreOptions, source: Source) -> None:
    if options.percentile is not None and options.normalization != IVR:
        raise UserError(f"--percentile {options.percentile:g}: is of --normalization {IVR} alone")
    if options.normalization == IVR and options.percentile is None and not options.select_on:
        raise UserError(
            f"--normalization {IVR}: needs --percentile, or --select-on to choose one on other maps"
        )
    if options.threshold is not None and options.select_on:
        raise UserError("--threshold and --select-on exclude each other; give one")
    if options.threshold is not None:
        grid_index(options.threshold, source.thresholds)
    if options.table and options.json_file and _same(options.table, options.json_file):
        raise UserError(f"--table {options.table}: is the file of --json too; give another one")
    for name, output in (("table", options.table), ("json", options.json_file)):
        if output and options.scores and _same(output, options.scores):
            raise UserError(f"--{name} {output}: is the file of --scores; give another one")
    if options.table and options.table.suffix not in (".csv", ".parquet"):
        raise UserError(f"--table {options.table}: the name must end in .csv or .parquet")


def _check_boxes(options: ScoreOptions, images: Images) -> None:
    if not images[0].boxes and (options.select_on or options.threshold is not None):
        raise UserError(
            f"{options.metadata}: has masks and no boxes, so that --threshold and --select-on have "
            "no effect; leave them out"
        )


def _same(first: Path, second: Path) -> bool:
    return first.resolve() == second.resolve()


def _select(
    folders: tuple[Path, Path], options: ScoreOptions, source: Source
) -> tuple[Source, float]:
    """Return the threshold that is best on other maps, and ``source`` with the percentile that is.

    A percentile that the user gives stays.
    """
    maps, metadata = folders
    open_ones = options.normalization == IVR and options.percentile is None
    percentiles = PERCENTILES if open_ones else (options.percentile,)
    tallies = []
    for percentile in percentiles:
        other = source._replace(maps=maps, masks=None, percentile=percentile)
        images = read_images(metadata, other)
        tallies.append(tally_maps(other, images, workers=options.workers))
        if tallies[-1].bad:
            raise UserError(f"--select-on {maps}: {_complaint(tallies[-1].bad, len(images))}")
    way, threshold = choose_pair(tallies, source)
    return source._replace(percentile=percentiles[way]), threshold


def _write_table(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with whole_file(path) as temporary:
        writer = (
            pa.csv.CSVWriter(temporary, ROW_SCHEMA)
            if path.suffix == ".csv"
            else pq.ParquetWriter(temporary, ROW_SCHEMA)
        )
        with writer:
            batch: list[dict[str, Any]] = []
            for row in rows:
                batch.append(row)
                if len(batch) == ROWS_A_BATCH:
                    writer.write_table(pa.Table.from_pylist(batch, ROW_SCHEMA))
                    batch = []
            writer.write_table(pa.Table.from_pylist(batch, ROW_SCHEMA))


def _text(numbers: dict[str, Any]) -> str:
    """Return the numbers as lines, in per cent."""
    bad = len(numbers["bad_maps"])
    lines = [f"protocol {numbers['protocol']}: {numbers['images']} images, {bad} bad maps"]
    if numbers["normalization"]:
        at = "" if numbers["percentile"] is None else f", percentile {numbers['percentile']:g}"
        lines.append(f"normalization {numbers['normalization']}{at}")
    if numbers["map_threshold"] is not None:
        at = f"{numbers['threshold_kind']} threshold {numbers['map_threshold']:.3f}"
        lines += [
            f"GT-known localization error  {_percent(numbers['gt_known_loc_err'])}  ({at})",
            f"MaxBoxAcc                    {_percent(numbers['max_box_acc'])}  (oracle)",
            f"MaxBoxAccV2                  {_percent(numbers['max_box_acc_v2'])}  (oracle)",
        ]
    if "top1_cls_err" in numbers:
        lines += [
            f"{title}  {_percent(numbers[n])}"
            for n, title in CLASSIFIED.items()
            if numbers[n] is not None
        ]
    if numbers["gt_known_loc_err_cam_code"] is not None:
        value = _percent(numbers["gt_known_loc_err_cam_code"])
        lines.append(f"GT-known error, CAM code     {value}  (its own thresholds)")
    if numbers["px_ap"] is not None:
        lines.append(f"PxAP                         {_percent(numbers['px_ap'])}")
    return "\n".join(lines)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:6.2f} %"


def _complaint(bad: tuple[BadMap, ...], images: int) -> str:
    named = first_few([f"{one.image_id}: {one.reason}" for one in bad], rest=" (all in --json)")
    return f"{len(bad)} of {images} maps are missing or invalid and count as wrong: {named}"
