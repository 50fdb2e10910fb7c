"""`spg score --normalization`: against loops over OpenCV's contours, one map at a time."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from whole.scores import accuracies, contour_boxes, iou_inclusive

from spg.cli import main

SIDE, STEPS = 224, 20
NAMES = ("min_max", "max", "pas", "ivr")


def raw_maps(count, seed):
    """Raw maps of 224 x 224 with several hills, below and above zero."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    maps = {}
    for number in range(count):
        values = 0.3 * rng.normal() + np.zeros((SIDE, SIDE))
        for _ in range(3):
            cx, cy, r = *rng.integers(30, 190, 2), rng.integers(15, 60)
            values += rng.normal(1, 1) * np.exp(-(((x - cx) / r) ** 2 + ((y - cy) / r) ** 2))
        maps[f"{number}.jpg"] = values
    return maps


def normalized(name, values, percentile=0.4):
    """The field's formulas, in float64, on a map that is not constant."""
    ranked = np.sort(values.ravel())
    if name == "min_max":
        return (values - values.min()) / (values.max() - values.min())
    if name == "max":
        return np.maximum(values, 0) / values.max()
    if name == "pas":
        shifted = values - values.min()
        return np.minimum(shifted / np.sort(shifted.ravel())[int(0.9 * values.size)], 1)
    shifted = np.maximum(values - ranked[int(percentile * values.size)], 0)
    return shifted / shifted.max()


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw")
    maps, rng = raw_maps(14, 0), np.random.default_rng(1)
    boxes = {}
    for name, values in maps.items():  # near what one pair of percentile and threshold finds
        x0, y0, x1, y1 = contour_boxes(normalized("ivr", values, 0.7), 0.3)[0]
        dx, dy, dw, dh = (int(v) for v in rng.integers(-12, 13, 4))
        far = max(x0 + 9, x1 + dx + dw), max(y0 + 9, y1 + dy + dh)
        boxes[name] = [(max(0, x0 + dx), max(0, y0 + dy), *far)]
    for part, names in (("all", list(maps)), ("mine", list(maps)[:7]), ("other", list(maps)[7:])):
        folder = root / part
        folder.mkdir()
        tables = {
            "image_ids": names,
            "class_labels": [f"{name},0" for name in names],
            "image_sizes": [f"{name},{SIDE},{SIDE}" for name in names],
            "localization": [f"{name},{','.join(map(str, boxes[name][0]))}" for name in names],
        }
        for table, rows in tables.items():
            (folder / f"{table}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for name, values in maps.items():
        (root / "maps").mkdir(exist_ok=True)
        np.save(root / "maps" / f"{name}.npy", values)
    return root, maps, boxes


def score(root, part, *options, status=0):
    words = ["score", "--maps", root / "maps", "--metadata", root / part, "--json", root / "n.json"]
    words += ["--step", 1 / STEPS, "--workers", 1, *options]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == status, result.output
    return json.loads((root / "n.json").read_text(encoding="utf-8")), result


@pytest.mark.parametrize("name", NAMES)
def test_accuracies_are_those_of_a_loop_over_contours(split, name):
    root, maps, boxes = split
    options = ["--percentile", "0.4"] if name == "ivr" else []
    numbers, _ = score(root, "all", "--normalization", name, *options)
    finished = {image: normalized(name, values) for image, values in maps.items()}
    want = accuracies(finished, boxes, dict.fromkeys(maps, (SIDE, SIDE)), STEPS)
    assert (numbers["max_box_acc"], numbers["max_box_acc_v2"]) == pytest.approx(want)
    assert 0 < want[0] < 1
    assert (numbers["normalization"], numbers["percentile"]) == (
        name, 0.4 if name == "ivr" else None
    )  # fmt: skip


def test_a_percentile_is_chosen_on_other_maps_with_its_threshold(split):
    """All pairs are tried on the other maps, one at a time; these maps are never looked at."""
    root, maps, boxes = split
    numbers, result = score(
        root, "mine", "--normalization", "ivr", "--select-on", root / "maps", root / "other"
    )
    errors = np.array([
        [
            np.mean([
                iou_inclusive(contour_boxes(normalized("ivr", maps[one], p), t)[0], boxes[one][0])
                < 0.5
                for one in list(maps)[7:]
            ])
            for t in np.arange(STEPS) / STEPS
        ]
        for p in np.arange(1, 10) / 10
    ])  # fmt: skip
    way = round(10 * numbers["percentile"]) - 1
    step = round(STEPS * numbers["map_threshold"])
    assert errors[way, step] == errors.min()
    assert errors[way, step] < errors[0].min()  # so the first percentile would not do
    own = [
        iou_inclusive(
            contour_boxes(normalized("ivr", maps[one], numbers["percentile"]), step / STEPS)[0],
            boxes[one][0],
        )
        < 0.5
        for one in list(maps)[:7]
    ]
    assert numbers["gt_known_loc_err"] == pytest.approx(np.mean(own))
    assert f"normalization ivr, percentile {numbers['percentile']:g}" in result.output


def test_finished_maps_stay_as_they_are_without_a_choice(split):
    root, _, _ = split
    numbers, result = score(root, "all", status=2)  # these are raw
    assert len(numbers["bad_maps"]) == 14
    assert "out of range" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--normalization", "ivr"], "--normalization ivr: needs --percentile, or --select-on"),
        (["--normalization", "max", "--percentile", "0.5"], "is of --normalization ivr alone"),
        (["--percentile", "0.5"], "is of --normalization ivr alone"),
        (["--normalization", "softmax"], "softmax"),
        (["--normalization", "ivr", "--percentile", "1"], "--percentile"),
    ],
)
def test_a_choice_that_says_too_little_or_too_much_is_refused(split, options, said):
    root, _, _ = split
    words = ["score", "--maps", root / "maps", "--metadata", root / "all", *options]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 2
    assert said in result.stderr
