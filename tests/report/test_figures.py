"""What the figures show is in the tables, and equal tables are equal bytes."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from spg.compare.variants import grid
from spg.evaluate.outcomes import OUTCOMES
from spg.project.schema.guidance import ThresholdPair
from spg.report import charts, drawing, figures
from spg.report.drawing import SHEETS, draw_figures, selected_ious, threshold_points
from spg.report.figures import by_panel
from spg.report.guidance_sheet import GuidedImage, guidance_sheet
from spg.report.names import variant_name

NAME = "synthetic_birds"
ROWS = [{"method": m, "extractor": e} for m, e in (("spg_plain", "cam"), ("spg", "cam"))]


def outcomes():
    shares = np.random.default_rng(0).dirichlet(np.ones(len(OUTCOMES)), len(ROWS))
    return pd.DataFrame(ROWS).join(pd.DataFrame(shares, columns=OUTCOMES))


def ious():
    rng = np.random.default_rng(1)
    return pd.DataFrame([{**row, "iou": iou} for row in ROWS for iou in rng.random(40)])


TITLES = {"ilsvrc": "ILSVRC", "cub": "CUB-200-2011"}


def claims():
    return pd.DataFrame(
        {"text": ["A holds", "B holds"], "verdict": ["reproduced", "undecided"],
         "mean": [0.1, -0.02],
         "low": [0.05, -0.1], "high": [0.15, 0.06], "reported_points": [2.0, 3.0],
         "reported_dataset": ["ilsvrc", "cub"]}
    )  # fmt: skip


def test_outcome_bars_are_stacked_to_the_whole():
    table = outcomes()
    axis = charts.outcome_bars(table).axes[0]
    assert len(axis.patches) == len(table) * len(OUTCOMES)
    ends = np.zeros(len(table))
    for number, bars in enumerate(axis.containers):
        widths = np.array([bar.get_width() for bar in bars])
        assert np.allclose([bar.get_x() for bar in bars], ends)
        assert np.allclose(widths, 100 * table[OUTCOMES[number]])
        ends += widths
    assert np.allclose(ends, 100)
    assert [text.get_text() for text in axis.get_yticklabels()] == ["SPG-plain", "SPG"]


def test_a_curve_of_iou_crosses_the_threshold_at_the_error():
    table = ious()
    axis = charts.iou_distributions(table, iou_threshold=0.5).axes[0]
    for line, (_, own) in zip(axis.lines, table.groupby("method", sort=False), strict=False):
        xs, ys = line.get_data()
        below = ys[np.asarray(xs) < 0.5].max()
        assert below == pytest.approx((own["iou"] < 0.5).mean())


def test_the_forest_shows_gains_intervals_and_reports_in_points():
    figure = charts.forest_plot(claims(), TITLES)
    axis = figure.axes[0]
    (bars,) = axis.containers
    assert bars.lines[0].get_xdata().tolist() == [10.0, -2.0]
    (spans,) = bars.lines[2]
    edges = [segment[:, 0].tolist() for segment in spans.get_segments()]
    assert np.allclose(edges, [[5, 15], [-10, 6]])
    ilsvrc, cub = (marks.get_offsets()[:, 0] for marks in axis.collections[-2:])
    assert np.ma.getmaskarray(ilsvrc).tolist() == [False, True]
    assert np.ma.getmaskarray(cub).tolist() == [True, False]
    assert (ilsvrc[0], cub[1]) == (2, 3)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[:2] == ["reported on ILSVRC", "reported on CUB-200-2011"]
    assert [t.get_text() for t in axis.get_yticklabels()] == [
        "A holds\nreproduced",
        "B holds\nundecided",
    ]


def guided(*names, epochs=3):
    rng = np.random.default_rng(2)
    maps = {name: rng.random((epochs, 4, 4), dtype=np.float32) for name in names}
    image = np.zeros((20, 30, 3), dtype=np.uint8)
    return GuidedImage(image, np.array([[2.0, 3, 12, 13]]), maps)


@pytest.mark.parametrize(
    ("names", "lines"),
    [(("attention", "b1", "b2", "c"), ["O", "B2", "B1", "fused", "C"]),
     (("attention", "b1", "b2"), ["O", "B2", "B1", "fused"]), (("attention",), ["O"])],
)  # fmt: skip
def test_the_guidance_sheet_has_a_line_a_map_and_a_column_an_epoch(names, lines):
    pair = ThresholdPair(low=0.1, high=0.7)
    figure = guidance_sheet([guided(*names), guided(*names)], {"O": pair, "B2": pair})
    assert len(figure.axes) == 2 * len(lines) * (3 + 1)
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert texts == 2 * lines
    assert [axis.get_title() for axis in figure.axes[1:4]] == ["epoch 1", "epoch 2", "epoch 3"]


@pytest.mark.parametrize("epochs", [1, 6])
def test_the_guidance_sheet_cuts_no_name_off(epochs):
    figure = guidance_sheet([guided("attention", "b1", "b2", "c", epochs=epochs)], {})
    FigureCanvasAgg(figure).draw()
    names = [text for axis in figure.axes for text in (*axis.texts, axis.title) if text.get_text()]
    assert len(names) == 5 + epochs
    for name in names:
        box = name.get_window_extent()
        assert figure.bbox.contains(box.x0, box.y0), name.get_text()
        assert figure.bbox.contains(box.x1, box.y1), name.get_text()


def test_the_fused_map_is_the_mean_of_both_branches():
    one = guided("attention", "b1", "b2")
    figure = guidance_sheet([one], {})
    shown = {
        axis_row[0].texts[0].get_text(): axis_row[1].images[1].get_array()
        for axis_row in np.array(figure.axes).reshape(4, 4)
    }
    assert np.allclose(shown["fused"], (shown["B1"] + shown["B2"]) / 2, atol=1e-6)
    assert shown["O"].min() == 0
    assert shown["O"].max() == 1


@pytest.mark.parametrize("kind", ["png", "svg"])
@pytest.mark.parametrize(
    "draw",
    [lambda: charts.outcome_bars(outcomes()), lambda: charts.forest_plot(claims(), TITLES),
     lambda: charts.iou_distributions(ious(), iou_threshold=0.5)],
)  # fmt: skip
def test_equal_tables_are_equal_bytes_without_a_date(draw, kind, tmp_path):
    for name in ("first", "second"):
        figures.save(draw(), tmp_path / f"{name}.{kind}")
    first, second = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("first", "second"))
    assert first == second
    assert b"dc:date" not in first


def test_colors_can_be_told_apart_by_the_colour_blind():
    """seaborn's `colorblind` palette (Okabe and Ito's) everywhere."""
    bars = charts.outcome_bars(outcomes()).axes[0].containers
    used = {to_hex(bars_of[0].get_facecolor()) for bars_of in bars}
    assert used <= {"#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161"}
    assert len(used) == len(OUTCOMES)


def test_every_figure_of_a_project_is_drawn(finished, two_methods):
    names = [name for name, _ in draw_figures(finished, two_methods, NAME)]
    assert names == [
        "contact_sheet", "threshold_curves", "outcomes", "iou", "training_curves", "claims",
        "energy", "guidance",
    ]  # fmt: skip
    assert set(SHEETS) <= set(names)
    unguided = two_methods.model_copy(update={"guided": [], "ablations": []})
    assert "guidance" not in [name for name, _ in draw_figures(finished, unguided, NAME)]


def test_without_the_cascade_b2_teaches_nothing(finished, two_methods, cell_of, monkeypatch):
    drawn = []
    monkeypatch.setattr(drawing, "guidance_sheet", lambda images, teachers: drawn.append(teachers))
    for cascade in (True, False):
        drawing.guidance_growth(finished, cell_of("spg"), two_methods.guidance, cascade=cascade)
    assert [set(teachers) for teachers in drawn] == [{"O", "B2", "fused"}, {"O", "fused"}]


def test_points_and_ious_are_those_of_the_cells(finished, two_methods, cell_of):
    rows = grid(two_methods, NAME)
    points = threshold_points(finished, rows)
    assert len(points) == 4 * 2 * 2  # variants, seeds, kinds
    best = points.groupby(["method", "extractor", "kind"])["gt_known_loc_err"].mean()
    assert (best.xs("oracle", level="kind") <= best.xs("selected", level="kind") + 1e-9).all()
    table = pd.read_parquet(finished.evaluation(cell_of("spg")) / "per_image.parquet")
    found = selected_ious(finished, rows)
    own = found[found["method"] == "spg"]["iou"].tolist()
    assert own[: len(table)] == table["iou_selected"].tolist()


def test_many_variants_have_a_panel_for_each_extractor():
    """Nine lines in one panel cannot be told apart; a line keeps its color in all panels."""
    methods, extractors = ["spg", "spg_plain", "cam", "has"], ["cam", "grad_cam", "backprop"]
    rows = [
        {"method": method, "extractor": extractor, "iou": iou}
        for method in methods
        for extractor in extractors
        for iou in (0.2, 0.7)
    ]
    few, many = pd.DataFrame(rows[:4]), pd.DataFrame(rows)
    assert list(by_panel(few)) == [""]
    assert list(by_panel(many)) == ["CAM", "Grad-CAM", "Backprop"]
    figure = charts.iou_distributions(many, iou_threshold=0.5)
    colors = [[line.get_color() for line in axis.lines[:4]] for axis in figure.axes]
    assert [axis.get_title() for axis in figure.axes] == ["CAM", "Grad-CAM", "Backprop"]
    assert colors[0] == colors[1] == colors[2]
    assert len(set(colors[0])) == 4


def test_the_legend_beside_several_panels_names_what_any_of_them_draws():
    rows = [
        {"method": method, "extractor": extractor, "iou": iou}
        for method, extractor in [*((m, "cam") for m in "abcdefgh"), ("a", "grad_cam")]
        for iou in (0.2, 0.7)
    ]
    figure = charts.iou_distributions(pd.DataFrame(rows), iou_threshold=0.5)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == [*"abcdefgh", "right from 0.5 on"]
    assert [axis.get_legend() for axis in figure.axes] == [None, None]


def test_five_networks_have_their_losses_in_a_line_and_the_sixth_below():
    history = pd.DataFrame(
        {"backbone": "b", "method": method, "seed": 0, "epoch": epoch, "loss_cls": 0.1}
        for method in "abcdef"
        for epoch in (1, 2)
    )
    axes = figures.training_curves(history).axes
    places = [axis.get_subplotspec().rowspan.start for axis in axes]
    assert places == [0, 0, 0, 0, 0, 1]


def test_a_white_box_can_be_seen_on_white_and_at_the_edge_of_the_image(tmp_path):
    figure = Figure(figsize=(2, 2))
    figure.subplots_adjust(0.25, 0.25, 0.75, 0.75)
    axis = figure.subplots()
    figures.show(axis, np.full((40, 40, 3), 255, np.uint8))
    axis.set_axis_off()
    figures.draw_box(axis, np.array([10.0, 10, 40, 30]), "#ffffff")
    figures.save(figure, tmp_path / "box.png")
    drawn = cv2.imread(str(tmp_path / "box.png"), cv2.IMREAD_GRAYSCALE)
    start, side = drawn.shape[0] / 4, drawn.shape[0] / 2 / 40  # of the image, in drawn pixels
    rows, columns = ((seen - start) / side for seen in np.nonzero(drawn < 200))
    assert [rows.min(), rows.max(), columns.min()] == pytest.approx([10, 30, 10], abs=1)
    assert 40 < columns.max() < 41  # outside the image, whose edge is the box's


# ---- Several backbones ----


def test_another_backbone_than_the_papers_is_named():
    rows = [
        {"backbone": "inception_v3", "method": "spg", "extractor": "cam"},
        {"backbone": "vgg16", "method": "cam", "extractor": "grad_cam"},
        {"backbone": "my_own", "method": "cam", "extractor": "cam"},
        {"backbone": "none", "method": "center_box", "extractor": "none"},
    ]
    assert [variant_name(row) for row in rows] == [
        "SPG", "GAP, VGG-16, Grad-CAM", "GAP, my_own", "*center box*"
    ]  # fmt: skip


def test_each_backbone_has_losses_and_lines_of_its_own():
    backbones = ["vgg16", "resnet50"]
    history = pd.DataFrame(
        [
            {"backbone": b, "method": "cam", "seed": 0, "epoch": epoch, "loss_cls": place + epoch}
            for place, b in enumerate(backbones)
            for epoch in (1, 2)
        ]
    )
    axes = figures.training_curves(history).axes
    assert [axis.get_title() for axis in axes] == ["GAP, VGG-16", "GAP, ResNet-50"]
    assert [axis.lines[0].get_ydata().tolist() for axis in axes] == [[1, 2], [2, 3]]
    many = pd.DataFrame(
        {"backbone": b, "method": m, "extractor": e}
        for b in backbones for m in ("cam", "has", "acol") for e in ("cam", "grad_cam")
    )  # fmt: skip
    for panel in by_panel(many).values():
        assert panel["line"].is_unique


def test_the_loss_of_a_single_pass_is_a_point_that_is_seen():
    history = pd.DataFrame(
        {"backbone": "b", "method": "cam", "seed": seed, "epoch": 1, "loss_cls": seed / 10}
        for seed in (1, 2)
    )
    (axis,) = figures.training_curves(history).axes
    (line,) = [line for line in axis.lines if len(line.get_xdata())]
    assert (line.get_marker(), line.get_xdata().tolist()) == ("o", [1])
    axis.figure.draw_without_rendering()
    low, high = axis.get_xlim()
    assert [tick for tick in axis.get_xticks() if low <= tick <= high] == [1]


def test_where_thresholds_are_cross_fitted_no_single_one_is_marked_as_selected():
    row = {"backbone": "inception_v3", "method": "cam", "extractor": "cam"}
    curves = pd.DataFrame(
        row | {"seed": 0, "map_threshold": value, "gt_known_loc_err": value}
        for value in (0.1, 0.2, 0.3)
    )
    best = row | {"kind": "oracle", "map_threshold": 0.1, "gt_known_loc_err": 0.1}
    chosen = best | {"kind": "selected", "map_threshold": 0.2, "gt_known_loc_err": 0.2}
    for points, shown in (([best], False), ([best, chosen], True)):
        figure = figures.threshold_curves(curves, fixed=0.5, points=pd.DataFrame(points))
        named = [text.get_text() for text in figure.legends[0].get_texts()]
        assert "oracle" in named
        assert ("selected" in named) == shown
