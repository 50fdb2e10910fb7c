"""The readers of the real layouts: same images, same annotations; a mistake is one sentence."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets.imagenet as torchvision_imagenet
from PIL import Image
from readings import objections
from tiny_ilsvrc import Ilsvrc, from_kaggle, jpeg, tiny_ilsvrc, voc

from spg.data.datasets.ilsvrc import Source as IlsvrcSource
from spg.data.fetch.ilsvrc import archives, kaggle
from spg.data.fetch.ilsvrc.voc import parse_voc
from spg.data.layouts import cub, ilsvrc
from spg.data.layouts.raw import check_root, read_image
from spg.data.prepare.stage import prepare
from spg.data.sources.ilsvrc import fetch
from spg.project.errors import UserError
from spg.project.params import parse_params, read_yaml
from spg.project.workspace import Workspace

SOURCE = IlsvrcSource(fullsup="none")
GOLDEN = Path(__file__).parents[1] / "golden"
ROOT = Path(__file__).parents[2]
ORDER = ["n02119789", "n01751748", "n01440764"]  # the devkit's, which is not sorted


def fetched(tmp_path, monkeypatch, root, md5=archives.MD5):
    """Fetch from ``root`` and return the raw folder."""
    monkeypatch.setenv("SPG_ILSVRC_ROOT", str(root))
    workspace = Workspace(tmp_path / f"project-{root.name}")
    fetch(workspace, "ilsvrc", SOURCE, md5=md5)
    return workspace.raw("ilsvrc")


# ---- CUB-200-2011 ----

CUB = {
    "images": "1 001.A/a.jpg\n2 001.A/b.jpg\n3 002.B/c.jpg\n",
    "image_class_labels": "1 1\n2 1\n3 2\n",
    "train_test_split": "1 1\n2 0\n3 1\n",
    "bounding_boxes": "1 0.0 1.0 30.0 20.0\n2 -3.5 0.0 700.0 5.0\n3 1.0 1.0 1.0 1.0\n",
    "classes": "1 001.A\n2 002.B\n",
}


@pytest.fixture
def birds(tmp_path):
    for name, text in CUB.items():
        (tmp_path / f"{name}.txt").write_text(text)
    return tmp_path


def test_a_cub_archive_reads_as_the_contract_says(birds):
    first, second, third = cub.read_annotations(birds)
    assert first == (
        "001.A/a.jpg", "images/001.A/a.jpg", 0, "001.A", "train_weaksup",
        ((0.0, 1.0, 30.0, 21.0),), None, None, None, "images.txt:1",
        "bounding_boxes.txt:1", None, None, True, (), "", None,
        (), None, False,
    )  # fmt: skip
    assert (second.split, third.class_id) == ("test", 1)
    assert second.boxes == ((-3.5, 0.0, 696.5, 5.0),)  # beyond the image: prepare clips it
    (birds / "segmentations").mkdir()
    assert cub.read_annotations(birds)[2].object_mask == "segmentations/002.B/c.png"
    assert cub.read_annotations(birds)[2].part_mask is None


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(birds):
    want = cub.read_annotations(birds)
    for name, text in CUB.items():
        (birds / f"{name}.txt").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert cub.read_annotations(birds) == want


@pytest.mark.parametrize(
    ("table", "line", "said"),
    [
        ("images", "2 001.A/caf\xe9.jpg", "not UTF-8"),
        ("classes", "2 \xe9", "not UTF-8"),
        ("images", "2 /etc/passwd.jpg", "no file inside images/"),
        ("images", "2 001.A/../../../x.jpg", "no file inside images/"),
        ("images", "2 nothing", "no file inside images/"),
        ("bounding_boxes", "2 0 0 inf 5", "not finite"),
        ("bounding_boxes", "2 -inf 0 5 5", "not finite"),
        ("bounding_boxes", "2 nan 0 5 5", "not finite"),
        ("bounding_boxes", "2 1e308 0 1e308 5", "not finite"),
        ("bounding_boxes", "2 0 0 0 5", "no area"),
        ("bounding_boxes", "2 0 0 5 -1", "no area"),
        ("train_test_split", "2 2", "expected 1 .* or 0"),
        ("train_test_split", "2 -1", "expected 1 .* or 0"),
        ("train_test_split", "2 1.0", "expected 1 .* or 0"),
        ("image_class_labels", "2 1_0", "expected a class number"),
        ("image_class_labels", "2 -1", "expected a class number"),
        ("image_class_labels", f"2 {'9' * 5000}", "expected a class number"),
        ("images", f"{'9' * 5000} 001.A/x.jpg", "expected a number first"),
        ("images", "2 001.A/x\1.jpg", "no file inside images/"),
    ],
)
def test_a_malformed_line_of_cub_is_named(birds, table, line, said):
    path = birds / f"{table}.txt"
    lines = path.read_text().splitlines()
    path.write_bytes("\n".join([lines[0], line, *lines[2:]]).encode("latin-1"))
    said = re.compile(rf"{table}\.txt:2: .*{said}")
    assert any(map(said.search, objections(cub.read_annotations, birds)))


def test_an_image_under_two_numbers_is_named(birds):
    (birds / "images.txt").write_text("1 001.A/a.jpg\n2 001.A/b.jpg\n3 001.A/a.jpg\n")
    (said,) = objections(cub.read_annotations, birds)
    assert said == "images.txt:3: 001.A/a.jpg stands twice, first in line 1"


def test_bytes_of_0_are_taken_for_utf_16_without_its_mark(birds):
    (birds / "images.txt").write_bytes(CUB["images"].encode("utf-16-le"))
    with pytest.raises(UserError, match=r"images\.txt: holds bytes of 0, as UTF-16 without"):
        cub.read_annotations(birds)


@pytest.mark.parametrize("numbers", [(0, 1), (1, 2), (7, 900)])
def test_classes_count_from_anything_and_may_have_gaps(birds, numbers):
    first, second = numbers
    (birds / "classes.txt").write_text(f"{second} 002.B\n{first} 001.A\n{second + 5} unused\n")
    (birds / "image_class_labels.txt").write_text(f"1 {first}\n2 {first}\n3 {second}\n")
    found = [(item.class_id, item.class_name) for item in cub.read_annotations(birds)]
    assert found == [(0, "001.A"), (0, "001.A"), (1, "002.B")]


def test_names_may_hold_blanks(birds):
    (birds / "images.txt").write_text("1 Cyprinus carpio/a  b.jpg\n2\t001.A/b.jpg\n3 002.B/c.jpg\n")
    (birds / "classes.txt").write_text("1 Cyprinus carpio\n2 002.B\n")
    (birds / "segmentations").mkdir()
    first = cub.read_annotations(birds)[0]
    assert first.file == "images/Cyprinus carpio/a  b.jpg"
    assert first.object_mask == "segmentations/Cyprinus carpio/a  b.png"
    assert first.class_name == "Cyprinus carpio"


def test_a_table_of_another_kind_is_one_sentence(birds):
    path = birds / "train_test_split.txt"
    path.write_text(path.read_text().replace(" ", ","))
    said = objections(cub.read_annotations, birds)
    assert said[0] == (
        "train_test_split.txt:1: expected a number first and a blank behind it, got '1,1', and so "
        "do all 3 lines"
    )


# ---- ILSVRC: both layouts ----


@pytest.fixture
def both(tmp_path, monkeypatch):
    """The raw folders of the same images in Kaggle's layout and in the archives."""
    release = tiny_ilsvrc()
    release.train_xml = {
        "n01440764_0.JPEG": voc("n01440764_0", (30, 20), [("n01440764", (3, 4, 9, 8))]),
        "n02119789_0.JPEG": voc(
            "%s", (30, 20), [("n02119789", (9, 9, 3, 3)), ("n01440764", (1, 1, 2, 2))]
        ),
    }
    tree = release.write_kaggle(tmp_path / "tree")
    md5 = release.write_archives(tmp_path / "tars", ORDER)
    raws = [fetched(tmp_path, monkeypatch, tree)]
    raws.append(fetched(tmp_path, monkeypatch, tmp_path / "tars", md5))
    return release, *raws


def test_both_layouts_give_the_same_annotations_and_bytes(both, tmp_path, monkeypatch):
    release, tree, tars = both
    annotations = ilsvrc.read_annotations(tree)
    assert ilsvrc.read_annotations(tars) == annotations
    want = {f"val/{name}": data for name, data in release.val.items()}
    for wnid, images in release.train.items():
        want |= {f"train/{wnid}/{name}": data for name, data in images.items()}
    assert [item.image_id for item in annotations] == sorted(want)
    for raw, root in ((tree, "tree"), (tars, "tars")):
        monkeypatch.setenv("SPG_ILSVRC_ROOT", str(tmp_path / root))
        assert {item.image_id: read_image(raw, item.file) for item in annotations} == want


def test_the_annotations_say_what_the_files_say(both):
    by_id = {item.image_id: item for item in ilsvrc.read_annotations(both[1])}
    item = by_id["val/ILSVRC2012_val_00000005.JPEG"]
    assert item.class_id == 2
    assert item.class_name == "n02119789 kit fox"
    assert item.split == "test"
    assert item.boxes == ((0.0, 0.0, 45.0, 30.0),) * 2  # 0 to 44 in 45 pixels: the whole image
    assert (item.object_mask, item.part_mask) == (None, None)
    item = by_id["train/n01440764/n01440764_0.JPEG"]
    assert (item.class_id, item.split) == (0, "train_weaksup")
    assert item.boxes == ((3.0, 4.0, 10.0, 9.0),)
    # without area, or of another class
    assert by_id["train/n02119789/n02119789_0.JPEG"].boxes == ()


def test_the_index_names_no_place_outside_and_copies_no_image(both):
    for raw, root in ((both[1], "tree"), (both[2], "tars")):
        assert sorted(path.name for path in raw.iterdir()) == ["index.parquet", "synsets.json"]
        for path in raw.iterdir():
            assert root.encode() not in path.read_bytes()
            assert b"project" not in path.read_bytes()


def test_fetching_twice_gives_the_same_bytes(both, tmp_path, monkeypatch):
    raw = both[1]
    before = {path.name: path.read_bytes() for path in raw.iterdir()}
    moved = tmp_path / "elsewhere" / "tree"
    shutil.copytree(tmp_path / "tree", moved)
    raw = fetched(tmp_path / "again", monkeypatch, moved)
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == before


def test_images_are_read_in_other_processes(both, monkeypatch, tmp_path):
    monkeypatch.setenv("SPG_ILSVRC_ROOT", str(tmp_path / "tars"))
    annotations = ilsvrc.read_annotations(both[2])
    here = [read_image(both[2], item.file) for item in annotations]
    pickle.dumps(read_image)
    with ProcessPoolExecutor(2) as pool:
        there = list(pool.map(read_image, [both[2]] * len(here), [a.file for a in annotations]))
    assert there == here


def test_a_root_that_changed_is_noticed(both, tmp_path, monkeypatch):
    _, tree, tars = both
    image = "val/ILSVRC2012_val_00000001.JPEG"
    monkeypatch.setenv("SPG_ILSVRC_ROOT", str(tmp_path / "tree"))
    path = tmp_path / "tree" / kaggle.DATA / image
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(UserError, match=r"val_00000001\.JPEG: has \d+ bytes, but"):
        read_image(tree, image)
    path.unlink()
    with pytest.raises(UserError, match=r"val_00000001\.JPEG: no such file; correct SPG_ILSVRC"):
        read_image(tree, image)
    monkeypatch.setenv("SPG_ILSVRC_ROOT", str(tmp_path / "tars"))
    with (tmp_path / "tars" / archives.VAL).open("ab") as file:
        file.write(b"!")
    with pytest.raises(UserError, match=r"img_val\.tar: has \d+ bytes, but"):
        read_image(tars, image)
    with pytest.raises(UserError, match=r"val/none\.JPEG: no such file, and"):
        read_image(tars, "val/none.JPEG")
    with pytest.raises(UserError, match="has no image"):
        read_image(tars, image + "x" * 100)
    monkeypatch.setenv("SPG_ILSVRC_ROOT", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="is no folder"):
        read_image(tars, image)


def test_an_archive_that_changed_is_one_sentence(both, tmp_path, monkeypatch):
    raw = both[2]
    monkeypatch.setenv("SPG_ILSVRC_ROOT", str(tmp_path / "tars"))
    check_root(raw)
    with (tmp_path / "tars" / archives.VAL).open("ab") as file:
        file.write(b"!")
    with pytest.raises(UserError, match=r"img_val\.tar: has \d+ bytes, but"):
        check_root(raw)
    monkeypatch.setenv("SPG_ILSVRC_ROOT", str(tmp_path / "tree"))
    check_root(both[1])


def test_the_devkits_order_is_converted_as_torchvision_does(tmp_path, monkeypatch):
    """All 1,000 classes: validation image 1 is devkit 490, n01751748, and 65 when sorted."""
    wnids = (GOLDEN / "imagenet_wnids.txt").read_text().split()
    others = np.random.default_rng(0).permutation([w for w in wnids if w != "n01751748"])
    order = [str(wnid) for wnid in np.insert(others, 489, "n01751748")]
    assert order[489] == "n01751748"
    image = jpeg(8, 8, 0)
    names = [f"ILSVRC2012_val_{n + 1:08d}.JPEG" for n in range(1000)]
    truth = dict(zip(names, ["n01751748", *others], strict=True))
    release = Ilsvrc(
        {wnid: f"{wnid} words, more" for wnid in wnids},
        {wnid: {f"{wnid}_1.JPEG": image} for wnid in wnids},
        dict.fromkeys(names, image),
        truth,
        {name: voc(name[:-5], (8, 8), [(truth[name], (0, 0, 7, 7))]) for name in names},
    )
    root = tmp_path / "tars"
    md5 = release.write_archives(root, order)
    found = ilsvrc.read_annotations(fetched(tmp_path, monkeypatch, root, md5))
    tests = {item.image_id: item for item in found if item.split == "test"}
    assert tests["val/ILSVRC2012_val_00000001.JPEG"].class_id == 65

    monkeypatch.setattr(torchvision_imagenet, "_verify_archive", lambda *_: None)
    torchvision_imagenet.parse_devkit_archive(str(root))
    _, val_wnids = torchvision_imagenet.load_meta_file(str(root))
    for name, wnid in zip(names, val_wnids, strict=True):
        assert tests[f"val/{name}"].class_id == wnids.index(wnid)
        assert tests[f"val/{name}"].class_name.startswith(wnid)


# ---- ILSVRC: what is missing, malformed or contradicts ----


def complaint(tmp_path, monkeypatch, root, md5=archives.MD5):
    """What fetch says of the whole, or prepare of some images; nothing is left behind."""
    workspace = Workspace(tmp_path / f"project-{root.name}")
    mapping = read_yaml(ROOT / "params.yaml")
    mapping["datasets"]["ilsvrc"]["prepare"]["holdout_per_class"] = 0

    def both_stages():
        fetched(tmp_path, monkeypatch, root, md5)
        prepare(workspace, parse_params(mapping, ""), "ilsvrc")

    with pytest.raises(UserError) as caught:
        both_stages()
    assert not workspace.packed("ilsvrc").exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def tree(tmp_path):
    return tiny_ilsvrc().write_kaggle(tmp_path / "tree")


VAL_XML = f"{kaggle.BOXES}/val/ILSVRC2012_val_00000001.xml"
VAL_IMAGE = f"{kaggle.DATA}/val/ILSVRC2012_val_00000001.JPEG"
GOOD = voc("ILSVRC2012_val_00000001", (41, 30), [("n01751748", (0, 0, 9, 9))])
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    b"<annotation><filename>&b;</filename></annotation>"
)


def test_the_good_box_file_is_good(tree, tmp_path, monkeypatch):
    (tree / VAL_XML).write_bytes(GOOD)
    fetched(tmp_path, monkeypatch, tree)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (VAL_XML, None, "val_00000001.xml: no such box file"),
        (VAL_XML, b"", "no XML"),
        (VAL_XML, GOOD[:-5], "no XML"),
        (VAL_XML, BOMB, "refused (DTDForbidden)"),
        (VAL_XML, GOOD.replace(b"00001", b"00002"), "names the image 'ILSVRC2012_val_00000002'"),
        (
            VAL_XML,
            GOOD.replace(b">41<", b">42<"),
            "00000001.xml: is for 42 x 30 pixels, the image has 41 x",
        ),
        (VAL_XML, GOOD.replace(b">41<", b">wide<"), "size/width is 'wide', which is no number"),
        (VAL_XML, GOOD.replace(b"xmin", b"xmid"), "bndbox/xmin is missing"),
        (VAL_XML, GOOD.replace(b"<ymax>9", b"<ymax>nan"), "ymax is 'nan', which is no number"),
        (
            VAL_XML,
            GOOD.replace(b"<ymax>9", b"<ymax>-3"),
            "00000001.xml: the box 0, 0, 10, -2 has no area",
        ),
        (VAL_XML, GOOD.replace(b"n01751748", b"n02119789"), "has no box of class n01751748"),
        (VAL_IMAGE, None, "val_00000001.JPEG: no such file, but LOC_val_solution.csv:"),
        (VAL_IMAGE, b"", "00000001.JPEG: empty file"),
        (VAL_IMAGE, b"no image", "00000001.JPEG: no image that can be read"),
        (
            f"{kaggle.DATA}/val/ILSVRC2012_val_00000009.JPEG",
            jpeg(9, 9, 9),
            "00000009.JPEG: has no class",
        ),
        (kaggle.WORDS, None, "no such file"),
        (kaggle.SOLUTION, None, "no such file"),
        (kaggle.WORDS, b"tench\n", "LOC_synset_mapping.txt:1: expected"),
        (kaggle.WORDS, b"n01440764 a\nn01440764 b\n", "LOC_synset_mapping.txt:2: expected"),
        (kaggle.WORDS, b"n00000001 a\n", "names the class"),
        (kaggle.WORDS, b"n01440764 \xe9\n", "not UTF-8"),
        (kaggle.SOLUTION, b"ImageId,PredictionString\nx\n", "LOC_val_solution.csv:2: expected"),
        (kaggle.SOLUTION, b"ImageId,PredictionString\nx,65 1 2\n", "solution.csv:2: expected"),
        (kaggle.TRAIN_LIST, b"n01440764/n01440764_99 1\n", "n01440764_99.JPEG: no such file"),
    ],
)
def test_a_tree_with_a_fault_is_refused_by_name(tree, tmp_path, monkeypatch, file, content, said):
    path = tree / file
    if content is None:
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert said in complaint(tmp_path, monkeypatch, tree)


QUOTED = b'"ImageId","PredictionString"\r\n"ILSVRC2012_val_00000001","n01751748 1 2 3 4"\r\n'
REST = b"".join(
    f"ILSVRC2012_val_{n:08d},{wnid} 1 2 3 4\n".encode()
    for n, wnid in ((2, "n02119789"), (7, "n01440764"), (5, "n02119789"))
)


def test_a_solution_with_quotes_as_other_tools_write_them_is_read(tree, tmp_path, monkeypatch):
    want = ilsvrc.read_annotations(fetched(tmp_path, monkeypatch, tree))
    (tree / kaggle.SOLUTION).write_bytes(b"\xef\xbb\xbf" + QUOTED + REST)
    assert ilsvrc.read_annotations(fetched(tmp_path, monkeypatch, tree)) == want


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'ILSVRC2012_val_00000001,"n01751748 1 2 3 4\n', "unexpected end of data"),
        (b'ILSVRC2012_val_00000001,n01751748" 1 2 3 4\n', "expected a WordNet id"),
        (b"ILSVRC2012_val_00000001," + b"9" * 200_000 + b"\n", "field larger than field limit"),
        (b"ILSVRC2012_val_00000001;n01751748 1 2 3 4\n", "two columns, separated by a comma"),
        (b"0,ILSVRC2012_val_00000001,n01751748 1 2\n", "two columns, separated by a comma"),
        (b"ILSVRC2012_val_00000001,1 2 3 4\n", "expected a WordNet id after the comma"),
    ],
)
def test_an_odd_line_of_the_solution_is_a_problem_of_its_image(
    tree, tmp_path, monkeypatch, line, said
):
    """And never takes the lines behind it along, as an open quote would."""
    (tree / kaggle.SOLUTION).write_bytes(b"ImageId,PredictionString\n" + line + REST)
    found = ilsvrc.read_annotations(fetched(tmp_path, monkeypatch, tree))
    bad = {item.image_id: item.problem for item in found if item.problem}
    assert list(bad) == ["val/ILSVRC2012_val_00000001.JPEG"]
    assert re.match(rf"LOC_val_solution\.csv:2: .*{said}", next(iter(bad.values())))
    assert len(next(iter(bad.values()))) < 250


def test_other_suffixes_class_folders_and_what_a_mac_leaves_are_read_past(
    tree, tmp_path, monkeypatch, caplog
):
    want = [
        item._replace(file="")
        for item in ilsvrc.read_annotations(fetched(tmp_path, monkeypatch, tree))
    ]
    caplog.set_level("INFO")
    data, boxes = tree / kaggle.DATA, tree / kaggle.BOXES / "val"
    for path in list((data / "train").rglob("*.JPEG")):
        path.rename(path.with_suffix(".jpg"))
        path.with_name(f"._{path.name}").write_bytes(b"Mac OS X")
    (data / "train/.DS_Store").write_bytes(b"Bud1")
    for row in (tree / kaggle.SOLUTION).read_text().splitlines()[1:]:
        name, wnid = row.split(",")[0], row.split(",")[1].split()[0]
        for folder, old, new in ((data / "val", ".JPEG", ".jpeg"), (boxes, ".xml", ".xml")):
            (folder / wnid).mkdir(exist_ok=True)
            (folder / f"{name}{old}").rename(folder / wnid / f"{name}{new}")
    raw = fetched(tmp_path, monkeypatch, tree)
    found = ilsvrc.read_annotations(raw)
    assert [item._replace(file="") for item in found] == want
    assert all(read_image(raw, item.file) for item in found)
    assert "ignored 5 files that are no images of ILSVRC by their names" in caplog.text


@pytest.mark.parametrize("fault", ["another class", "twice", "a folder", "a link to nothing"])
def test_an_image_in_an_odd_place_is_a_problem_of_its_own(tree, tmp_path, monkeypatch, fault):
    folder = tree / kaggle.DATA / "train/n01440764"
    path = folder / "n01440764_0.JPEG"
    if fault == "another class":
        (folder / "n02119789_5.JPEG").write_bytes(path.read_bytes())
    elif fault == "twice":
        (folder / "n01440764_0.jpg").write_bytes(path.read_bytes())
    else:
        path.unlink()
        path.mkdir() if fault == "a folder" else path.symlink_to(tmp_path / "nowhere")
    found = ilsvrc.read_annotations(fetched(tmp_path, monkeypatch, tree))
    bad = {item.image_id: item.problem for item in found if item.problem}
    assert len(bad) == 1
    said = {"another class": "lies in the folder of another class", "twice": "is there twice"}
    assert said.get(fault, "is no file, but a folder or a link") in next(iter(bad.values()))


def test_a_link_to_nothing_in_a_class_folder_is_a_problem_of_its_own(tree, tmp_path, monkeypatch):
    path = tree / VAL_IMAGE
    path.unlink()
    (path.parent / "n01751748").mkdir()
    (path.parent / "n01751748" / path.name).symlink_to(tmp_path / "nowhere")
    found = ilsvrc.read_annotations(fetched(tmp_path, monkeypatch, tree))
    bad = {item.image_id: item.problem for item in found if item.problem}
    assert list(bad) == ["val/ILSVRC2012_val_00000001.JPEG"]
    assert "is no file, but a folder or a link" in next(iter(bad.values()))


def test_a_subset_of_the_classes_leaves_the_other_validation_images_out(
    tree, tmp_path, monkeypatch
):
    words = (tree / kaggle.WORDS).read_text().splitlines()
    (tree / kaggle.WORDS).write_text("\n".join(w for w in words if "n02119789" not in w))
    found = ilsvrc.read_annotations(fetched(tmp_path, monkeypatch, tree))
    assert {item.class_name for item in found} == {"n01440764 tench", "n01751748 sea snake"}
    assert sum(item.split == "test" for item in found) == 2
    assert not any(item.problem for item in found)


def test_box_files_of_unknown_encodings_are_one_sentence():
    for encoding in ("x-mac-klingon", "utf-7", "utf-16", "idna"):
        content = f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + GOOD
        with pytest.raises(ValueError, match="no XML"):
            parse_voc(content)


@pytest.mark.parametrize("size", [(1e300, 5), (-1, 5)])
def test_a_box_file_with_an_impossible_size_is_refused(size):
    with pytest.raises(ValueError, match="states a size of"):
        parse_voc(voc("x", size, [("n01440764", (0, 0, 4, 3))]))


def test_a_class_without_images_is_named(tree, tmp_path, monkeypatch):
    folder = tree / kaggle.DATA / "train/n01751748"
    shutil.rmtree(folder)
    assert "train/n01751748: no such folder" in complaint(tmp_path, monkeypatch, tree)
    folder.mkdir()
    (folder / "notes.txt").write_text("not an image")
    assert "n01751748: holds no image called" in complaint(tmp_path, monkeypatch, tree)


def test_a_whole_release_has_the_published_numbers(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(kaggle, "CLASSES", 3)
    said = complaint(tmp_path, monkeypatch, tree)
    assert "has 5 training and 4 validation images instead of 1281167 and 50000" in said
    monkeypatch.setattr(kaggle, "TRAIN_IMAGES", 5)
    monkeypatch.setattr(kaggle, "VAL_IMAGES", 4)
    fetched(tmp_path, monkeypatch, tree)


def test_a_folder_with_neither_layout_says_what_is_wanted_and_where(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    said = complaint(tmp_path, monkeypatch, tmp_path / "empty")
    for word in (*archives.WANTED, "image-net.org", "kaggle.com", "folder ILSVRC"):
        assert word in said


@pytest.fixture
def tars(tmp_path):
    md5 = tiny_ilsvrc().write_archives(tmp_path / "tars", ORDER)
    return tmp_path / "tars", md5


@pytest.mark.parametrize("name", archives.WANTED)
def test_an_archive_that_is_missing_or_another_is_named(tars, tmp_path, monkeypatch, name):
    root, md5 = tars
    path = root / name
    path.write_bytes(path.read_bytes() + b"!")
    assert f"{name} has md5" in complaint(tmp_path, monkeypatch, root, md5)
    path.unlink()
    assert f"{name}: no such file" in complaint(tmp_path, monkeypatch, root, md5)


def test_the_published_checksums_are_asked_by_default(tars, tmp_path, monkeypatch):
    assert archives.MD5[archives.TRAIN] in complaint(tmp_path, monkeypatch, tars[0])
    table = torchvision_imagenet.ARCHIVE_META
    assert {table[key] for key in ("train", "val", "devkit")} <= set(archives.MD5.items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.train["n01440764"].update({"n02119789_5.JPEG": b"x"}), "images of n01440764"),
        (lambda r: r.train.update({"evil": {}}), "expected one archive a class"),
        (lambda r: r.val.update({"photo.jpg": b"x"}), "expected validation images"),
        (lambda r: r.words.pop("n01440764"), "has class 3, which meta.mat lacks"),
        (lambda r: r.train.pop("n01440764"), "class n01440764 has a name and no training image"),
        (lambda r: r.xml.update({"ILSVRC2012_val_00000001.JPEG": BOMB}), "refused (DTDForbidden)"),
        (lambda r: r.xml.pop("ILSVRC2012_val_00000001.JPEG"), "no such box file"),
    ],
)
def test_archives_with_a_fault_are_refused_by_name(tmp_path, monkeypatch, change, said):
    release = tiny_ilsvrc()
    release.words, release.wnids = dict(release.words), dict(release.wnids)
    change(release)
    release.wnids |= {name: "n01751748" for name in release.val if name not in release.wnids}
    md5 = release.write_archives(tmp_path / "tars", ORDER)
    assert said in complaint(tmp_path, monkeypatch, tmp_path / "tars", md5)


def test_a_devkit_for_other_images_is_named(tars, tmp_path, monkeypatch):
    root, md5 = tars
    release = tiny_ilsvrc()
    release.val.popitem()
    other = release.write_archives(tmp_path / "other", ORDER)
    shutil.copy(tmp_path / "other" / archives.DEVKIT, root)
    md5 |= {archives.DEVKIT: other[archives.DEVKIT]}
    assert "has 3 lines for 4 images" in complaint(tmp_path, monkeypatch, root, md5)


def test_a_raw_folder_without_index_asks_for_fetch(tmp_path):
    with pytest.raises(UserError, match=r"index\.parquet: no such file; run `spg fetch`"):
        ilsvrc.read_annotations(tmp_path)
    (tmp_path / "synsets.json").write_text("{}")
    (tmp_path / "index.parquet").write_bytes(b"PAR1 no parquet")
    with pytest.raises(UserError, match="damaged or of another kind"):
        ilsvrc.read_annotations(tmp_path)


# ---- ILSVRC: real photographs ----


@pytest.fixture(scope="module")
def photographs():
    root = os.environ.get("SPG_TEST_ILSVRC")
    if not root:
        pytest.skip("SPG_TEST_ILSVRC names no small ILSVRC")
    return Path(root)


def test_real_photographs_give_the_same_annotations_in_both_layouts(
    photographs, tmp_path, monkeypatch
):
    release = from_kaggle(photographs)
    order = sorted(release.words, key=lambda wnid: wnid[::-1])
    md5 = release.write_archives(tmp_path / "tars", order)
    tree = fetched(tmp_path, monkeypatch, photographs)
    annotations = ilsvrc.read_annotations(tree)
    tars = fetched(tmp_path, monkeypatch, tmp_path / "tars", md5)
    assert ilsvrc.read_annotations(tars) == annotations
    assert len(annotations) == sum(map(len, release.train.values())) + len(release.val)
    for item in annotations[::97]:
        assert read_image(tars, item.file) == (photographs / kaggle.DATA / item.file).read_bytes()


def test_box_files_and_solution_of_real_photographs_agree(photographs, tmp_path, monkeypatch):
    annotations = ilsvrc.read_annotations(fetched(tmp_path, monkeypatch, photographs))
    tests = {Path(item.image_id).stem: item for item in annotations if item.split == "test"}
    wnids = sorted(path.name for path in (photographs / kaggle.DATA / "train").iterdir())
    rows = (photographs / kaggle.SOLUTION).read_text().splitlines()[1:]
    assert len(rows) == len(tests)
    for row in rows:
        name, words = row.split(",")[0], row.split(",")[1].split()
        stated = np.array(words).reshape(-1, 5)
        assert wnids[tests[name].class_id] == stated[0, 0]
        inclusive = np.array(tests[name].boxes) - [0, 0, 1, 1]
        assert np.array_equal(inclusive, stated[:, 1:].astype(float))
        width, height = Image.open(photographs / kaggle.DATA / "val" / f"{name}.JPEG").size
        assert (np.array(tests[name].boxes)[:, 2:] <= (width + 1, height + 1)).all()


def test_a_box_file_of_ilsvrc_is_half_open():
    found = parse_voc(voc("x", (500, 375), [("n01440764", (0, 0, 499, 374))]))
    assert found.boxes("n01440764") == ((0.0, 0.0, 500.0, 375.0),)
    assert found.boxes("n02119789") == ()
