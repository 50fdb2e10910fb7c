"""What a reader sees: tables, figures, notebook, README."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import sharing

from spg.data.images.manifest import SCHEMA, write_manifest
from spg.project.errors import UserError
from spg.project.files import write_json
from spg.project.workspace import Workspace
from spg.report import figures, notebook, tables
from spg.report.drawing import with_masks
from spg.report.names import ACCURACY_NAMES
from spg.report.render import to_markdown
from spg.tools.readme import END, FIGURES, START, results_block, with_results

ROOT = Path(__file__).parents[2]


def comparison_rows():
    base = {
        "backbone": "inception_v3",
        "extractor": "cam",
        "seed_std": 0.01,
        "seeds": 3,
        "images": 4,
    }
    spg = base | {"method": "spg", "metric": "gt_known_loc_err", "low": 0.4, "high": 0.6}
    spg |= {"reported": 0.3531}
    return pd.DataFrame(
        [
            spg | {"threshold": "selected", "mean": 0.5},
            spg | {"threshold": "fixed", "mean": 0.71239},
            spg | {"method": "center_box", "extractor": "none", "threshold": "none", "mean": 0.78,
                   "seeds": 1, "reported": np.nan},
            spg | {"metric": "top1_cls_err", "threshold": "selected", "mean": 0.05},
        ]
    )  # fmt: skip


def test_the_main_table_shows_per_cent_of_both_thresholds_beside_the_reported_number():
    table = tables.main_table(
        comparison_rows(), metric="gt_known_loc_err", digits=2, confidence=0.9
    )
    lines = to_markdown(table).splitlines()
    assert lines[0].startswith("| variant | selected | 90% interval | seeds | std of seeds |")
    assert lines[2] == "| SPG | 50.00 | 40.00 to 60.00 | 3 | 1.00 | 71.24 | 35.31 |"
    assert lines[3].startswith("| *center box* | 78.00 |")
    assert lines[3].endswith("| 1 | – | – | – |")  # one seed has no spread
    assert len(lines) == 4


def test_accuracies_have_the_interval_of_their_own_iou_level():
    base = {"backbone": "vgg16", "method": "spg", "extractor": "cam", "seeds": 2}
    levels = {"max_box_acc_v2_30": 0.9, "max_box_acc_v2_50": 0.6, "max_box_acc_v2_70": 0.1}
    rows = [
        base | {"threshold": kind, "metric": name, "mean": mean, "low": mean - 0.05,
                "high": mean + 0.05}
        for kind in ("none", "selected") for name, mean in levels.items()
        if kind == "none" or name.endswith("30")
    ]  # fmt: skip
    rows[-1] |= {"mean": 0.0}  # of another kind of threshold, and so of another number
    found = base | {f"{name}_std": 0.02 for name in ACCURACY_NAMES}
    found |= dict.fromkeys(ACCURACY_NAMES, 0.5) | levels | {"px_ap": np.nan}
    masked = found | {"px_ap": 0.5}
    table = tables.accuracy_table(pd.DataFrame([found, masked]), pd.DataFrame(rows), digits=1)
    line = dict(zip(ACCURACY_NAMES, table.frame.iloc[0, 1:], strict=True))
    assert line["max_box_acc_v2_30"] == "90.0 (85.0 to 95.0)"
    assert line["max_box_acc_v2_50"] == "60.0 (55.0 to 65.0)"
    assert line["max_box_acc_v2_70"] == "10.0 (5.0 to 15.0)"
    assert line["max_box_acc"] == "50.0 ± 2.0"
    assert line["px_ap"] == "–"
    once = pd.DataFrame(rows).assign(seeds=1)
    table = tables.accuracy_table(pd.DataFrame([found]), once, digits=1)
    assert table.frame["MaxBoxAcc"].item() == "50.0"
    assert "PxAP" not in table.frame  # no variant has one


def test_claims_without_a_run_are_one_sentence():
    claims = pd.DataFrame(
        [
            {"text": "A", "reported_points": 2.01, "mean": 0.01, "low": -0.01, "high": 0.03,
             "verdict": "undecided"},
            {"text": "B", "reported_points": np.nan, "mean": np.nan, "low": np.nan,
             "high": np.nan, "verdict": "not run"},
        ]
    )  # fmt: skip
    table = tables.claims_table(claims, digits=2, confidence=0.9)
    lines = to_markdown(table).splitlines()
    assert "reproduced gain (90% interval)" in lines[0]
    assert lines[2] == "| A | 2.01 | 1.00 (-1.00 to 3.00) | **undecided** |"
    assert len(lines) == 3
    assert tables.not_run(claims) == "Not run here: *B*."
    assert tables.not_run(claims[:1]) == ""


@pytest.mark.parametrize(
    ("seeds", "text"), [([1, 1], "1 seed"), ([6, 6], "6 seeds"), ([6, 3], "3 to 6 seeds")]
)
def test_a_page_says_when_rows_differ_in_seeds(seeds, text):
    assert tables.seeds_text(pd.DataFrame({"seeds": seeds})) == text


def test_a_figure_drawn_twice_is_the_same_file(tmp_path):
    curves = pd.DataFrame(
        {
            "method": ["spg"] * 4,
            "extractor": ["cam"] * 4,
            "seed": [0, 0, 1, 1],
            "map_threshold": [0.2, 0.6, 0.2, 0.6],
            "gt_known_loc_err": [0.9, 0.5, 0.8, 0.6],
        }
    )
    for name in ("one.png", "two.png"):
        figure = figures.threshold_curves(
            curves, fixed=0.5, points=curves[:1].assign(kind="selected")
        )
        figures.save(figure, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_the_contact_sheet_has_a_column_for_the_truth_and_each_variant():
    panel = figures.Panel(np.eye(8, dtype=np.float32), 0.5, np.array([1.0, 1, 5, 5]), 0.25)
    row = figures.GalleryRow(
        np.zeros((8, 8, 3), np.uint8), np.array([[0.0, 0, 4, 4]]), None, None, [panel, panel]
    )
    figure = figures.contact_sheet([row, row], ["A", "B"])
    assert len(figure.axes) == 6
    assert "IoU 0.25" in figure.axes[1].get_title()


FIGURE = """
# %%
from IPython.display import Image
Image(bytes.fromhex("89504e470d0a1a0a") + bytes(16), alt="A & B")
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(
        "# %% [markdown]\n# # Title\n\n# %%\nobject()\n\n# %%\nprint(1)\nprint(2)\n" + FIGURE
    )
    return path


def test_a_notebook_run_twice_is_the_same_file_and_loads_nothing(tmp_path, script):
    for name in ("one", "two"):
        notebook.execute({script: tmp_path / name / "small.ipynb"}, root=tmp_path)
    for name in ("small.ipynb", "small.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    page = (tmp_path / "one/small.html").read_text(encoding="utf-8")
    assert re.findall(r'<img [^>]*alt="([^"]*)"', page) == ["A &amp; B"]
    assert not re.findall(r"""<(?:script|link|img)[^>]+(?:src|href)=["']https?:""", page)
    saved = nbformat.read(tmp_path / "one/small.ipynb", as_version=4)
    assert " at 0x" not in str(saved)
    assert saved.cells[2].outputs[0].text == "1\n2\n"


def test_a_kernel_of_the_tests_shares_no_port_with_those_of_other_processes(tmp_path):
    script = tmp_path / "asks.py"
    asks = "from ipykernel.connect import get_connection_info\nprint(get_connection_info())"
    script.write_text(f"# %%\n{asks}", encoding="utf-8")
    notebook.execute({script: tmp_path / "asks.ipynb"}, root=tmp_path)
    told = nbformat.read(tmp_path / "asks.ipynb", as_version=4).cells[0].outputs[0].text
    assert json.loads(told)["transport"] == "ipc"


def test_a_failing_cell_is_named(tmp_path):
    (tmp_path / "bad.py").write_text("# %%\nraise ValueError('broken')\n")
    with pytest.raises(UserError, match=r"bad\.py: a cell failed: ValueError: broken"):
        notebook.execute({tmp_path / "bad.py": tmp_path / "bad.ipynb"}, root=tmp_path)
    assert not (tmp_path / "bad.ipynb").exists()


def test_notebook_sources_hold_no_outputs():
    assert not list((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("dataset", FIGURES)
def test_the_readme_shows_the_committed_results(dataset):
    if not (ROOT / f"reports/{dataset}/comparison.csv").exists():
        pytest.skip("no committed results here; run `make repro`")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert results_block(Workspace(ROOT), dataset) in readme, "stale: run `make readme`"


def test_replacing_the_results_of_a_data_set_keeps_the_rest():
    start, other = START.format("b"), f"{START.format('a')}\nkept\n{END}"
    page = f"before\n{other}\nbetween\n{start}\nold\n{END}\nafter"
    block = f"{start}\nnew \\1\n{END}"
    assert with_results(page, "b", block) == f"before\n{other}\nbetween\n{block}\nafter"


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> {{7*7}} $x_{$ `a` |b| *c*"


@pytest.mark.parametrize("name", ["gallery", "data"])
def test_hostile_names_in_a_notebook_show_as_text(finished, two_methods, tmp_path, name):
    workspace = sharing(finished, tmp_path, "runs", "maps", "eval", "weights", "reports")
    write_json(workspace.params_file, two_methods.model_dump())
    packed = finished.packed("synthetic_birds")
    shutil.copytree(packed, workspace.packed("synthetic_birds"))
    manifest = pq.read_table(packed / "manifest.parquet").to_pandas()
    manifest["class_name"] = [f"{number}{HOSTILE}" for number in manifest["class_id"]]
    table = pa.Table.from_pandas(manifest, SCHEMA, preserve_index=False)
    write_manifest(workspace.packed("synthetic_birds") / "manifest.parquet", table)
    notebook.execute({ROOT / f"notebooks/{name}.py": tmp_path / "out.ipynb"}, root=tmp_path)
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "<h1" in page
    assert name == "data" or "&lt;script&gt;alert(1)" in page  # data's names stand in a picture


def test_a_dollar_in_a_name_is_drawn_as_it_is(tmp_path):
    panel = figures.Panel(np.ones((4, 4)), 0.5, np.array([0, 0, 2, 2]), None)
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    row = figures.GalleryRow(image, np.zeros((0, 4)), None, None, [panel])
    figures.save(figures.contact_sheet([row], [HOSTILE]), tmp_path / "sheet.svg")
    assert (tmp_path / "sheet.svg").stat().st_size


def test_a_region_without_area_has_no_ratio():
    """Masks of parts may all be empty; a share of nothing is no number, in table and figure."""
    row = {"method": "spg", "extractor": "cam", "part_energy": 0.0, "part_area": 0.0,
           "object_energy": 0.4, "object_area": 0.2}  # fmt: skip
    energy = pd.DataFrame([row])
    (cells,) = tables.energy_table(energy, digits=1).frame.to_numpy().tolist()
    assert cells[1:] == ["0.0", "–", "40.0", "2.00"]
    axis = figures.energy_bars(energy).axes[0]
    widths = [bar.get_width() for bar in axis.patches if bar.get_width() > 0]
    assert 2.0 in widths


def test_masks_of_objects_alone_show_where_maps_look():
    """OpenImages30k and a folder of one's own have masks of objects, and none of telling parts."""
    row = {"method": "spg", "extractor": "cam", "part_energy": np.nan, "part_area": np.nan,
           "object_energy": 0.4, "object_area": 0.2}  # fmt: skip
    energy = with_masks(pd.DataFrame([row, row | {"object_energy": np.nan}]))
    (cells,) = tables.energy_table(energy, digits=1).frame.to_numpy().tolist()
    assert cells[1:] == ["–", "–", "40.0", "2.00"]
    axis = figures.energy_bars(energy).axes[0]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["whole object"]
    assert with_masks(pd.DataFrame([row]).drop(columns="object_area")).empty


def test_a_table_without_rows_is_its_caption_alone():
    table = tables.Table("claims", "None of a_b ran.", pd.DataFrame())
    assert to_markdown(table) == "None of a\\_b ran.\n"
