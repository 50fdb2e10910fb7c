"""wsolevaluation's extra images as train_fullsup of CUB and ILSVRC."""

from __future__ import annotations

import copy
import hashlib
import shutil
import tarfile

import pytest
from tiny_ilsvrc import jpeg, tiny_ilsvrc
from wsol_split import write_split

from spg.data.fetch.download import Remote
from spg.data.layouts import cub as cub_reader
from spg.data.layouts import ilsvrc as ilsvrc_reader
from spg.data.layouts.fullsup import Source
from spg.data.layouts.raw import read_image
from spg.data.prepare.splits import split_images
from spg.data.prepare.stage import prepare
from spg.data.sources import cub, ilsvrc
from spg.project.errors import UserError
from spg.project.params import parse_params
from spg.project.workspace import Workspace

DATASET = "synthetic_birds"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    root = tmp_path / "wsolevaluation"
    monkeypatch.setenv("SPG_WSOLEVALUATION", str(root))
    write_split(root, "ILSVRC", [
        ("val2/0/3.jpeg", 0, (30, 20), [(1, 2, 9, 8), (3, 3, 5, 5)]),
        ("val2/2/1.jpeg", 278, (20, 30), [(0, 0, 19, 29)]),
        ("val2/5/2.jpeg", 5, (20, 30), [(0, 0, 19, 29)]),
    ])  # fmt: skip
    return root


@pytest.fixture
def fetched(tmp_path, monkeypatch, checkout):
    """Fetch the tiny ILSVRC with wsolevaluation's images and return its raw folder."""
    monkeypatch.setenv("SPG_ILSVRC_ROOT", str(tiny_ilsvrc().write_kaggle(tmp_path / "tree")))

    def run():
        source = Source(fullsup="wsolevaluation")
        ilsvrc.fetch(Workspace(tmp_path), "ilsvrc", source)
        return Workspace(tmp_path).raw("ilsvrc")

    return run


def test_ilsvrc_gets_the_images_their_boxes_and_their_classes(fetched, checkout):
    raw = fetched()
    annotations = ilsvrc_reader.read_annotations(raw)
    extra = [item for item in annotations if item.split == "train_fullsup"]
    assert [(item.image_id, item.class_id, item.class_name) for item in extra] == [
        ("val2/0/3.jpeg", 0, "n01440764 tench"), ("val2/2/1.jpeg", 2, "n02119789 kit fox")
    ]  # fmt: skip
    assert extra[0].boxes == ((1.0, 2.0, 9.0, 8.0), (3.0, 3.0, 5.0, 5.0))
    shutil.rmtree(checkout)
    assert read_image(raw, extra[1].file) == jpeg(20, 30, 1)
    assert len(read_image(raw, annotations[0].file)) > 0  # the others still come by the index
    splits = split_images(annotations, per_class=0, taken_from="train", seed=0)
    assert splits == [item.split for item in annotations]


def test_cub_gets_them_too(tmp_path, monkeypatch, checkout, tiny_workspace):
    birds = tiny_workspace.raw(DATASET)
    before = cub_reader.read_annotations(birds)
    name = f"{before[0].class_name}/flickr_1.jpeg"
    write_split(checkout, "CUB", [(name, 0, (30, 20), [(1, 2, 9, 8)])])
    store = tmp_path / "archives"
    store.mkdir()
    with tarfile.open(store / "all.tgz", "w:gz") as tar:
        tar.add(birds, "CUB_200_2011")
    data = (store / "all.tgz").read_bytes()
    remote = Remote("all.tgz", "", len(data), hashlib.md5(data).hexdigest())
    monkeypatch.setenv("SPG_CUB_ARCHIVES", str(store))
    source = Source(fullsup="wsolevaluation")
    cub.fetch(Workspace(tmp_path), "cub", source, archives=[remote])
    *same, extra = cub_reader.read_annotations(Workspace(tmp_path).raw("cub"))
    assert same == before
    assert (extra.image_id, extra.class_id, extra.split) == (name, 0, "train_fullsup")
    assert read_image(Workspace(tmp_path).raw("cub"), extra.file) == jpeg(30, 20, 0)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("image_ids.txt", None, "no such file"),
        ("image_ids.txt", b"../../x.jpeg\n", "leaves the folder"),
        ("class_labels.txt", b"val2/0/3.jpeg,zero\n", "expected a class number"),
    ],
)  # fmt: skip
def test_metadata_with_a_fault_are_named_and_leave_no_raw_folder(
    fetched, checkout, file, content, said
):
    path = checkout / "metadata/ILSVRC/val" / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=said):
        fetched()
    assert not list((checkout.parent / "data/raw").iterdir())


LABELS = "metadata/ILSVRC/val/class_labels.txt"
REST = b"val2/2/1.jpeg,278\nval2/5/2.jpeg,5\n"


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("dataset/ILSVRC/val2/0/3.jpeg", None, r"images/val2/0/3\.jpeg: no such file"),
        ("dataset/ILSVRC/val2/0/3.jpeg", b"no image", "images/val2/0/3.jpeg: no image that can"),
        ("dataset/ILSVRC/val2/0/3.jpeg", jpeg(20, 20, 0), "for 30 x 20 pixels, the image has 20 x"),
        (
            LABELS,
            b"val2/0/3.jpeg,1000\n" + REST,
            "val2/0/3.jpeg: .*class_labels.txt: 1000 is no class",
        ),
        (LABELS, b"val2/0/3.jpeg,-1\n" + REST, "-1 is no class of it"),
        (LABELS, b"", "None is no class of it"),
        (
            "metadata/ILSVRC/val/localization.txt",
            b"",
            "val2/0/3.jpeg: .*localization.txt, image_sizes.txt: has no",
        ),
    ],
)
def test_an_image_with_a_fault_is_listed_by_prepare(
    fetched, checkout, mapping, file, content, said
):
    path = checkout / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    raw = fetched()
    datasets = {**mapping["datasets"], "ilsvrc": copy.deepcopy(mapping["datasets"]["ilsvrc"])}
    datasets["ilsvrc"]["prepare"]["holdout_per_class"] = 0
    params = parse_params({**mapping, "datasets": datasets}, "")
    with pytest.raises(UserError, match=said):
        prepare(Workspace(raw.parents[2]), params, "ilsvrc")


def test_without_its_folder_the_variable_is_named(fetched, monkeypatch):
    monkeypatch.delenv("SPG_WSOLEVALUATION")
    with pytest.raises(UserError, match="SPG_WSOLEVALUATION is not set"):
        fetched()
