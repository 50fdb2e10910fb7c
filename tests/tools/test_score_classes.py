"""`spg score --scores`: errors of classes and boxes together, from a file of guessed classes."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from spg.cli import main

SIDE, CLASSES = 224, 7
IDS = [f"c{at % CLASSES}/{at:02d}.jpg" for at in range(40)]
LABELS = np.arange(len(IDS)) % CLASSES


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """Maps of one bright rectangle each, on the true box in two of three images."""
    root = tmp_path_factory.mktemp("split")
    rng = np.random.default_rng(0)
    boxes = []
    for at, name in enumerate(IDS):
        x, y = (int(v) for v in rng.integers(0, 100, 2))
        loc_map = np.zeros((SIDE, SIDE), np.float32)
        loc_map[y : y + 60, x : x + 60] = 1
        file = root / "maps" / f"{name}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, loc_map)
        shift = 120 if at % 3 == 0 else 0
        boxes.append(f"{name},{x + shift},{y},{x + shift + 60},{y + 60}")
    lines = {
        "image_ids": IDS,
        "class_labels": [f"{name},{label}" for name, label in zip(IDS, LABELS, strict=True)],
        "image_sizes": [f"{name},{SIDE},{SIDE}" for name in IDS],
        "localization": boxes,
    }
    (root / "metadata").mkdir()
    for name, rows in lines.items():
        (root / "metadata" / f"{name}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


def scores_of(seed):
    return np.random.default_rng(seed).normal(size=(len(IDS), CLASSES)).astype(np.float32)


def ranked(scores):
    return [sorted(range(CLASSES), key=lambda k: (-row[k], k))[:5] for row in scores.tolist()]


def write_csv(path, rows, header="image_id,top1,top2,top3,top4,top5"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def good_rows(guesses):
    return [f"{name},{','.join(map(str, row))}" for name, row in zip(IDS, guesses, strict=True)]


def score(split, tmp_path, scores, *more, status=0):
    found = CliRunner().invoke(
        main,
        ["score", "--maps", str(split / "maps"), "--metadata", str(split / "metadata"),
         "--workers", "1", "--json", str(tmp_path / "n.json"), "--scores", str(scores),
         *map(str, more)],
    )  # fmt: skip
    assert isinstance(found.exception, (SystemExit, type(None))), found.exception
    assert found.exit_code == status, found.output
    return json.loads((tmp_path / "n.json").read_text()) if status == 0 else found.output


@pytest.mark.parametrize("option", ["--table", "--json"])
def test_what_is_read_is_not_written_over(split, tmp_path, option):
    scores = write_csv(tmp_path / "scores.csv", good_rows(ranked(scores_of(0))))
    before = scores.read_bytes()
    said = score(split, tmp_path, scores, option, scores, status=2)
    assert f"{option} {scores}: is the file of --scores; give another one" in said
    assert scores.read_bytes() == before


def test_a_wrong_number_of_workers_is_one_sentence(split, monkeypatch):
    monkeypatch.setenv("SPG_WORKERS", "many")
    words = ["score", "--maps", str(split / "maps"), "--metadata", str(split / "metadata")]
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 2
    assert "SPG_WORKERS" in found.output


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [(), ("--threshold", "0.25")])
def test_errors_are_those_of_a_loop(split, tmp_path, seed, threshold):
    guesses = ranked(scores_of(seed))
    file = write_csv(tmp_path / "guessed.csv", reversed(good_rows(guesses)))
    table = tmp_path / "table.csv"
    numbers = score(split, tmp_path, file, "--table", table, *threshold)
    counts = dict.fromkeys(("top1_loc_err", "top5_loc_err", "top1_cls_err", "top5_cls_err"), 0)
    with table.open(newline="") as lines:
        for row, label, guessed in zip(csv.DictReader(lines), LABELS, guesses, strict=True):
            boxed = float(row["iou"]) >= 0.5
            first, among = label == guessed[0], label in guessed
            counts["top1_loc_err"] += not (boxed and first)
            counts["top5_loc_err"] += not (boxed and among)
            counts["top1_cls_err"] += not first
            counts["top5_cls_err"] += not among
            assert int(row["top1"]) == guessed[0]
            assert (row["outcome"] == "wrong_class") == (boxed and not first)
    assert {name: numbers[name] for name in counts} == pytest.approx(
        {name: count / len(IDS) for name, count in counts.items()}, abs=1e-15
    )
    assert 0 < numbers["top5_loc_err"] < numbers["top1_loc_err"] < 1  # else the test shows nothing


def test_scores_as_arrays_are_the_same_as_their_best_classes(split, tmp_path):
    scores = scores_of(1)
    scores[:, 3] = scores[:, 2]  # ties: the lower class comes first
    np.savez(tmp_path / "s.npz", image_ids=np.array(IDS), scores=scores)
    file = write_csv(tmp_path / "s.csv", good_rows(ranked(scores)))
    assert score(split, tmp_path, tmp_path / "s.npz") == score(split, tmp_path, file)


def test_what_needs_no_class_is_what_it_is_without(split, tmp_path):
    file = write_csv(tmp_path / "s.csv", good_rows(ranked(scores_of(2))))
    numbers = score(split, tmp_path, file)
    plain = CliRunner().invoke(
        main,
        ["score", "--maps", str(split / "maps"), "--metadata", str(split / "metadata"),
         "--workers", "1", "--json", str(tmp_path / "plain.json")],
    )  # fmt: skip
    assert plain.exit_code == 0, plain.output
    assert json.loads((tmp_path / "plain.json").read_text()).items() <= numbers.items()
    assert "Top-1" not in plain.output


def test_one_guess_has_no_top5_errors(split, tmp_path):
    rows = [f"{name},{label}" for name, label in zip(IDS, LABELS, strict=True)]
    numbers = score(split, tmp_path, write_csv(tmp_path / "s.csv", rows, "image_id,top1"))
    assert numbers["top1_cls_err"] == 0
    assert numbers["top1_loc_err"] == pytest.approx(numbers["gt_known_loc_err"], abs=1e-15)
    assert numbers["top5_loc_err"] is None
    assert numbers["top5_cls_err"] is None


def test_bad_maps_keep_the_order_of_the_images(split, tmp_path):
    file = write_csv(tmp_path / "s.csv", good_rows(ranked(scores_of(3))))
    found = CliRunner().invoke(
        main,
        ["score", "--maps", str(tmp_path), "--metadata", str(split / "metadata"),
         "--workers", "1", "--json", str(tmp_path / "n.json"), "--scores", str(file)],
    )  # fmt: skip
    assert found.exit_code == 2
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert [bad["image_id"] for bad in numbers["bad_maps"]] == IDS
    assert numbers["top1_loc_err"] == 1


MISTAKES = [
    (lambda rows: rows[1:], "c0/00.jpg has no row"),
    (lambda rows: [*rows, rows[3]], "line 42: c3/03.jpg stands twice, first in line 5"),
    (
        lambda rows: [*rows, "elsewhere.jpg,0,1,2,3,4"],
        "line 42: elsewhere.jpg is not in image_ids.txt",
    ),
    (lambda rows: [f"{IDS[0]},1,1,2,3,4", *rows[1:]], "line 2: 1,1,2,3,4 names a class twice"),
    (lambda rows: [f"{IDS[0]},bird,1,2,3,4", *rows[1:]], "line 2: bird,1,2,3,4 are not numbers"),
    (lambda rows: [f"{IDS[0]},-1,1,2,3,4", *rows[1:]], "line 2: -1,1,2,3,4 are not numbers"),
    (lambda rows: [f"{IDS[0]},1,2", *rows[1:]], "line 2: 1,2: expected 5 classes"),
    (lambda rows: [f"a, {IDS[0]},0,1,2,3,4", *rows[1:]], "quoted where it holds a comma"),
]


@pytest.mark.parametrize(("spoil", "said"), MISTAKES)
def test_mistakes_in_the_csv_are_named(split, tmp_path, spoil, said):
    rows = spoil(good_rows(ranked(scores_of(0))))
    output = score(split, tmp_path, write_csv(tmp_path / "s.csv", rows), status=2)
    assert said in output
    assert "s.csv" in output
    assert not (tmp_path / "n.json").exists()


def test_all_mistakes_are_one_list(split, tmp_path):
    rows = good_rows(ranked(scores_of(0)))
    file = write_csv(tmp_path / "s.csv", [*rows[2:], "elsewhere.jpg,0,1,2,3,4"])
    output = score(split, tmp_path, file, status=2)
    assert all(name in output for name in (IDS[0], IDS[1], "elsewhere.jpg"))


ARRAYS = [
    ({"scores": scores_of(0)}, "lacks the array image_ids"),
    ({"image_ids": np.array(IDS)}, "lacks the array scores"),
    ({"image_ids": np.array(IDS), "scores": scores_of(0)[1:]}, "[40, classes]"),
    ({"image_ids": np.array(IDS), "scores": scores_of(0)[:, :1]}, "fewer than two classes"),
    ({"image_ids": np.array(IDS), "scores": scores_of(0)[:, :4]}, "scores is of 4 classes, and"),
    ({"image_ids": np.array([*IDS[:-1], IDS[0]]), "scores": scores_of(0)}, "row 40: c0/00.jpg st"),
    ({"image_ids": np.array(IDS), "scores": LABELS[:, None] + np.arange(3)}, "floating point"),
    ({"image_ids": np.arange(40), "scores": scores_of(0)}, "row of text"),
    ({"image_ids": np.array(IDS, object), "scores": scores_of(0)}, "not readable"),
    (
        {"image_ids": np.array(IDS), "scores": np.full((40, 7), np.nan)},
        "scores of c0/00.jpg hold NaN",
    ),
]


@pytest.mark.parametrize(("arrays", "said"), ARRAYS)
def test_mistakes_in_the_arrays_are_named(split, tmp_path, arrays, said):
    np.savez(tmp_path / "s.npz", **arrays)
    assert said in score(split, tmp_path, tmp_path / "s.npz", status=2)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("s.txt", b"", "must end in .csv or .npz"),
        ("s.npz", b"no archive", "not readable as .npz: no zip archive"),
        ("s.npz", b"\x93NUMPY\x01\x00", "not readable as .npz: no zip archive"),
        ("s.npz", b"PK\x03\x04 torn", "not readable as .npz"),
        ("s.csv", b'image_id,top1\n"torn,1\n', "not readable as .csv"),
        ("s.csv", b"", "not readable as .csv"),
        ("s.csv", b"\xff\xfe\x00\x01", "not readable as .csv"),
        ("s.csv", b"a,b\n1,2\n", "its first line has to be image_id"),
        ("s.csv", b"image_id,top1,top3\nx,1,2\n", "its first line has to be image_id"),
    ],
)
def test_other_files_are_refused_in_one_sentence(split, tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    assert said in score(split, tmp_path, tmp_path / name, status=2)


def test_a_missing_file_is_named(split, tmp_path):
    assert "s.csv: no such file" in score(split, tmp_path, tmp_path / "s.csv", status=2)
