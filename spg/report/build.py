"""Stage ``report``: results of ``compare`` -> tables, figures and the executed notebook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from spg.config import Params
from spg.data.manifest import TEST, boxes_of, read_manifest
from spg.data.pack import PackedImages
from spg.files import whole_folder, write_text
from spg.metrics.localization import ERRORS
from spg.metrics.maps import localization_map
from spg.paper import load_paper
from spg.report import figures, notebook, tables
from spg.report.page import write_page
from spg.report.paper_tables import PaperTable, claims_table, paper_tables, read_run
from spg.report.render import to_latex_page, to_markdown
from spg.variants import Variant, grid
from spg.workspace import Cell, Workspace

ONE_SEED = "one seed, so that intervals and verdicts cover the images alone and no other training"


def report(workspace: Workspace, params: Params, dataset: str) -> None:
    """Write tables.md, tables.tex, index.html, figures/ and the notebook with its HTML page."""
    folder = workspace.report(dataset)
    run = read_run(folder, params, dataset)
    claims, papers = claims_table(run), paper_tables(load_paper(workspace.paper_file), run)
    write_text(folder / "tables.md", tables_page(folder, params, dataset, [claims, *papers]))
    write_text(folder / "tables.tex", to_latex_page([claims, *papers]))
    write_page(workspace, params, dataset, [claims, *papers])
    with whole_folder(folder / "figures") as target:
        for name, figure in draw_figures(workspace, params, dataset):
            figures.save(figure, target / f"{name}.png")
    source = workspace.root / "notebooks/results.py"
    notebook.execute(source, folder / "results.ipynb", root=workspace.root)


def tables_page(folder: Path, params: Params, dataset: str, rendered: Sequence[PaperTable]) -> str:
    """Return the whole of tables.md; ``rendered`` are the claims and the paper's tables."""
    digits = params.report.digits
    comparison = pd.read_csv(folder / "comparison.csv", keep_default_na=True)
    claims = pd.read_csv(folder / "claims.csv")
    images, seeds = int(comparison["images"].max()), int(comparison["seeds"].max())
    repeated = f"{seeds} seeds" if seeds > 1 else ONE_SEED
    parts = [
        f"# Results on {dataset}\n",
        f"{images} test images, {repeated}. Per cent; lower is better. *selected*: at the map "
        "threshold chosen on held-out training images; *fixed*: at "
        f"{params.evaluation.map_threshold}. *reported*: the paper's number **on ILSVRC with the "
        "full-size network**; only the order of rows can be compared, not the level.\n",
        "## GT-known localization error\n",
        tables.main_table(comparison, metric="gt_known_loc_err", digits=digits),
        "## GT-known localization error by kind of threshold\n",
        "*oracle*: the best threshold on these very test images, which no one may report as a "
        "result; *CAM code*: that code's own three thresholds and boxes (PROTOCOL 10, 17).\n",
        tables.kinds_table(comparison, digits=digits),
        "## Claims of the paper\n",
        to_markdown(rendered[0]),
        *(f"- `{row.claim}`: {row.sentence}" for row in claims.itertuples()),
        "\n## All errors at the selected threshold\n",
        tables.metrics_table(comparison, digits=digits),
        "## Top-1 localization error\n",
        tables.main_table(comparison, metric=ERRORS[1], digits=digits),
        "## What becomes of the images\n",
        "Share of the test images at the selected threshold: one outcome an image.\n",
        tables.outcome_table(pd.read_csv(folder / "outcomes.csv"), digits=digits),
        f"## Accuracies of wsolevaluation, protocol `{params.sweep.protocol}`\n",
        "Higher is better. MaxBoxAcc and MaxBoxAccV2 take the threshold that is best on the test "
        "images, as published; PxAP needs none.\n",
        tables.accuracy_table(pd.read_csv(folder / "accuracies.csv"), digits=digits),
        "## The paper's tables\n",
        *(to_markdown(table) for table in rendered[1:]),
    ]
    energy = pd.read_csv(folder / "energy.csv")
    if not energy.dropna().empty:
        parts += [
            "## Where the maps look\n",
            "Share of a map's energy on the telling parts and on the whole object, and how many "
            "times their share of the area that is (1 = a uniform map; PROTOCOL 15).\n",
            tables.energy_table(energy, digits=digits),
        ]
    return "\n".join(parts)


def draw_figures(
    workspace: Workspace, params: Params, dataset: str
) -> Iterator[tuple[str, Figure]]:
    """Yield each figure with its name."""
    folder = workspace.report(dataset)
    yield "contact_sheet", contact_sheet(workspace, params, dataset)
    yield (
        "threshold_curves",
        figures.threshold_curves(
            pd.read_csv(folder / "curves.csv"),
            fixed=params.evaluation.map_threshold,
            selected=selected_points(workspace, params, dataset),
        ),
    )
    yield "training_curves", figures.training_curves(pd.read_csv(folder / "history.csv"))
    energy = pd.read_csv(folder / "energy.csv").dropna()
    if not energy.empty:
        yield "energy", figures.energy_bars(energy)


def selected_points(workspace: Workspace, params: Params, dataset: str) -> pd.DataFrame:
    """Return each cell's selected threshold and its GT-known error."""
    rows = []
    for variant, cells in grid(params, dataset).items():
        for cell in cells:
            metrics = pd.read_json(workspace.evaluation(cell) / "metrics.json", typ="series")
            selected = metrics[variant.extractor]["selected"]
            rows.append(
                {
                    **variant._asdict(),
                    "map_threshold": selected["map_threshold"],
                    "gt_known_loc_err": selected["gt_known_loc_err"],
                }
            )
    return pd.DataFrame(rows)


def contact_sheet(workspace: Workspace, params: Params, dataset: str) -> Figure:
    """Draw evenly spread test images as every variant's first seed sees them."""
    manifest = read_manifest(workspace.packed(dataset) / "manifest.parquet")
    packed = PackedImages(workspace.packed(dataset))
    tests = np.flatnonzero(manifest["split"] == TEST)
    chosen = tests[np.linspace(0, len(tests) - 1, params.report.gallery_images + 2).astype(int)]
    variants = grid(params, dataset)
    views = {
        variant: _panels(workspace, cells[0], variant, manifest.loc[chosen[1:-1]])
        for variant, cells in variants.items()
    }
    rows = [
        figures.GalleryRow(
            packed.image(place),
            boxes_of(manifest.loc[place, "boxes"]),
            packed.object_mask(place),
            packed.part_mask(place),
            [panels[number] for panels in views.values()],
        )
        for number, place in enumerate(chosen[1:-1])
    ]
    titles = [tables.variant_name(dict(variant._asdict())) for variant in variants]
    return figures.contact_sheet(rows, titles)


def _panels(
    workspace: Workspace, cell: Cell, variant: Variant, images: pd.DataFrame
) -> list[figures.Panel]:
    maps = np.load(workspace.maps(cell) / f"{variant.extractor}.npy", mmap_mode="r")
    places = pd.read_parquet(workspace.maps(cell) / "scores.parquet")["image_id"].to_numpy()
    table = pd.read_parquet(workspace.evaluation(cell) / "per_image.parquet")
    own = table[table["extractor"] == variant.extractor].set_index("image_id")
    metrics = pd.read_json(workspace.evaluation(cell) / "metrics.json", typ="series")
    threshold = metrics[variant.extractor]["selected"]["map_threshold"]
    panels = []
    for image in images.itertuples():
        raw_map = maps[int(np.flatnonzero(places == image.image_id)[0])]
        loc_map = localization_map(raw_map, (image.width, image.height))
        row = own.loc[image.image_id]
        panels.append(figures.Panel(loc_map, threshold, row["box_selected"], row["iou_selected"]))
    return panels
