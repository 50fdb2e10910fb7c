"""The paper's tables: every reported number once, beside it what this run found, or why not."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spg.compare.paper import load_paper
from spg.compare.selection import selection
from spg.project.params import load_params
from spg.report.formats import p_text
from spg.report.paper_tables import claims_table, paper_tables
from spg.report.render import to_html, to_latex, to_latex_page, to_markdown
from spg.report.run import Run, read_run, reported_numbers
from spg.report.tables import Table

ROOT = Path(__file__).parents[2]
PAPER = load_paper(ROOT / "paper.yaml")
ODD = "a_b & <i>50 %</i> | #1 {x} $y$ ~^\\ [z] *w* `v`"


def comparison_rows(*found):
    """Rows of comparison.csv for ``(method, metric, mean)``, and distractors of other kinds."""
    rows = []
    for method, metric, mean in found:
        row = {"backbone": "inception_v3", "method": method, "extractor": "cam", "metric": metric}
        row |= {"threshold": "selected", "mean": mean, "low": mean - 0.1, "high": mean + 0.1}
        row |= {"seeds": 3, "images": 400}
        rows += [
            row | {"threshold": "oracle", "mean": 0.9},
            row | {"extractor": "grad_cam", "mean": 0.8},
            row | {"backbone": "vgg16", "mean": 0.7},
            row,
        ]
    center = row | {"backbone": "none", "method": "center_box", "extractor": "none"}
    rows.append(center | {"metric": "gt_known_loc_err", "threshold": "none"})  # there are boxes
    return pd.DataFrame(rows)


ACCURATE = pd.DataFrame(
    [{"backbone": b, "method": "spg", "extractor": "cam", "max_box_acc": 0.5,
      "max_box_acc_std": 0.01, "max_box_acc_v2": v, "max_box_acc_v2_std": 0.02}
     for b, v in (("vgg16", 0.3), ("inception_v3", 0.4))]
)  # fmt: skip


def external_rows():
    """Rows of external.csv: SPG's boxes with the classes of two classifiers, and a distractor."""
    row = {"backbone": "inception_v3", "method": "spg", "extractor": "cam"}
    row |= {"threshold": "selected", "metric": "top1_loc_err", "low": 0.1, "high": 0.9}
    return pd.DataFrame(
        [
            row | {"classifier": "resnet50", "mean": 0.44},
            row | {"classifier": "dpn92", "mean": 0.43},
            row | {"classifier": "dpn92", "mean": 0.99, "method": "spg_plain"},
        ]
    )


RULE = load_params(ROOT / "params.yaml").datasets["synthetic_birds"].prepare
HELD_OUT = np.array(["train_weaksup", "train_fullsup", "test"])
"""Splits of a data set with held-out images."""
BOX = ((0.0, 0.0, 1.0, 1.0),)
MANIFEST = pd.DataFrame(
    {"split": HELD_OUT, "class_id": 0, "class_name": "a bird", "boxes": [(), BOX, BOX]}
)


def claims_rows(theirs, verdict="undecided"):
    empty = dict.fromkeys(("mean", "low", "high", "p_mcnemar", "p_interval", "p_holm", "power",
                           "detectable", "seeds_needed", "images_needed"), np.nan)  # fmt: skip
    rows = [
        {"claim": c.id, "text": c.text, "reported_points": PAPER.reported_gain(c),
         "reported_dataset": PAPER.reported_on(c), **empty, "verdict": "not run"}
        for c in PAPER.claims_on(theirs)
    ]  # fmt: skip
    rows[0] |= {"mean": -0.0342, "low": -0.0825, "high": 0.0117, "p_mcnemar": 0.008,
                "p_interval": 0.142, "p_holm": 0.426, "power": 0.05, "detectable": 0.0777,
                "seeds_needed": np.inf, "images_needed": 5200.0, "verdict": verdict}  # fmt: skip
    return pd.DataFrame(rows)


def run_of(*found, dataset="synthetic_birds"):
    """What ``compare`` found on a data set, which is the paper's where its name is."""
    theirs = dataset if dataset in ("cub", "ilsvrc") else None
    found = found or (("spg", "gt_known_loc_err", 0.62), ("spg_plain", "gt_known_loc_err", 0.5858))
    return Run(
        dataset, theirs, "inception_v3", comparison_rows(*found), external_rows(), ACCURATE,
        claims_rows(theirs),
        0.95, 2, selection(MANIFEST, 5, RULE), "min_max", "wsolevaluation",
    )  # fmt: skip


def tables_of(run):
    return {table.name: table for table in paper_tables(PAPER, run)}


def error_tables(run):
    """Those of the paper; the others hold accuracies."""
    names = {
        "table_wsolevaluation", "table_wsolevaluation_v1", "table_hal", "table_normalization"
    }  # fmt: skip
    return [table for table in paper_tables(PAPER, run) if table.name not in names]


def row_of(table, method):
    rows = table.frame[table.frame["method"] == method]
    assert len(rows) == 1
    return rows.iloc[0]


def test_every_reported_number_stands_in_its_table_once_and_in_the_papers_order():
    tables = error_tables(run_of())
    assert [table.name for table in tables] == [
        "table_1", "table_2", "table_3", "table_4", "table_ablation"
    ]  # fmt: skip
    shown = [
        (table.name.removeprefix("table_"), row["method"], row[column])
        for table in tables
        for _, row in table.frame.iterrows()
        for column in table.frame
        if "reported on" in column and row[column] != "–"
    ]
    names = {table.name.removeprefix("table_") for table in tables}
    assert shown == [(r.table, r.row, f"{r.value:.2f}") for r in PAPER.results if r.table in names]


def test_the_shapes_are_those_of_the_facts_on_the_paper():
    """Rows of Tables 1 to 4 and the ablations; two, two, four, one and one errors."""
    shapes = {
        table.name: (len(table.frame), sum("reported on" in column for column in table.frame))
        for table in error_tables(run_of())
    }
    assert shapes == {"table_1": (11, 2), "table_2": (5, 2), "table_3": (8, 4),
                      "table_4": (12, 1), "table_ablation": (4, 1)}  # fmt: skip


def test_what_was_found_stands_beside_what_is_reported():
    row = row_of(tables_of(run_of())["table_4"], "SPG")
    assert row.to_dict() == {
        "method": "SPG",
        "GT-known loc. err.: reported on ILSVRC": "35.31",
        "GT-known loc. err.: reproduced on synthetic_birds": "62.00 (52.00 to 72.00)",
        "threshold": "selected",
        "verdict": "",
        "remark": "",
    }


def test_a_difference_is_shown_on_the_same_data_set_alone():
    tables = tables_of(run_of(dataset="ilsvrc"))
    row = row_of(tables["table_4"], "SPG")
    assert row["GT-known loc. err.: difference"] == "+26.69"  # 62.00 - 35.31
    assert "Difference: reproduced less reported, in points." in tables["table_4"].caption
    assert not any("difference" in column for column in tables["table_2"].frame)
    for table in paper_tables(PAPER, run_of()):
        assert not any("difference" in column for column in table.frame)


def test_the_verdict_stands_in_the_row_that_spg_is_compared_with():
    tables = tables_of(run_of())
    assert row_of(tables["table_4"], "SPG-plain")["verdict"] == "SPG is lower: undecided"
    ablation = tables["table_ablation"].frame["verdict"].tolist()
    assert ablation == ["", *["full SPG is lower: not run"] * 3]
    assert "verdict" not in tables["table_1"].frame


def test_a_row_without_a_number_shows_dashes_and_why():
    tables = tables_of(run_of(("spg", "top1_loc_err", 0.6)))
    row = row_of(tables["table_1"], "GoogLeNet-GAP")
    assert row.iloc[1:-1].tolist() == ["56.40", "–", "43.00", "–", "–"]
    assert row["remark"] == (
        "cam was not run (confirmed / single source; P-img; WSOL 43.6 accuracy for CAM)"
    )
    ablation = row_of(tables["table_ablation"], "without SPG-C")
    assert ablation["remark"] == "no_c was not run (single source; SEED; metric inferred)"


def test_the_stars_top5_error_stands_in_the_column_of_top5_errors():
    row = row_of(tables_of(run_of(("spg", "top5_loc_star_err", 0.4)))["table_1"], "SPG*")
    assert row["Top-5 loc. err.: reported on ILSVRC"] == "35.05"
    assert row["Top-5 loc. err.: reproduced on synthetic_birds"].startswith("40.00 ")
    assert row["remark"].startswith("Top-1 loc. err.: spg was not run (single source;")


def test_table_3_shows_our_boxes_with_the_classes_of_another():
    table = tables_of(run_of())["table_3"]
    column = "Top-1 loc. err.: reproduced on synthetic_birds"
    assert row_of(table, "GoogLeNet-SPG-DPN-92")[column] == "43.00 (10.00 to 90.00)"
    assert row_of(table, "GoogLeNet-SPG-ResNet-50")[column] == "44.00 (10.00 to 90.00)"
    ensemble = row_of(table, "GoogLeNet-SPG-DPN-ensemble*")
    assert ensemble[column] == "–"
    assert "spg with the classes of dpn_ensemble was not run" in ensemble["remark"]


def test_rows_of_another_backbone_and_of_graph_cut_take_their_own_numbers():
    run = run_of(("cam", "top1_loc_err", 0.5), ("acol", "top1_loc_err", 0.4))
    column = "Top-1 loc. err.: reproduced on synthetic_birds"
    table = tables_of(run)["table_1"]
    assert row_of(table, "GoogLeNet-GAP")[column].startswith("50.00 ")
    assert row_of(table, "VGGnet-GAP")[column].startswith("70.00 ")  # the distractor on VGG-16
    assert row_of(table, "Backprop on GoogLeNet")[column] == "–"
    cut = {"extractor": "backprop", "threshold": "graph_cut", "mean": 0.6}
    rows = run.comparison[run.comparison["method"] == "cam"].tail(1).assign(**cut)
    run = run._replace(comparison=pd.concat([run.comparison, rows]))
    row = row_of(tables_of(run)["table_1"], "Backprop on GoogLeNet")
    assert (row[column][:5], row["threshold"]) == ("60.00", "GraphCut")
    assert "cam/backprop on vgg16 was not run" in row_of(table, "Backprop on VGGnet")["remark"]


def test_rows_that_cannot_be_reproduced_say_why():
    for table in paper_tables(PAPER, run_of()):
        ours = {result.row for result in PAPER.results if result.method}
        for _, row in table.frame.iterrows():
            assert row["method"] in ours or "reported only" in row["remark"] or (
                row["method"] in ("SPG on ImageNet", "SPG on CUB") and row["remark"]
            )  # fmt: skip


def test_tables_of_accuracies_show_every_number_and_ours_beside_them():
    tables = tables_of(run_of())
    for name, count in (
        ("wsolevaluation", 13), ("wsolevaluation_v1", 4), ("hal", 5), ("normalization", 12)
    ):  # fmt: skip
        results = [result for result in PAPER.results if result.table == name]
        frame = tables[f"table_{name}"].frame
        shown = [
            float(row[column])
            for _, row in frame.iterrows()
            for column in frame.columns[1 : count + 1]
        ]
        assert sorted(shown) == sorted(result.value for result in results)
    column = "reproduced on synthetic_birds, Inception"
    assert row_of(tables["table_wsolevaluation"], "SPG")[column] == "40.0 ± 2.0"
    assert row_of(tables["table_wsolevaluation_v1"], "SPG")[column] == "50.0 ± 1.0"
    assert row_of(tables["table_wsolevaluation"], "CAM")[column] == "–"
    assert "difference" not in " ".join(tables["table_wsolevaluation"].frame)
    spg = row_of(tables["table_wsolevaluation"], "SPG")
    assert (spg["CUB, VGG"], spg["ILSVRC, mean"]) == ("56.3", "62.2")
    assert "confirms 71 of" in tables["table_wsolevaluation"].caption


def test_another_evaluator_is_named_where_its_numbers_stand():
    for evaluator in ("paper", "wsolevaluation"):
        tables = tables_of(run_of()._replace(evaluator=evaluator))
        said = "of the evaluator `paper`" in tables["table_wsolevaluation"].caption
        assert said == (evaluator == "paper")
        assert "evaluator" not in tables["table_hal"].caption  # nothing of ours stands there


def test_ours_stand_beside_numbers_of_the_same_normalization_alone():
    column = "reproduced on synthetic_birds, Inception"
    for name in ("min_max", "max", "pas", "ivr"):
        tables = tables_of(run_of()._replace(normalization=name))
        rows = tables["table_normalization"].frame
        ours = {row["method"] for _, row in rows.iterrows() if row[column] != "–"}
        assert ours == {f"SPG, {name}"}
        same = row_of(tables["table_wsolevaluation"], "SPG")[column] != "–"
        assert same == (name == "min_max")
    assert row_of(tables["table_normalization"], "SPG, ivr")["CUB, mean"] == "61.73"


def accurate(**values):
    """accuracies.csv of SPG on each backbone, and no interval of any number."""
    rows = [
        {"backbone": backbone, "method": "spg", "extractor": "cam"}
        | {name: value for metric in ("max_box_acc", "max_box_acc_v2", "px_ap")
           for name, value in ((metric, found.get(metric)), (f"{metric}_std", 0.01))}
        for backbone, found in values.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_on_its_own_data_set_each_backbone_that_ran_has_its_difference():
    three = {"vgg16": 0.50, "inception_v3": 0.56, "resnet50": 0.60}
    found = accurate(**{name: {"max_box_acc_v2": value} for name, value in three.items()})
    run = run_of(dataset="cub")._replace(accuracies=found)
    table = tables_of(run)["table_wsolevaluation"]
    spg = row_of(table, "SPG")
    titles = {"vgg16": "VGG", "inception_v3": "Inception", "resnet50": "ResNet"}
    for name, title in titles.items():
        reported = float(spg[f"CUB, {title}"])
        assert spg[f"reproduced on cub, {title}"] == f"{100 * three[name]:.1f} ± 1.0"
        assert spg[f"difference, {title}"] == f"{100 * three[name] - reported:+.1f}"
    mean = 100 * sum(three.values()) / 3
    assert spg["reproduced on cub, mean"] == f"{mean:.1f}"
    assert spg["difference, mean"] == f"{mean - float(spg['CUB, mean']):+.1f}"
    first = tables_of(run._replace(accuracies=found.assign(max_box_acc=[0.4, 0.5, 0.6])))
    spg = row_of(first["table_wsolevaluation_v1"], "SPG")  # which has means alone
    assert spg["reproduced on cub, mean"] == "50.0"
    assert spg["difference, mean"] == f"{50 - float(spg['CUB, mean']):+.1f}"
    assert set(row_of(table, "CAM")[[c for c in table.frame if "cub, " in c]]) == {"–"}
    assert "Difference: reproduced less reported" in table.caption
    two = run._replace(accuracies=found[found["backbone"] != "vgg16"])
    frame = tables_of(two)["table_wsolevaluation"].frame
    assert set(frame["reproduced on cub, mean"]) == {"–"}  # of fewer it is another mean
    assert "reproduced on cub, VGG" not in frame


def test_an_interval_stands_where_a_number_has_one():
    wide = {"backbone": "inception_v3", "method": "spg", "extractor": "cam", "threshold": "none",
            "metric": "max_box_acc_v2", "mean": 0.4, "low": 0.3, "high": 0.5}  # fmt: skip
    run = run_of()
    run = run._replace(comparison=pd.concat([run.comparison, pd.DataFrame([wide])]))
    row = row_of(tables_of(run)["table_wsolevaluation"], "SPG")
    assert row["reproduced on synthetic_birds, Inception"] == "40.0 (30.0 to 50.0)"
    assert row["reproduced on synthetic_birds, VGG"] == "30.0 ± 2.0"


def test_where_there_are_masks_alone_pxap_stands_beside_pxap_and_no_error_is_asked_for():
    run = run_of(dataset="cub")._replace(dataset="photos", theirs="openimages30k")
    masks = run.comparison[run.comparison["metric"] != "gt_known_loc_err"]
    found = accurate(resnet50={"px_ap": 0.6, "max_box_acc_v2": float("nan")})
    run = run._replace(comparison=masks, accuracies=found)
    tables = tables_of(run)
    assert set(tables) == {"table_wsolevaluation", "table_wsolevaluation_v1", "table_normalization"}
    spg = row_of(tables["table_wsolevaluation"], "SPG")
    assert spg["reproduced on photos, ResNet"] == "60.0 ± 1.0"
    assert spg["difference, ResNet"] == f"{60 - float(spg['OpenImages, ResNet']):+.1f}"
    assert paper_tables(PAPER, run._replace(theirs=None)) == []


def test_googlenets_number_has_no_difference_to_another_network():
    run = run_of(dataset="ilsvrc")._replace(backbone="vgg16")
    row = row_of(tables_of(run)["table_4"], "SPG")
    assert row["GT-known loc. err.: reproduced on ilsvrc"].startswith("70.00 ")
    assert row["GT-known loc. err.: difference"] == "–"


def test_reported_numbers_of_another_data_set_are_not_to_be_compared_by_level():
    assert reported_numbers(PAPER, None) == (
        "on ILSVRC with the paper's own network, where it has a number; only the order of rows can "
        "be compared, not the level"
    )
    assert reported_numbers(PAPER, "cub") == (
        "on CUB-200-2011 with the paper's own network, where it has a number"
    )


def test_the_header_and_the_caption_say_whose_numbers_they_are():
    table = tables_of(run_of())["table_2"]
    assert "Top-1 loc. err.: reported on CUB-200-2011" in table.frame
    assert "Top-1 loc. err.: reproduced on synthetic_birds" in table.frame
    assert "compare the order of rows, not the level" in table.caption
    own = tables_of(run_of(dataset="cub"))
    assert "not the level" not in own["table_2"].caption
    assert "not the level" in own["table_1"].caption


def test_claims_show_their_tests():
    frame = claims_table(PAPER, run_of()).frame
    assert frame.iloc[0].tolist()[1:] == [
        "2.01", "ILSVRC", "-3.42 (-8.25 to 1.17)", "0.008", "0.142", "0.426", "0.05", "7.8", "∞",
        "5200",
        "undecided",
    ]  # fmt: skip
    assert len(frame) == 1  # what did not run is one sentence
    assert "Not run here: Teaching B1 from B2 gives" in claims_table(PAPER, run_of()).caption
    assert "p, corrected for 1 claim" in frame


def test_the_caption_of_claims_says_which_threshold_and_which_network():
    caption = claims_table(PAPER, run_of()).caption
    assert "of inception_v3 where a claim names no network" in caption
    assert "MaxBoxAccV2 at the one that is best on the test images" in caption


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "< 0.001"), (0.0004, "< 0.001"), (0.0006, "0.001"), (np.nan, "–")]
)
def test_a_small_p_is_not_zero(value, text):
    assert p_text(value) == text


def test_a_row_that_ran_is_not_said_not_to_have_run():
    """Its network ran, but nobody asked for boxes by GraphCut, or no image has a true box."""
    row = next(r for r in PAPER.results if r.rule == "graph_cut" and r.backbone is None)
    run = run_of()
    own = run.comparison.iloc[[0]].assign(method=row.method, extractor=row.extractor)
    ran = run._replace(comparison=pd.concat([run.comparison, own]))
    remark = {
        name: tables_of(one)[f"table_{row.table}"] for name, one in (("no", run), ("ran", ran))
    }
    remark = {n: t.frame.set_index("method").loc[row.row, "remark"] for n, t in remark.items()}
    assert "was not run" in remark["no"]
    assert "sweep.graph_cut.extractors does not name backprop" in remark["ran"]
    boxless = ran.comparison.assign(metric="top1_cls_err")
    table = tables_of(run._replace(comparison=boxless, theirs=row.dataset))[f"table_{row.table}"]
    remark = table.frame.set_index("method").loc[row.row, "remark"]
    assert "the test images have no true boxes" in remark


def test_latex_has_no_sign_that_it_does_not_know(every_table):
    """pdfLaTeX's default fonts have no infinity, and a grave accent would open a quotation."""
    text = to_latex_page(every_table)
    assert "∞" not in text
    assert r"\ensuremath{\infty}" in text
    assert "`" not in text.partition("\n\n")[2]


def test_a_run_is_read_from_the_reports_folder(tmp_path):
    run_of().comparison.to_csv(tmp_path / "comparison.csv", index=False)
    run_of().claims.to_csv(tmp_path / "claims.csv", index=False)
    run_of().external.to_csv(tmp_path / "external.csv", index=False)
    run_of().accuracies.to_csv(tmp_path / "accuracies.csv", index=False)
    params = load_params(ROOT / "params.yaml")
    read = read_run(tmp_path, params, "synthetic_birds", MANIFEST, PAPER)
    want = paper_tables(PAPER, run_of()._replace(evaluator=params.sweep.protocol))
    for got, table in zip(paper_tables(PAPER, read), want, strict=True):
        assert got.caption == table.caption
        pd.testing.assert_frame_equal(got.frame, table.frame)


def test_captions_say_how_thresholds_were_selected():
    for table in error_tables(run_of()):
        assert "map threshold chosen on 1 images that no network was trained" in table.caption
    rest = RULE.model_copy(update={"holdout_from": "test"})
    assert "images that are not among those reported" in selection(MANIFEST, 5, rest)
    none = RULE.model_copy(update={"holdout_per_class": 0})
    assert selection(MANIFEST, 5, none) == "chosen on 1 further images"
    tests = pd.DataFrame({"split": ["train_weaksup", *["test"] * 100], "boxes": [(), *[BOX] * 100]})
    assert selection(tests, 5, none) == (
        "that is best on the other 4 of 5 folds of the test images (cross-fitted)"
    )
    assert selection(tests, None, none).startswith("that is fixed, since no image is held out")
    boxless = tests.assign(boxes=[()] * 101)
    assert selection(boxless, 5, none).startswith("that is fixed, since no image has a box")


# ---- Three languages ----


class Cells(HTMLParser):
    """The text of each row's cells, and every tag."""

    def __init__(self):
        super().__init__()
        self.rows, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1] and data.strip():
            self.rows[-1][-1] += data


def html_rows(table):
    parser = Cells()
    parser.feed(to_html(table))
    return parser


def markdown_rows(table):
    lines = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    cells = [re.split(r" (?<!\\)\| ", line[2:-2]) for line in lines]
    return [[re.sub(r"\\(.)", r"\1", cell) for cell in row] for row in cells[:1] + cells[2:]]


def latex_rows(table):
    body = re.search(r"\\toprule\n(.*)\\bottomrule", to_latex(table), re.DOTALL)[1]
    lines = [line for line in body.splitlines() if line != r"\midrule"]
    return [[plain(cell) for cell in line.removesuffix(r" \\").split(" & ")] for line in lines]


def plain(cell):
    signs = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^",
             "textless": "<", "textgreater": ">", "textbar": "|",
             "textasciigrave": "`"}  # fmt: skip
    cell = cell.replace(r"\ensuremath{\infty}", "∞")
    cell = re.sub(r"\\(text\w+)\{\}", lambda match: f"\0{ord(signs[match[1]])}\0", cell)
    cell = re.sub(r"(?<!\\)\{(.)\}", r"\1", cell).replace("--", "–")
    cell = re.sub(r"\\([&%$#_{}])", r"\1", cell)
    return re.sub(r"\0(\d+)\0", lambda match: chr(int(match[1])), cell).strip()


@pytest.fixture
def every_table():
    odd = Table("odd", ODD, pd.DataFrame({"method": [ODD, "*"], ODD: ["–", "[1]"]}))
    return [claims_table(PAPER, run_of()), *paper_tables(PAPER, run_of(dataset="a_b&c")), odd]


def test_all_three_languages_show_the_same_cells(every_table):
    for table in every_table:
        want = [list(table.frame), *table.frame.to_numpy().tolist()]
        assert html_rows(table).rows == want
        assert [[cell.strip() for cell in row] for row in markdown_rows(table)] == want
        assert latex_rows(table) == want


def test_no_name_becomes_markup(every_table):
    odd = every_table[-1]
    assert "i" not in html_rows(odd).tags
    assert "<figcaption>a_b &amp; &lt;i&gt;50 %" in to_html(odd)
    assert to_latex_page([odd]).count("%") - to_latex_page([odd]).count("\\%") == 3
    assert "\n*" not in to_latex(odd)


def test_a_table_is_found_by_its_name(every_table):
    for table in every_table:
        assert f'id="tab-{table.name}"' in to_html(table)
        assert f"\\label{{tab:{table.name}}}" in to_latex(table)


def test_long_remarks_are_whole_in_html():
    page = to_html(tables_of(run_of())["table_3"])
    assert "boxes of SPG, labels of ResNet-152; error of ResNet-152, not of SPG)" in page
    assert "..." not in page


def test_latex_environments_and_braces_are_closed(every_table):
    page = re.sub(r"\\[{}]", "", to_latex_page(every_table))
    assert page.count("{") == page.count("}")
    for name in ("table*", "tabular"):
        assert page.count(f"\\begin{{{name}}}") == page.count(f"\\end{{{name}}}") == 11
    labels = re.findall(r"\\label\{(.*?)\}", page)
    assert len(set(labels)) == 11
