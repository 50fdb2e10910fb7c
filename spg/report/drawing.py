"""From a project's results to its figures: which images, cells and tables each of them shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spg.compare.paper import load_paper
from spg.compare.variants import Grid, Variant, grid
from spg.data.images.manifest import TEST, boxes_of, read_manifest, spread
from spg.data.images.packed import PackedImages
from spg.data.results.tables import read_maps, read_table, read_tensors
from spg.evaluate.metrics.maps import localization_map
from spg.evaluate.metrics.normalization import normalizers
from spg.evaluate.metrics.rules import largest_box
from spg.evaluate.per_image import REGIONS
from spg.project.files import read_json
from spg.project.params import Params
from spg.project.schema.guidance import GuidanceParams
from spg.project.workspace import Cell, Workspace
from spg.report import charts, figures
from spg.report.guidance_sheet import GuidedImage, guidance_sheet
from spg.report.names import variant_name
from spg.report.tables import judged

SHEETS = ("contact_sheet", "guidance")  # of photographs: PNG alone, the others as SVG too
GUIDED_IMAGES = 2


def draw_figures(
    workspace: Workspace, params: Params, dataset: str
) -> Iterator[tuple[str, Figure]]:
    """Yield each figure with its name; those that the results have no data for are left out."""
    folder, rows = workspace.report(dataset), grid(params, dataset)
    count, normalization = params.report.gallery_images, params.sweep.normalization
    yield (
        "contact_sheet",
        contact_sheet(workspace, dataset, rows, normalization=normalization, count=count),
    )
    outcomes = read_table(folder / "outcomes.csv")
    if not outcomes.empty:
        yield from _of_boxes(workspace, params, rows, folder, outcomes)
    yield "training_curves", figures.training_curves(read_table(folder / "history.csv"))
    claims = read_table(folder / "claims.csv")
    ran = judged(claims)
    if not ran.empty:
        where = ran["reported_dataset"].dropna().unique()
        paper = load_paper(workspace.paper_file)
        yield "claims", charts.forest_plot(ran, {name: paper.title_of(name) for name in where})
    energy = with_masks(read_table(folder / "energy.csv"))
    if not energy.empty:
        yield "energy", figures.energy_bars(energy)
    if params.guided:
        cell = Cell(dataset, params.backbones[0], params.guided[0], params.seeds[0])
        cascade = params.spg_of(cell.method).cascade
        yield "guidance", guidance_growth(workspace, cell, params.guidance, cascade=cascade)


def with_masks(energy: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of energy.csv that know the object; its telling parts they need not know."""
    if not set(REGIONS) <= set(energy):
        return energy[:0]
    return energy.dropna(subset=[name for name in REGIONS if name.startswith("object")])


def _of_boxes(
    workspace: Workspace, params: Params, rows: Grid, folder: Path, outcomes: pd.DataFrame
) -> Iterator[tuple[str, Figure]]:
    """Yield the figures that true boxes are needed for."""
    yield (
        "threshold_curves",
        figures.threshold_curves(
            read_table(folder / "curves.csv"),
            fixed=params.evaluation.map_threshold,
            points=threshold_points(workspace, rows),
        ),
    )
    yield "outcomes", charts.outcome_bars(outcomes[outcomes["threshold"] == "selected"])
    delta = params.evaluation.iou_threshold
    ious = selected_ious(workspace, rows)
    yield "iou", charts.iou_distributions(ious, iou_threshold=delta)


def threshold_points(workspace: Workspace, variants: Grid) -> pd.DataFrame:
    """Return each cell's error at its best threshold and, if it is one, at its selected one."""
    rows: list[dict[str, Any]] = []
    for variant, cells in variants.items():
        for cell in cells:
            totals = read_json(workspace.evaluation(cell) / "metrics.json")[variant.extractor]
            rows += [
                {**variant._asdict(), "kind": kind}
                | {key: totals[kind][key] for key in ("map_threshold", "gt_known_loc_err")}
                for kind in figures.POINTS
                if "map_threshold" in totals.get(kind, {})  # no single one where cross-fitted
                and "gt_known_loc_err" in totals[kind]  # none without boxes
            ]
    columns = [*Variant._fields, "kind", "map_threshold", "gt_known_loc_err"]
    return pd.DataFrame(rows, columns=columns)


def selected_ious(workspace: Workspace, variants: Grid) -> pd.DataFrame:
    """Return every image's IoU at the selected threshold, of all variants and seeds."""
    parts = []
    for variant, cells in variants.items():
        for cell in cells:
            table = read_table(workspace.evaluation(cell) / "per_image.parquet")
            own = table.loc[table["extractor"] == variant.extractor, "iou_selected"]
            parts.append(pd.DataFrame({**variant._asdict(), "iou": own.to_numpy()}))
    return pd.concat(parts, ignore_index=True)


def contact_sheet(
    workspace: Workspace,
    dataset: str,
    variants: Grid,
    *,
    normalization: str,
    count: int = 0,
    places: NDArray[np.int64] | None = None,
    threshold: float | None = None,
) -> Figure:
    """Draw test images as every variant's first seed sees them.

    Args:
        workspace: the project.
        dataset: whose images.
        variants: a column each.
        normalization: ``sweep.normalization``, in which maps are shown.
        count: of images, spread evenly over the split.
        places: rows of the manifest to show instead.
        threshold: for all variants; by default each image's selected one.
    """
    manifest = read_manifest(workspace.packed(dataset) / "manifest.parquet")
    packed = PackedImages(workspace.packed(dataset))
    if places is None:
        tests = np.flatnonzero(manifest["split"] == TEST)
        places = spread(tests, count)
    views = [
        _panels(workspace, cells[0], variant, manifest.loc[places], normalization, threshold)
        for variant, cells in variants.items()
    ]
    rows = [
        figures.GalleryRow(
            in_original(packed.image(place), manifest.loc[place]),
            boxes_of(manifest.loc[place, "boxes"]),
            _mask(packed.object_mask(place), manifest.loc[place]),
            _mask(packed.part_mask(place), manifest.loc[place]),
            [panels[number] for panels in views],
        )
        for number, place in enumerate(places.tolist())
    ]
    titles = [variant_name(variant._asdict()) for variant in variants]
    return figures.contact_sheet(rows, titles)


def guidance_growth(
    workspace: Workspace, cell: Cell, rules: GuidanceParams, *, cascade: bool
) -> Figure:
    """Draw the maps of a guided cell after each epoch of its training.

    Args:
        workspace: the project.
        cell: whose snapshots.
        rules: the thresholds that its maps were cut at.
        cascade: whether B2 taught B1; without it O taught both (PROTOCOL 7).
    """
    kept = read_tensors(workspace.run(cell) / "epochs.safetensors")
    manifest = read_manifest(workspace.packed(cell.dataset) / "manifest.parquet")
    packed = PackedImages(workspace.packed(cell.dataset))
    shown = spread(np.arange(len(kept["images"])), GUIDED_IMAGES)
    images = [
        GuidedImage(
            in_original(packed.image(place), manifest.loc[place]),
            boxes_of(manifest.loc[place, "boxes"]),
            {name: maps[:, number] for name, maps in kept.items() if name != "images"},
        )
        for number, place in ((number, int(kept["images"][number])) for number in shown)
    ]
    teachers = {"O": rules.b2, "fused": rules.c}
    if cascade:
        teachers["B2"] = rules.b1
    return guidance_sheet(images, teachers)


def in_original(
    pixels: NDArray[np.uint8], row: pd.Series[Any], *, interpolation: int = cv2.INTER_LINEAR
) -> NDArray[np.uint8]:
    """Return pixels in the original image's size, which boxes and maps are of.

    A packed image may be smaller (``prepare.short_side``), and so may a mask be.

    Args:
        pixels: ``uint8 [h, w]`` or ``[h, w, 3]``.
        row: of the manifest.
        interpolation: OpenCV's.
    """
    size = (int(row["width"]), int(row["height"]))
    if pixels.shape[1::-1] == size:
        return pixels
    return cv2.resize(pixels, size, interpolation=interpolation).astype(np.uint8)


def _mask(mask: NDArray[np.bool_] | None, row: pd.Series[Any]) -> NDArray[np.bool_] | None:
    if mask is None:
        return None
    return in_original(mask.astype(np.uint8), row, interpolation=cv2.INTER_NEAREST) > 0


def _panels(
    workspace: Workspace,
    cell: Cell,
    variant: Variant,
    images: pd.DataFrame,
    normalization: str,
    threshold: float | None,
) -> list[figures.Panel]:
    maps = read_maps(workspace.maps(cell) / f"{variant.extractor}.npy")
    places = read_table(workspace.maps(cell) / "scores.parquet")["image_id"].to_numpy()
    table = read_table(workspace.evaluation(cell) / "per_image.parquet")
    own = table[table["extractor"] == variant.extractor].set_index("image_id")
    panels = []
    for image in images.itertuples():
        raw_map = maps[int(np.flatnonzero(places == image.image_id)[0])]
        row = own.loc[image.image_id]
        normalize = normalizers(normalization, [row["percentile_selected"]])[0]
        loc_map = localization_map(raw_map, (image.width, image.height), normalize=normalize)
        if threshold is None:
            chosen, box = row["map_threshold_selected"], row["box_selected"]
            iou = None if np.isnan(row["iou_selected"]) else row["iou_selected"]
            panel = figures.Panel(loc_map, chosen, box, iou)
        else:
            panel = figures.Panel(loc_map, threshold, largest_box(loc_map >= threshold), None)
        panels.append(panel)
    return panels
