"""`spg score`: wsolevaluation's numbers from files, bad maps by name, the same from any process."""

from __future__ import annotations

import csv
import io
import json
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whole.scores import accuracies

from spg.cli import main
from spg.evaluate.image_errors import count_correct, max_box_acc, select_threshold
from spg.evaluate.metrics.boxes import best_iou
from spg.evaluate.metrics.cam_code import cam_code_boxes
from spg.evaluate.metrics.maps import localization_map
from spg.evaluate.metrics.pixels import pixel_average_precision, pixel_histogram
from spg.evaluate.metrics.protocols import PROTOCOLS
from spg.evaluate.metrics.sweeps import sweep_map
from spg.evaluate.outcomes import OUTCOMES
from spg.tools.scoring.map_files import BadMapError, file_of, read_map

GOLDEN = Path(__file__).parents[1] / "golden/wsolevaluation_boxes.npz"
PAPER, WSOL = PROTOCOLS["paper"], PROTOCOLS["wsolevaluation"]
IDS = [f"birds/{index:02d}.jpg" for index in range(48)]


def write_metadata(folder, sizes, boxes=None, masks=None):
    """The four files of a split; ``boxes`` and ``masks`` hold one list an image."""
    folder.mkdir(parents=True)
    ids = list(sizes)
    lines = {
        "image_ids": ids,
        "class_labels": [f"{name},{at % 5}" for at, name in enumerate(ids)],
        "image_sizes": [f"{name},{w},{h}" for name, (w, h) in sizes.items()] if boxes else [],
        "localization": [
            f"{name},{','.join(map(str, box))}"
            for name in ids
            for box in (boxes or {}).get(name, ())
        ]
        + [f"{name},{line}" for name in ids for line in (masks or {}).get(name, ())],
    }
    for name, rows in lines.items():
        (folder / f"{name}.txt").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return folder


def write_maps(folder, maps):
    for name, loc_map in maps.items():
        path = folder / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, loc_map)
    return folder


@pytest.fixture(scope="session")
def golden(tmp_path_factory):
    """wsolevaluation's 48 maps as files, with boxes in one metadata folder and masks in another."""
    root = tmp_path_factory.mktemp("golden")
    with np.load(GOLDEN) as archive:
        numbers = {name: archive[name] for name in archive.files}
    sizes = dict(zip(IDS, map(tuple, numbers["image_size_wh"].tolist()), strict=True))
    raw = {name: numbers[f"raw_map_{at:02d}"] for at, name in enumerate(IDS)}
    finished = {name: WSOL.loc_map(raw[name], sizes[name]) for name in IDS}
    boxes = {
        name: numbers["box_xyxy"][numbers["box_image_index"] == at].tolist()
        for at, name in enumerate(IDS)
    }
    masks = {}
    for at, name in enumerate(IDS):  # two files of the object, one of what is ignored
        mask, stem = numbers["mask_224"][at], name.removesuffix(".jpg")
        halves = [(mask == 1) & (np.arange(224) < 100), (mask == 1) & (np.arange(224) >= 100)]
        for part, pixels in (("a", halves[0]), ("b", halves[1]), ("i", mask != 0)):
            file = root / "masks" / f"{stem}_{part}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), pixels.astype(np.uint8) * 255)
        masks[name] = [f"{stem}_a.png,{stem}_i.png", f"{stem}_b.png,"]
    return SimpleNamespace(
        numbers=numbers,
        sizes=sizes,
        boxes=boxes,
        finished=finished,
        raw=raw,
        maps=write_maps(root / "maps", finished),
        raw_maps=write_maps(root / "raw", raw),
        boxed=write_metadata(root / "boxed", sizes, boxes=boxes),
        masked=write_metadata(root / "masked", sizes, masks=masks),
        masks=root / "masks",
    )


def run(*arguments):
    words = ["score", *map(str, arguments)]
    if "--workers" not in words:
        words += ["--workers", "1"]
    result = CliRunner().invoke(main, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def score(tmp_path, maps, metadata, *more, status=0):
    """Run it; return the numbers of its JSON."""
    file = tmp_path / "numbers.json"
    file.unlink(missing_ok=True)
    result = run("--maps", maps, "--metadata", metadata, "--json", file, *more)
    assert result.exit_code == status, result.output
    return json.loads(file.read_text(encoding="utf-8"))


# ---- wsolevaluation's numbers ----


def test_box_accuracies_are_those_of_wsolevaluation(golden, tmp_path):
    numbers = score(tmp_path, golden.maps, golden.boxed)
    largest, every = golden.numbers["largest_max_acc"], golden.numbers["all_max_acc"]
    assert numbers["max_box_acc"] == largest[1]
    assert numbers["max_box_acc_v2"] == every.mean()
    levels = ("0.3", "0.5", "0.7")
    assert numbers["max_box_acc_at"] == dict(zip(levels, largest.tolist(), strict=True))
    assert numbers["max_box_acc_v2_at"] == dict(zip(levels, every.tolist(), strict=True))
    assert numbers["images"] == 48
    assert numbers["thresholds"] == 1000
    assert numbers["protocol"] == "wsolevaluation"
    assert numbers["px_ap"] is None
    assert numbers["gt_known_loc_err_cam_code"] is None
    assert numbers["bad_maps"] == []


def test_the_gt_known_error_is_taken_at_the_best_threshold(golden, tmp_path):
    numbers = score(tmp_path, golden.maps, golden.boxed)
    correct = golden.numbers["largest_num_correct"][1]
    assert numbers["gt_known_loc_err"] == pytest.approx(1 - correct.max() / 48)
    assert numbers["threshold_kind"] == "oracle"
    grid = WSOL.thresholds(999)
    assert numbers["map_threshold"] == select_threshold(1 - correct / 48, grid)
    assert correct[int(np.flatnonzero(grid == numbers["map_threshold"])[0])] == correct.max()


def test_pixel_precision_is_that_of_wsolevaluation(golden, tmp_path):
    numbers = score(tmp_path, golden.maps, golden.masked, "--masks", golden.masks)
    assert numbers["px_ap"] == pytest.approx(float(golden.numbers["px_ap"]), rel=1e-12)
    assert numbers["max_box_acc"] is None
    assert numbers["max_box_acc_v2"] is None
    assert numbers["gt_known_loc_err"] is None


def test_boxes_and_masks_by_the_images_names_at_once(golden, tmp_path):
    """Segmentations like CUB's: one file an image, nothing ignored."""
    for at, name in enumerate(IDS):
        file = (tmp_path / "masks" / name).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        mask = (golden.numbers["mask_224"][at] == 1).astype(np.uint8)
        cv2.imwrite(str(file), mask * 7)
    numbers = score(tmp_path, golden.maps, golden.boxed, "--masks", tmp_path / "masks")
    grid = WSOL.thresholds(999)
    histogram = sum(
        pixel_histogram(golden.finished[name], (mask == 1).astype(np.uint8), grid)
        for name, mask in zip(IDS, golden.numbers["mask_224"], strict=True)
    )
    assert numbers["px_ap"] == pixel_average_precision(histogram)
    assert numbers["max_box_acc"] == golden.numbers["largest_max_acc"][1]


def test_the_summary_is_in_per_cent(golden):
    result = run("--maps", golden.maps, "--metadata", golden.boxed)
    assert result.exit_code == 0
    assert "protocol wsolevaluation: 48 images, 0 bad maps" in result.stdout
    accuracy = golden.numbers["largest_max_acc"][1]
    assert f"MaxBoxAcc                    {100 * accuracy:6.2f} %" in result.stdout
    assert f"{100 * golden.numbers['all_max_acc'].mean():6.2f} %" in result.stdout
    assert f"GT-known localization error  {100 * (1 - accuracy):6.2f} %" in result.stdout
    assert "CAM code" not in result.stdout
    assert "PxAP" not in result.stdout


# ---- The paper's protocol ----


def paper_by_hand(golden, threshold):
    """Errors of the raw maps, image by image: GT-known at a threshold, and of the CAM code."""
    sweeps, cam_code = [], 0
    for name in IDS:
        size = golden.sizes[name]
        truth = PAPER.true_boxes(np.array(golden.boxes[name], dtype=np.float64), size)
        loc_map = localization_map(golden.raw[name], size)
        sweeps.append(sweep_map(loc_map, truth, PAPER.thresholds(999), PAPER))
        guesses = cam_code_boxes(loc_map)[:1].astype(np.float64)
        cam_code += bool((best_iou(guesses, truth) >= 0.5).any())
    wrong = np.stack([sweep.iou[0] for sweep in sweeps]) < 0.5
    at = int(np.abs(PAPER.thresholds(999) - threshold).argmin())
    every = max_box_acc(count_correct(np.stack([sweep.iou_all for sweep in sweeps])), 48)
    return wrong.mean(axis=0)[at], 1 - cam_code / 48, 1 - wrong.mean(axis=0).min(), every.mean()


def test_the_papers_protocol_takes_raw_maps_of_any_size_and_range(golden, tmp_path):
    scaled = {name: golden.raw[name] * 1e5 - 3 for name in IDS}  # order and range are the same
    enlarged = {name: cv2.resize(golden.raw[name], (9, 40)) for name in IDS[:1]}
    want = paper_by_hand(golden, 0.2)
    found = score(
        tmp_path, golden.raw_maps, golden.boxed, "--protocol", "paper", "--threshold", 0.2
    )
    assert found["thresholds"] == 999
    assert found["map_threshold"] == 0.2
    assert found["threshold_kind"] == "fixed"
    names = ("gt_known_loc_err", "gt_known_loc_err_cam_code", "max_box_acc", "max_box_acc_v2")
    assert [found[name] for name in names] == pytest.approx(list(want))
    write_maps(tmp_path / "others", {**scaled, **enlarged})
    others = score(tmp_path, tmp_path / "others", golden.boxed, "--protocol", "paper")
    assert others["bad_maps"] == []
    assert others["max_box_acc"] == pytest.approx(found["max_box_acc"], abs=2.1 / 48)


def test_finished_maps_in_double_and_half_precision_are_read(golden, tmp_path):
    folder = write_maps(tmp_path / "maps", golden.finished)
    write_maps(folder, {name: golden.finished[name].astype(np.float64) for name in IDS[:5]})
    write_maps(folder, {name: golden.finished[name].astype(">f4") for name in IDS[5:9]})
    assert score(tmp_path, folder, golden.boxed) == score(tmp_path, golden.maps, golden.boxed)
    write_maps(folder, {name: golden.finished[name].astype(np.float16) for name in IDS})
    assert score(tmp_path, folder, golden.boxed)["bad_maps"] == []


# ---- Bad maps ----


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def spoil(folder, golden, trap):
    """Write one bad map of each kind over the golden ones; return their reasons by image."""
    good = golden.finished[IDS[0]]
    changed = {
        "NaN": np.where(np.eye(224), np.float32(np.nan), good),
        "infinity": np.where(np.eye(224), np.float32(np.inf), good),
        "wrong shape [224, 223], expected [224, 224]": good[:, 1:],
        "wrong shape [224, 224, 1], expected a map": good[..., None],
        "wrong shape [50176], expected a map": good.ravel(),
        "wrong shape [], expected a map": np.float32(0.5),
        "out of range: 0 to 1.5, expected 0 to 1": good * np.float32(1.5),
        "out of range: -1 to 0, expected 0 to 1": good - 1,
        "holds uint8, not floating-point": (good * 255).astype(np.uint8),
        "holds bool, not": good > 0.5,
        "holds complex64, not": good.astype(np.complex64),
    }
    reasons = dict(zip(IDS[1:], changed, strict=False))
    write_maps(folder, dict(zip(IDS[1:], changed.values(), strict=False)))
    truncated, empty, objects, pickled, archive, directory, missing, header = IDS[20:28]
    paths = {name: folder / f"{name}.npy" for name in IDS[20:28]}
    paths[truncated].write_bytes(paths[truncated].read_bytes()[:50_000])
    paths[empty].write_bytes(b"")
    np.save(paths[objects], np.array([[Trap(trap)]], dtype=object), allow_pickle=True)
    paths[pickled].write_bytes(pickle.dumps(Trap(trap)))
    with paths[archive].open("wb") as file:
        np.savez(file, map=good)
    paths[directory].unlink()
    paths[directory].mkdir()
    paths[missing].unlink()
    paths[header].write_bytes(paths[header].read_bytes().replace(b")", b"(", 1))
    unreadable = (truncated, empty, objects, pickled, directory, header)
    reasons |= dict.fromkeys(unreadable, "not readable as a .npy file")
    return reasons | {missing: "missing", archive: "an archive of several arrays"}


@pytest.fixture
def spoiled(golden, tmp_path):
    folder, trap = tmp_path / "maps", tmp_path / "trap"
    shutil.copytree(golden.maps, folder)
    yield SimpleNamespace(folder=folder, reasons=spoil(folder, golden, trap))
    assert not trap.exists()


def test_bad_maps_are_named_with_their_reasons_and_count_as_wrong(golden, tmp_path, spoiled):
    numbers = score(tmp_path, spoiled.folder, golden.boxed, status=2)
    found = {bad["image_id"]: bad["reason"] for bad in numbers["bad_maps"]}
    assert list(found) == sorted(spoiled.reasons)
    for name, reason in spoiled.reasons.items():
        assert reason in found[name], name
    good = np.array([name not in spoiled.reasons for name in IDS])
    for rule, key in (("largest", "max_box_acc_at"), ("all", "max_box_acc_v2_at")):
        iou = golden.numbers[f"{rule}_best_iou"] * good[:, None]
        want = [(iou >= level).sum(axis=0).max() / 48 for level in (0.3, 0.5, 0.7)]
        assert list(numbers[key].values()) == want
    assert numbers["images"] == 48


def test_bad_maps_end_in_one_sentence_and_status_2(golden, spoiled):
    result = run("--maps", spoiled.folder, "--metadata", golden.boxed)
    assert result.exit_code == 2
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith(f"error: {len(spoiled.reasons)} of 48 maps are missing or invalid")
    assert f"{IDS[1]}: holds NaN" in sentence
    assert f"{len(spoiled.reasons)} bad maps" in result.stdout
    assert "MaxBoxAccV2" in result.stdout  # the numbers come all the same


def test_pixels_of_bad_maps_are_background(golden, tmp_path, spoiled):
    numbers = score(tmp_path, spoiled.folder, golden.masked, "--masks", golden.masks, status=2)
    grid = WSOL.thresholds(999)
    zeros = np.zeros((224, 224), np.float32)
    histogram = sum(
        pixel_histogram(zeros if name in spoiled.reasons else golden.finished[name], mask, grid)
        for name, mask in zip(IDS, golden.numbers["mask_224"], strict=True)
    )
    assert numbers["px_ap"] == pixel_average_precision(histogram)
    assert len(numbers["bad_maps"]) == len(spoiled.reasons)


def test_bad_maps_in_the_table_have_their_reason_and_no_numbers(golden, tmp_path, spoiled):
    table = tmp_path / "table.parquet"
    score(tmp_path, spoiled.folder, golden.boxed, "--table", table, status=2)
    rows = {row["image_id"]: row for row in pq.read_table(table).to_pylist()}
    for name in IDS:
        if name in spoiled.reasons:
            assert spoiled.reasons[name] in rows[name]["map"]
            assert rows[name]["outcome"] == "bad map"
            assert rows[name]["iou"] is rows[name]["x1"] is None
        else:
            assert rows[name]["map"] == "ok"


def test_raw_maps_are_refused_only_for_what_no_map_may_be(golden, tmp_path):
    folder = shutil.copytree(golden.raw_maps, tmp_path / "raw")
    huge = np.linspace(-3e38, 3e38, 12, dtype=np.float32).reshape(3, 4)
    write_maps(folder, {IDS[0]: huge, IDS[1]: np.zeros((1, 1)), IDS[2]: np.full((2, 2), -np.inf)})
    write_maps(folder, {IDS[3]: np.zeros((0, 4), np.float32), IDS[4]: np.ones((2, 2, 2))})
    (folder / f"{IDS[5]}.npy").unlink()
    numbers = score(tmp_path, folder, golden.boxed, "--protocol", "paper", status=2)
    assert [bad["image_id"] for bad in numbers["bad_maps"]] == IDS[2:6]


def test_all_maps_bad(golden, tmp_path):
    (tmp_path / "nothing").mkdir()
    numbers = score(tmp_path, tmp_path / "nothing", golden.boxed, status=2)
    assert numbers["max_box_acc"] == numbers["max_box_acc_v2"] == 0
    assert numbers["gt_known_loc_err"] == 1
    assert len(numbers["bad_maps"]) == 48
    result = run("--maps", tmp_path / "nothing", "--metadata", golden.boxed)
    assert "; and 28 more (all in --json)" in result.stderr
    assert result.stderr.count("missing") == 21


# ---- Map files ----


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


GOOD = npy(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(
    st.lists(st.tuples(st.integers(0, 140), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, len(GOOD)),
)
def test_a_damaged_file_is_read_or_refused_with_a_reason(tmp_path, changes, length):
    spoiled, reasons = bytearray(GOOD), []
    for place, byte in changes:
        spoiled[place] = byte
    for content in (bytes(spoiled), bytes(spoiled[:length])):
        (tmp_path / "x.npy").write_bytes(content)
        try:
            read_map(tmp_path / "x.npy")
        except BadMapError as error:
            reasons.append(str(error))
    assert all(reason and "\n" not in reason for reason in reasons)


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (8, 8",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999, 8), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (True, 8), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-8, 8), }",
        b"{'descr': 'O', 'fortran_order': False, 'shape': (8, 8), }",
        b"{[]: 3}",
        b"'''",
    ],
)
def test_headers_that_numpy_stumbles_over(tmp_path, header):
    padded = header.ljust(117) + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + padded + bytes(256))
    with pytest.raises(BadMapError, match=r"not readable as a \.npy file"):
        read_map(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("stored", "dtype"),
    [
        (np.float16, np.float32),
        (np.float32, np.float32),
        (">f4", np.float32),
        (np.float64, np.float64),
        (">f8", np.float64),
        (np.longdouble, np.float64),
    ],
)
def test_floating_point_maps_of_any_kind_become_float32_or_float64(tmp_path, stored, dtype):
    values = np.arange(6).reshape(2, 3) / 8
    np.save(tmp_path / "x.npy", values.astype(stored))
    found = read_map(tmp_path / "x.npy")
    assert found.dtype == dtype
    assert found.tolist() == values.tolist()


def test_maps_in_fortran_order_are_the_same_maps(tmp_path):
    values = np.random.default_rng(0).random((5, 7), np.float32)
    np.save(tmp_path / "x.npy", np.asfortranarray(values))
    found = read_map(tmp_path / "x.npy")
    assert (found == values).all()
    assert found.flags.c_contiguous  # what the evaluator's loops are compiled for


def test_files_named_without_the_images_suffix_are_found(golden, tmp_path):
    folder = tmp_path / "maps"
    shutil.copytree(golden.maps, folder)
    for name in IDS[::2]:
        whole = folder / f"{name}.npy"
        whole.rename((folder / name).with_suffix(".npy"))
    assert score(tmp_path, folder, golden.boxed) == score(tmp_path, golden.maps, golden.boxed)


def test_the_whole_name_comes_first(tmp_path):
    for name in ("a.b.jpg.npy", "a.b.npy"):
        assert file_of(tmp_path, "a.b.jpg", ".npy") == tmp_path / "a.b.jpg.npy"
        (tmp_path / name).touch()
    assert file_of(tmp_path, "a.b.jpg", ".npy") == tmp_path / "a.b.jpg.npy"
    (tmp_path / "a.b.jpg.npy").unlink()
    assert file_of(tmp_path, "a.b.jpg", ".npy") == tmp_path / "a.b.npy"


# ---- Processes ----


def test_any_number_of_processes_writes_the_same_bytes(golden, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "spg.tools.scoring.tally.MAPS_A_TASK", 3
    )  # bad maps in three of the five tasks
    some = IDS[:14]
    metadata = write_metadata(
        tmp_path / "metadata",
        {name: golden.sizes[name] for name in some},
        boxes={name: golden.boxes[name] for name in some},
    )
    bad = [IDS[1], IDS[7], IDS[13]]
    good = {name: golden.finished[name] for name in some if name not in bad}
    folder = write_maps(tmp_path / "maps", good)
    written = []
    for workers in (1, 2, 3):
        numbers, table = tmp_path / f"{workers}.json", tmp_path / f"{workers}.csv"
        result = run(
            "--maps", folder, "--metadata", metadata,
            "--json", numbers, "--table", table, "--workers", workers,
        )  # fmt: skip
        assert result.exit_code == 2
        written.append((result.stdout, numbers.read_bytes(), table.read_bytes()))
    assert len(set(written)) == 1
    assert [one["image_id"] for one in json.loads(written[0][1])["bad_maps"]] == bad
    assert not list(tmp_path.glob(".*"))  # nothing half-written


# ---- Thresholds ----


def test_a_fixed_threshold(golden, tmp_path):
    numbers = score(tmp_path, golden.maps, golden.boxed, "--threshold", "0.3")
    assert numbers["threshold_kind"] == "fixed"
    assert numbers["map_threshold"] == pytest.approx(0.3)
    correct = golden.numbers["largest_num_correct"][1, 300]
    assert numbers["gt_known_loc_err"] == pytest.approx(1 - correct / 48)
    assert numbers["max_box_acc"] == golden.numbers["largest_max_acc"][1]


def test_a_threshold_that_is_chosen_on_other_maps(golden, tmp_path):
    mine, theirs = IDS[:20], IDS[20:]
    metadata = write_metadata(
        tmp_path / "mine",
        {name: golden.sizes[name] for name in mine},
        boxes={name: golden.boxes[name] for name in mine},
    )
    other = write_metadata(
        tmp_path / "theirs",
        {name: golden.sizes[name] for name in theirs},
        boxes={name: golden.boxes[name] for name in theirs},
    )
    numbers = score(tmp_path, golden.maps, metadata, "--select-on", golden.maps, other)
    iou = golden.numbers["largest_best_iou"]
    grid = WSOL.thresholds(999)
    chosen = select_threshold((iou[20:] < 0.5).mean(axis=0), grid)
    assert numbers["threshold_kind"] == "selected"
    assert numbers["map_threshold"] == chosen
    at = int(np.flatnonzero(grid == chosen)[0])
    assert numbers["gt_known_loc_err"] == pytest.approx((iou[:20, at] < 0.5).mean())
    oracle = score(tmp_path, golden.maps, metadata)
    assert oracle["map_threshold"] != chosen
    assert oracle["gt_known_loc_err"] <= numbers["gt_known_loc_err"]


def test_a_threshold_is_not_chosen_on_bad_maps(golden, tmp_path):
    (tmp_path / "nothing").mkdir()
    result = run(
        "--maps", golden.maps, "--metadata", golden.boxed,
        "--select-on", tmp_path / "nothing", golden.boxed,
    )  # fmt: skip
    assert result.exit_code == 2
    assert f"--select-on {tmp_path / 'nothing'}: 48 of 48 maps are missing" in result.stderr


# ---- The table ----


def test_the_table_says_what_each_map_finds(golden, tmp_path):
    table, sheet = tmp_path / "table.parquet", tmp_path / "table.csv"
    numbers = score(tmp_path, golden.maps, golden.boxed, "--table", table, "--threshold", 0.25)
    score(tmp_path, golden.maps, golden.boxed, "--table", sheet, "--threshold", 0.25)
    rows = pq.read_table(table).to_pylist()
    assert [row["image_id"] for row in rows] == IDS
    iou = np.array([row["iou"] for row in rows], dtype=np.float32)
    assert (iou == golden.numbers["largest_best_iou"][:, 250]).all()
    iou_all = np.array([row["iou_all"] for row in rows], dtype=np.float32)
    assert (iou_all == golden.numbers["all_best_iou"][:, 250]).all()
    assert {row["outcome"] for row in rows} <= set(OUTCOMES) - {"wrong_class"}
    wrong = sum(row["outcome"] != "correct" for row in rows)
    assert numbers["gt_known_loc_err"] == pytest.approx(wrong / 48)
    for row in rows[:5]:
        levels = np.floor(golden.finished[row["image_id"]] * np.float32(255))
        passed = np.argwhere(levels > int(0.25 * levels.max()))
        assert (row["y1"], row["x1"]) >= tuple(passed.min(axis=0))
        assert row["x2"] <= passed[:, 1].max() + 1
    with sheet.open(newline="", encoding="utf-8") as file:
        texts = list(csv.DictReader(file))
    assert [text["image_id"] for text in texts] == IDS
    assert [float(text["iou"]) for text in texts] == [row["iou"] for row in rows]
    assert [int(text["x2"]) for text in texts] == [row["x2"] for row in rows]


def test_the_table_is_of_the_threshold_that_is_summarized(tmp_path):
    """0.7 and 700 steps of 0.001 are two numbers, on either side of level 63 of 90."""
    loc_map = np.zeros((224, 224), np.float32)
    loc_map[:100, :100] = 63 / 255
    loc_map[:50, :50] = 90 / 255
    loc_map[loc_map > 0] += 1e-4  # clear of rounding
    maps = write_maps(tmp_path / "maps", {"a.jpg": loc_map})
    metadata = write_metadata(
        tmp_path / "metadata", {"a.jpg": (224, 224)}, boxes={"a.jpg": [[0, 0, 99, 99]]}
    )
    table = tmp_path / "table.parquet"
    numbers = score(tmp_path, maps, metadata, "--threshold", "0.7", "--table", table)
    (row,) = pq.read_table(table).to_pylist()
    assert (row["outcome"] == "correct") == (numbers["gt_known_loc_err"] == 0)


# ---- Mistakes ----


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--threshold", "0.2005"], "--threshold 0.2005: not one of 0, 0.001 ... 0.999"),
        (["--threshold", "0.2", "--select-on", "{maps}", "{boxed}"], "exclude each other"),
        (["--table", "table.xlsx"], "--table table.xlsx: the name must end in .csv or .parquet"),
        (["--maps", "nowhere"], "nowhere: no such folder of maps"),
        (["--metadata", "nowhere"], "image_ids.txt: no such file"),
        (["--metadata", "{masked}"], "localization.txt: names masks and no boxes; give the folder"),
        (["--metadata", "{masked}", "--masks", "nowhere"], "_a.png: no such mask"),
        (["--protocol", "paper", "--threshold", "0"], "--threshold 0: not one of 0.001"),
    ],
)
def test_mistakes_are_one_sentence_and_write_nothing(golden, tmp_path, options, sentence):
    words = [word.format(**vars(golden)) for word in options]
    result = run(
        "--maps", golden.maps, "--metadata", golden.boxed, "--json", tmp_path / "x.json", *words
    )
    assert result.exit_code == 2
    assert sentence in result.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options", [["--threshold", "1"], ["--protocol", "pascal"], ["--workers", "-1"]]
)
def test_options_out_of_range_are_refused(golden, options):
    result = run("--maps", golden.maps, "--metadata", golden.boxed, *options)
    assert result.exit_code == 2
    assert options[0] in result.stderr


def test_metadata_without_boxes_masks_or_sizes(golden, tmp_path):
    metadata = write_metadata(tmp_path / "metadata", golden.sizes)
    result = run("--maps", golden.maps, "--metadata", metadata)
    assert result.exit_code == 2
    assert "localization.txt: holds neither boxes nor masks" in result.stderr
    shutil.copy(golden.boxed / "localization.txt", metadata)
    result = run("--maps", golden.maps, "--metadata", metadata)
    assert result.exit_code == 2
    assert "image_sizes.txt: empty, but boxes need the images' sizes" in result.stderr


def test_boxes_that_follow_a_mask_need_sizes_too(golden, tmp_path):
    metadata = write_metadata(
        tmp_path / "metadata", {name: (224, 224) for name in IDS[:2]}, masks={IDS[0]: ["a.png,"]}
    )
    with (metadata / "localization.txt").open("a", encoding="utf-8") as file:
        file.write(f"{IDS[1]},1,2,30,40\n")
    cv2.imwrite(str(tmp_path / "a.png"), np.ones((224, 224), np.uint8))
    result = run("--maps", golden.maps, "--metadata", metadata, "--masks", tmp_path)
    assert result.exit_code == 2
    assert "image_sizes.txt" in result.stderr


def test_a_mask_of_another_size_than_its_map(golden, tmp_path):
    """Without image sizes, as OpenImages' metadata are, the mask has the size of the image."""
    mask = np.zeros((5, 9), np.uint8)
    mask[1:4, 2:7] = 1
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    metadata = write_metadata(tmp_path / "metadata", {IDS[0]: (5, 9)}, masks={IDS[0]: ["m.png,"]})
    for protocol in ("paper", "official"):
        numbers = score(
            tmp_path, golden.raw_maps, metadata, "--masks", tmp_path, "--protocol", protocol
        )
        loc_map = PROTOCOLS[protocol].loc_map(golden.raw[IDS[0]], (9, 5))
        histogram = pixel_histogram(loc_map, mask, PAPER.thresholds(999))
        assert numbers["px_ap"] == pixel_average_precision(histogram)


# ---- What people bring ----


def write_case(tmp_path, maps, *, sizes=None, boxes=None, masks=None):
    """Write a split of a few images and its maps; return the options that score it."""
    ids = list(maps)
    sizes = sizes or dict.fromkeys(ids, (224, 224))
    write_maps(tmp_path / "maps", maps)
    metadata = write_metadata(tmp_path / "metadata", sizes, boxes=boxes, masks=masks)
    return ["--maps", tmp_path / "maps", "--metadata", metadata]


def hill(x=100, y=90, r=40):
    rows, columns = np.mgrid[0:224, 0:224]
    values = np.exp(-(((columns - x) / r) ** 2 + ((rows - y) / r) ** 2))
    return ((values - values.min()) / (values.max() - values.min())).astype(np.float32)


BOXES = {"a.jpg": [(60, 50, 140, 130)], "b.jpg": [(60, 50, 140, 130)]}
BOTH = {"a.jpg": hill(), "b.jpg": hill(110, 80)}


@pytest.mark.parametrize(("step", "steps"), [(0.01, 100), (0.05, 20), (0.001, 1000)])
def test_the_step_of_thresholds_is_wsolevaluations_interval(golden, tmp_path, step, steps):
    numbers = score(tmp_path, golden.maps, golden.boxed, "--step", step)
    assert numbers["thresholds"] == steps
    assert numbers["step"] == pytest.approx(step)
    boxes = {name: golden.boxes[name] for name in IDS}
    if steps <= 100:
        want = accuracies(golden.finished, boxes, golden.sizes, steps)
        assert (numbers["max_box_acc"], numbers["max_box_acc_v2"]) == pytest.approx(want)


@pytest.mark.parametrize("step", ["0", "-1", "nan", "inf", "1", "0.3", "0.0001", "1e-320"])
def test_a_step_that_does_not_divide_the_range_is_refused(golden, step):
    result = run("--maps", golden.maps, "--metadata", golden.boxed, "--step", step)
    assert result.exit_code == 2
    assert "has to be 1 over a whole number up to 1,000" in result.stderr


def test_a_map_that_is_a_little_too_large_is_refused_with_all_its_digits(tmp_path):
    case = write_case(tmp_path, {"a.jpg": hill() * np.float32(1.0000001)}, boxes=BOXES)
    assert "out of range: 0 to 1.0000001, expected 0 to 1" in run(*case).stderr


def test_one_map_for_two_images_is_refused(tmp_path):
    ids = {"a.jpg": (224, 224), "a.png": (224, 224)}
    metadata = write_metadata(tmp_path / "m", ids, boxes=dict.fromkeys(ids, BOXES["a.jpg"]))
    write_maps(tmp_path / "maps", {"a": hill()})
    result = run("--maps", tmp_path / "maps", "--metadata", metadata)
    assert result.exit_code == 2
    assert "a.npy: the only map for two images, a.jpg and a.png" in result.stderr
    write_maps(tmp_path / "maps", {"a.png": hill()})
    assert score(tmp_path, tmp_path / "maps", metadata)["bad_maps"] == []


def test_one_mask_for_two_images_is_refused_and_whole_names_are_found(tmp_path):
    ids = ("bird.001", "bird.002")
    case = write_case(
        tmp_path, dict.fromkeys(ids, hill()), boxes=dict.fromkeys(ids, BOXES["a.jpg"])
    )
    masks = tmp_path / "masks"
    masks.mkdir()
    cv2.imwrite(str(masks / "bird.png"), np.eye(224, dtype=np.uint8))
    result = run(*case, "--masks", masks)
    assert result.exit_code == 2
    assert "bird.png: the only mask for two images, bird.001 and bird.002" in result.stderr
    for name in ids:
        cv2.imwrite(str(masks / f"{name}.png"), np.eye(224, dtype=np.uint8))
    assert run(*case, "--masks", masks).exit_code == 0


@pytest.mark.parametrize(
    ("sizes", "boxes", "said"),
    [
        (
            (100, 300),
            [(10, 10, 250, 90)],
            "2 would fit with width and height swapped",
        ),
        ((300, 300), [(10, 10, 250, 390)], "2 of 2 images have boxes that reach beyond the image"),
        ((300, 300), [(0.1, 0.1, 0.5, 0.9)], "2 of 2 images have boxes within 1 x 1 pixels"),
    ],
)
def test_boxes_that_do_not_fit_are_a_warning_with_counts(tmp_path, caplog, sizes, boxes, said):
    case = write_case(tmp_path, BOTH, sizes=dict.fromkeys(BOTH, sizes),
                      boxes=dict.fromkeys(BOTH, boxes))  # fmt: skip
    numbers = score(tmp_path, case[1], case[3])
    assert len(numbers["warnings"]) == 1
    assert said in numbers["warnings"][0]
    assert said in caplog.text


def test_boxes_at_the_border_are_no_warning(golden, tmp_path):
    assert score(tmp_path, golden.maps, golden.boxed)["warnings"] == []
    boxes = {name: [(0, 0, 224, 225)] for name in BOTH}  # as published ones leave their images
    case = write_case(tmp_path, BOTH, boxes=boxes)
    assert score(tmp_path, case[1], case[3])["warnings"] == []


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_images_without_what_the_others_have_are_refused(tmp_path, kind):
    """They would be divided in as misses."""
    boxes = BOXES if kind == "masks" else {"a.jpg": BOXES["a.jpg"]}
    masks = {"b.jpg": ["b.png,"]}
    case = write_case(tmp_path, BOTH, boxes=boxes, masks=masks)
    result = run(*case, "--masks", tmp_path)
    assert result.exit_code == 2
    assert f"1 of 2 images have no {kind}, e.g. " in result.stderr


def test_masks_without_an_object_are_refused_and_odd_ones_counted(tmp_path, caplog):
    black, white = np.zeros((120, 160), np.uint8), np.full((120, 160), 7, np.uint8)
    masks = {name: [f"{name}.png,"] for name in BOTH}
    case = [*write_case(tmp_path, BOTH, masks=masks), "--masks", tmp_path]
    for name in BOTH:
        cv2.imwrite(str(tmp_path / f"{name}.png"), black)
    result = run(*case)
    assert result.exit_code == 2
    assert "no mask has a pixel of an object, in all 2 images; PxAP cannot be" in result.stderr
    cv2.imwrite(str(tmp_path / "a.jpg.png"), white)
    assert run(*case).exit_code == 0
    assert "1 of 2 images have no pixel of an object in their masks" in caplog.text
    assert "1 of 2 images have no pixel of the background in their masks" in caplog.text


def test_masks_of_another_shape_than_the_images_are_counted(tmp_path):
    sizes, masks = dict.fromkeys(BOTH, (160, 120)), tmp_path / "masks"
    masks.mkdir()
    case = write_case(tmp_path, BOTH, sizes=sizes, boxes=BOXES)
    for name, shape in (("a", (160, 120)), ("b", (60, 81))):  # turned; smaller, as OpenImages' are
        mask = np.zeros(shape, np.uint8)
        mask[9:30, 9:30] = 1
        cv2.imwrite(str(masks / f"{name}.png"), mask)
    said = score(tmp_path, case[1], case[3], "--masks", masks)["warnings"]
    assert [text for text in said if "shape" in text] == [
        "1 of 2 images have masks of another shape than image_sizes.txt states"
    ]


def test_an_archive_in_the_place_of_a_map_is_named(tmp_path):
    case = write_case(tmp_path, {"b.jpg": hill()}, boxes=BOXES, sizes=dict.fromkeys(BOXES, (9, 9)))
    np.savez(tmp_path / "maps/a.npz", hill())
    said = run(*case).stderr
    assert "a.jpg: missing; a.npz is an archive of several arrays; save each map by np.save" in said


def test_a_table_and_the_numbers_are_two_files(golden, tmp_path):
    same = tmp_path / "n.csv"
    for other in (same, tmp_path / "x" / ".." / "n.csv"):
        case = ["--maps", golden.maps, "--metadata", golden.boxed, "--table", same]
        result = run(*case, "--json", other)
        assert result.exit_code == 2
        assert not same.exists()


def test_a_threshold_that_is_no_number_is_refused(golden):
    result = run("--maps", golden.maps, "--metadata", golden.boxed, "--threshold", "nan")
    assert result.exit_code == 2


@pytest.mark.parametrize("option", [("--threshold", "0.3"), ("--select-on", "maps", "split")])
def test_options_of_boxes_are_refused_where_there_are_masks_alone(golden, option):
    words = [golden.maps if word == "maps" else golden.boxed if word == "split" else word
             for word in option]  # fmt: skip
    result = run(
        "--maps", golden.maps, "--metadata", golden.masked, "--masks", golden.masks, *words
    )
    assert result.exit_code == 2
    assert "--threshold and --select-on have no effect" in result.stderr
