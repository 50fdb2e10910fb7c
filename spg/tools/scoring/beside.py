"""Maps made elsewhere beside the cells of a data set: errors, paired differences, outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.compare.comparison import named_interval
from spg.compare.errors import collect_errors
from spg.compare.statistics.intervals import Interval
from spg.compare.variants import Variant, grid, read_tables
from spg.data.images.manifest import TEST, boxes_of, read_manifest
from spg.data.layouts.wsol_metadata import WsolImage
from spg.evaluate.outcomes import OUTCOMES
from spg.project.command_line import checked_params, workspace
from spg.project.errors import UserError, first_few
from spg.project.params import Params
from spg.project.workspace import Workspace
from spg.tools.scoring.images import Images, Source
from spg.tools.scoring.tally import IOU_THRESHOLD

METRIC = "gt_known_loc_err"
YOURS = Variant("none", "your maps", "none")
COLUMNS = (
    *Variant._fields, *Interval._fields,
    *(f"less_yours_{name}" for name in Interval._fields), *OUTCOMES,
)  # fmt: skip


class Project(NamedTuple):
    """Whose cells the maps stand beside."""

    workspace: Workspace
    params: Params
    dataset: str


def read_project(source: Source, dataset: str, threshold: float | None) -> Project:
    """Return the project in the current folder.

    Args:
        source: of the maps.
        dataset: whose cells are asked for.
        threshold: the fixed one that the maps are cut at, if that was asked for.

    Raises:
        UserError: when its cells are evaluated in another way than the maps would be.
    """
    params = checked_params(dataset)
    for name, own, theirs in (
        ("protocol", source.protocol_name, params.sweep.protocol),
        ("normalization", source.normalization or "min_max", params.sweep.normalization),
    ):
        if own != theirs:
            raise UserError(
                f"--report {dataset}: its cells are measured under sweep.{name} {theirs}; "
                f"give --{name} {theirs}"
            )
    if source.masks:
        raise UserError("--report compares boxes; leave --masks out")
    evaluation, steps = params.evaluation, params.sweep.thresholds + 1
    if source.steps != steps:
        raise UserError(
            f"--report {dataset}: its cells are measured at sweep.thresholds "
            f"{params.sweep.thresholds}; give --step {1 / steps:g}"
        )
    if evaluation.iou_threshold != IOU_THRESHOLD:
        raise UserError(
            f"--report {dataset}: evaluation.iou_threshold is {evaluation.iou_threshold:g}; boxes "
            f"of your maps are right from {IOU_THRESHOLD:g} on, set that in params.yaml"
        )
    if threshold is not None and threshold != evaluation.map_threshold:
        raise UserError(
            f"--report {dataset}: its cells are cut at evaluation.map_threshold "
            f"{evaluation.map_threshold:g}; give --threshold {evaluation.map_threshold:g}, or none"
        )
    return Project(workspace(), params, dataset)


def own_images(project: Project, images: Images) -> list[WsolImage]:
    """Return the images with the true boxes and sizes that the data set's cells are measured by.

    Args:
        project: whose test images these have to be, all of them.
        images: of the metadata folder.

    Raises:
        UserError: names images that are missing or too many.
    """
    dataset = project.dataset
    manifest = read_manifest(project.workspace.packed(dataset) / "manifest.parquet")
    tests = manifest[manifest["split"] == TEST].set_index("image_id")
    asked = [image.image_id for image in images]
    strangers = [name for name in asked if name not in tests.index]
    missing = sorted(set(tests.index) - set(asked))
    for names, what in ((strangers, "is no test image of it"), (missing, "is missing")):
        if names:
            raise UserError(
                f"--report {dataset}: {len(names)} of the images differ: "
                f"{first_few([f'{name} {what}' for name in names])}; `spg metadata {dataset} "
                "FOLDER` writes the metadata of its splits"
            )
    return [
        image._replace(
            boxes=tuple(map(tuple, boxes_of(tests.loc[image.image_id, "boxes"]).tolist())),
            size=(
                int(tests.loc[image.image_id, "width"]),
                int(tests.loc[image.image_id, "height"]),
            ),
        )
        for image in images
    ]


def beside(project: Project, rows: Sequence[Mapping[str, Any]], *, kind: str) -> pd.DataFrame:
    """Return a row for the maps and one for each variant, all at one kind of threshold.

    ``less_yours_*``: error of the variant less that of the maps, image by image, with its interval
    over images and seeds (PROTOCOL 14); above 0 the maps are better. Where thresholds are
    cross-fitted, the intervals keep those of the whole data.

    Args:
        project: with the results of ``dvc repro``.
        rows: ``image_id``, ``iou`` and ``outcome`` of every test image under the maps; an image
            whose map is bad has no IoU and is wrong.
        kind: fixed, selected or oracle.
    """
    delta, rule = project.params.evaluation.iou_threshold, project.params.comparison
    tables = read_tables(project.workspace, grid(project.params, project.dataset))
    errors = collect_errors(tables, iou_threshold=delta, kinds=(kind,))
    own = pd.DataFrame(list(rows)).set_index("image_id")
    order = next(iter(tables.values()))[0]["image_id"]
    own = own.loc[order]
    mine: NDArray[np.float64] = (~(own["iou"].to_numpy(np.float64) >= delta)).astype(np.float64)
    lines = [
        {
            **YOURS._asdict(),
            **named_interval(mine[None], rule, YOURS, kind)[0]._asdict(),
            **{name: float((own["outcome"] == name).mean()) for name in OUTCOMES},
        }
    ]
    for variant, seeds in tables.items():
        theirs = errors[variant, kind, METRIC]
        gain, _ = named_interval(theirs - mine, rule, variant, kind, "less yours")
        outcomes = np.concatenate([table[f"outcome_{kind}"] for table in seeds])
        # a box alone is judged here, as without guessed classes: a right one counts as correct
        boxes = np.where(outcomes == "wrong_class", "correct", outcomes)
        lines.append(
            {
                **variant._asdict(),
                **named_interval(theirs, rule, variant, kind)[0]._asdict(),
                **{f"less_yours_{name}": value for name, value in gain._asdict().items()},
                **{name: float((boxes == name).mean()) for name in OUTCOMES},
            }
        )
    return pd.DataFrame(lines, columns=COLUMNS)


def as_text(table: pd.DataFrame, kind: str) -> str:
    """Return the table in Markdown, per cent."""

    def interval(row: Mapping[str, Any], prefix: str, sign: str) -> str:
        mean, low, high = (100 * row[f"{prefix}{name}"] for name in Interval._fields)
        return "–" if np.isnan(mean) else f"{mean:{sign}.2f} ({low:{sign}.2f} to {high:{sign}.2f})"

    names = [name for name in OUTCOMES if name != "wrong_class"]
    header = ["", f"GT-known error, {kind}", "less that of your maps", *names]
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for row in table.to_dict("records"):
        name = row["method"]
        if row["backbone"] != "none":
            name = f"{row['method']}/{row['extractor']} on {row['backbone']}"
        cells = [name, interval(row, "", ""), interval(row, "less_yours_", "+")]
        cells += [f"{100 * row[one]:.1f}" for one in names]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
