"""Imagenette: its boxes, its folders, and every route by which its photographs come."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile

import cv2
import numpy as np
import pytest
from servers import serving

from spg.data.datasets.imagenette import SPEC, Source
from spg.data.fetch.download import Remote
from spg.data.images.manifest import TEST, TRAIN_WEAKSUP, read_manifest
from spg.data.layouts.imagenette import NAMES, WNIDS, published_boxes, read_annotations
from spg.data.layouts.problems import BadDataError
from spg.data.prepare.stage import prepare
from spg.data.sources import imagenette
from spg.project.errors import UserError
from spg.project.params import parse_params
from spg.project.workspace import Workspace

SOURCE = Source(size="320px")
TOP = "imagenette2-320"


def photograph(width, height, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", image)[1].tobytes()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The true names: all 500 test images, in both folders, and two training images a class.

    As the archive of 320 pixels has them: a shorter side of 320 at most, here of 32.
    """
    root = tmp_path_factory.mktemp("imagenette") / TOP
    for number, (name, known) in enumerate(sorted(published_boxes().items())):
        width, height = known.size
        shrink = 32 / min(width, height)
        content = photograph(round(width * shrink), round(height * shrink), number)
        folder = root / ("train" if number % 3 else "val") / WNIDS[number % 10]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for wnid in WNIDS:
        for number in range(2):
            file = root / ("train", "val")[number] / wnid / f"{wnid}_{number}.JPEG"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(photograph(40, 32, number))
    return root


@pytest.fixture(scope="module")
def archive(tree):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(tree, TOP)
        extra = tarfile.TarInfo(f"{TOP}/noisy_imagenette.csv")  # as the published ones hold
        tar.addfile(extra, io.BytesIO())
    return buffer.getvalue()


@pytest.fixture
def published(archive):
    md5 = hashlib.md5(archive).hexdigest()
    return {"320px": Remote(f"{TOP}.tgz", "http://127.0.0.1:9/x.tgz", None, md5)}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    for name in ("SPG_IMAGENETTE", "SPG_IMAGENETTE_URL"):
        monkeypatch.delenv(name, raising=False)


def fetch_into(folder, published):
    workspace = Workspace(folder)
    imagenette.fetch(workspace, "imagenette", SOURCE, archives=published)
    return workspace


# ---- The boxes ----


def test_the_boxes_are_those_of_500_images_and_none_leaves_its_image():
    boxed = published_boxes()
    assert len(boxed) == SPEC.sizes(SOURCE).test == 500
    assert sum(len(known.boxes) for known in boxed.values()) == 813
    for known in boxed.values():
        for x0, y0, x1, y1 in known.boxes:
            assert 0 <= x0 < x1 <= known.size[0]
            assert 0 <= y0 < y1 <= known.size[1]
    # the last pixel of the widest box is the image's last one: half-open corners
    first = boxed["ILSVRC2012_val_00000293.JPEG"]
    assert first == ((500, 375), ((175, 184, 500, 342), (236, 129, 499, 281)))


def test_the_classes_are_torchvisions():
    from torchvision.datasets import Imagenette

    named = {wnid: names[0] for wnid, names in Imagenette._WNID_TO_CLASS.items()}
    assert named == NAMES
    assert sorted(WNIDS) == list(WNIDS)


def test_the_archives_are_torchvisions():
    from torchvision.datasets import Imagenette

    ours = {size: (remote.url, remote.md5) for size, remote in imagenette.ARCHIVES.items()}
    assert ours == Imagenette._ARCHIVES


# ---- The folders ----


def test_the_boxed_images_are_the_test_images_wherever_they_lie(tree):
    found = read_annotations(tree)
    tests = [item for item in found if item.split == TEST]
    assert found == sorted(found, key=lambda item: (item.split == TEST, item.image_id))
    assert {item.image_id.split("/")[0] for item in tests} == {"train", "val"}
    assert {item.image_id.split("/")[2] for item in tests} == set(published_boxes())
    trained = [item for item in found if item.split == TRAIN_WEAKSUP]
    assert len(trained) == 20
    assert not any(item.boxes for item in trained)
    for item in found:
        assert item.class_name.split()[0] == item.file.split("/")[1] == WNIDS[item.class_id]


def test_what_is_missing_or_strange_is_one_list(tree, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(tree, root)
    shutil.rmtree(root / "val" / WNIDS[3])
    (root / "train/n99999999").mkdir()
    gone = next(root.glob("train/*/ILSVRC2012_val_*"))
    gone.unlink()
    with pytest.raises(BadDataError) as error:
        read_annotations(root)
    said = str(error.value)
    assert f"val/{WNIDS[3]}: no such folder" in error.value.problems
    assert "train/n99999999: no class of Imagenette" in error.value.problems
    assert f"{gone.name}: no such file in train or val" in error.value.problems
    assert str(root) in said
    shutil.rmtree(root / "val")
    with pytest.raises(BadDataError, match="val: no such folder"):
        read_annotations(root)


# ---- Where they come from ----


def test_a_cut_download_goes_on_and_gives_the_same_as_the_folder(
    tree, archive, published, tmp_path, monkeypatch
):
    with serving({f"{TOP}.tgz": archive}) as (script, url):
        monkeypatch.setenv("SPG_IMAGENETTE_URL", url)
        script.cut_after = [None, len(archive) // 2]  # first it is asked for its length
        loaded = fetch_into(tmp_path / "loaded", published)
        assert [asked for _, asked in script.asked] == [
            None, None, f"bytes={len(archive) // 2}-"
        ]  # fmt: skip
    monkeypatch.setenv("SPG_IMAGENETTE", str(tree))
    copied = fetch_into(tmp_path / "copied", published)
    listings = [
        {
            file.relative_to(root): file.read_bytes()
            for root in [workspace.raw("imagenette")]
            for file in root.rglob("*")
            if file.is_file()
        }
        for workspace in (loaded, copied)
    ]
    assert len(listings[0]) == 520
    assert listings[0] == listings[1]


def test_a_server_without_ranges_and_other_bytes(archive, published, tmp_path, monkeypatch):
    with serving({f"{TOP}.tgz": archive}) as (script, url):
        monkeypatch.setenv("SPG_IMAGENETTE_URL", url)
        script.ranges = False
        script.cut_after = [None, 100]
        fetch_into(tmp_path / "whole", published)
        script.files[f"{TOP}.tgz"] = archive[:-1] + b"?"
        with pytest.raises(UserError, match="what was loaded has md5"):
            fetch_into(tmp_path / "other", published)
    assert not Workspace(tmp_path / "other").raw("imagenette").exists()


def test_what_a_desktop_leaves_between_photographs_is_none(tree, published, tmp_path, monkeypatch):
    """``._x.JPEG`` of macOS's archives, which are no pictures, and folders such as .thumbnails."""
    own = tmp_path / "own"
    shutil.copytree(tree, own)
    known = read_annotations(tree)
    photo = next((own / "train" / WNIDS[0]).glob("*.JPEG"))
    (photo.parent / f"._{photo.name}").write_bytes(b"\x00\x05\x16\x07")
    (own / "val/.thumbnails").mkdir()
    assert read_annotations(own) == known
    monkeypatch.setenv("SPG_IMAGENETTE", str(own))
    fetch_into(tmp_path, published)
    assert not list(tmp_path.glob("data/raw/*/*/*/._*"))
    assert imagenette._place(f"{TOP}/train/{WNIDS[0]}/._x.JPEG") is None


def test_the_users_archive_is_verified(archive, published, tmp_path, monkeypatch):
    own = tmp_path / "mine.tgz"
    own.write_bytes(archive)
    monkeypatch.setenv("SPG_IMAGENETTE", str(own))
    assert len(read_annotations(fetch_into(tmp_path / "a", published).raw("imagenette"))) == 520
    own.write_bytes(archive + b"!")
    with pytest.raises(
        UserError, match=r"mine\.tgz has md5 .* instead of .*; SPG_IMAGENETTE names"
    ):
        fetch_into(tmp_path / "b", published)


def test_the_archive_of_another_size_is_named(archive, published, tmp_path, monkeypatch):
    own = tmp_path / "mine.tgz"
    own.write_bytes(archive)
    monkeypatch.setenv("SPG_IMAGENETTE", str(own))
    others = {"160px": published["320px"], "320px": published["320px"]._replace(md5="0" * 32)}
    with pytest.raises(
        UserError, match=r"is the archive of 160px, and datasets\.imagenette\.source"
    ):
        fetch_into(tmp_path / "a", others)


def test_what_is_wrong_with_the_users_folder_is_said_of_it(tree, published, tmp_path, monkeypatch):
    own = tmp_path / "own"
    shutil.copytree(tree, own)
    twice = next(own.glob("val/*/ILSVRC2012_val_*"))
    shutil.copyfile(twice, own / "train" / twice.parent.name / twice.name)
    monkeypatch.setenv("SPG_IMAGENETTE", str(own))
    with pytest.raises(BadDataError, match="one photograph in two folders") as error:
        fetch_into(tmp_path / "a", published)
    assert str(own) in str(error.value)
    assert not Workspace(tmp_path / "a").raw("imagenette").exists()


@pytest.mark.parametrize("name", ["nothing", ""])
def test_what_names_neither_is_one_sentence(published, tmp_path, monkeypatch, name):
    monkeypatch.setenv("SPG_IMAGENETTE", str(tmp_path / name))
    with pytest.raises(UserError, match="is neither the archive nor a folder with train and val"):
        fetch_into(tmp_path / "a", published)


# ---- Boxes in the file's own pixels ----


def test_every_copy_of_a_photograph_has_the_same_boxes_as_shares_of_it(
    tree, published, tmp_path, mapping, monkeypatch, caplog
):
    """As published, which keeps the aspect ratio, and squashed to a square."""
    squashed = tmp_path / "squashed"
    for file in tree.rglob("*.JPEG"):
        target = squashed / file.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        image = cv2.resize(cv2.imread(str(file)), (56, 56))
        cv2.imwrite(str(target.with_suffix(".jpg")), image)
        target.with_suffix(".jpg").rename(target)
    params = parse_params(mapping, "params.yaml")
    shares = {}
    for name, root in (("kept", tree), ("squashed", squashed)):
        monkeypatch.setenv("SPG_IMAGENETTE", str(root))
        workspace = fetch_into(tmp_path / f"{name} project", published)
        caplog.clear()
        prepare(workspace, params, "imagenette")
        warned = "of 500 images with boxes have another aspect ratio" in caplog.text
        assert warned == (name == "squashed")
        rows = read_manifest(workspace.packed("imagenette") / "manifest.parquet")
        shares[name] = {
            row.image_id: np.array([box / ([row.width, row.height] * 2) for box in row.boxes])
            if len(row.boxes) else None
            for row in rows.itertuples()
        }  # fmt: skip
    assert len(shares["kept"]) == 520
    for image_id, kept in shares["kept"].items():
        known = published_boxes().get(image_id.split("/")[2])
        assert (known is None) == (kept is None)
        if known is not None:
            want = np.array(known.boxes) / np.array(known.size * 2)
            np.testing.assert_allclose(kept, want, atol=1e-12)
            np.testing.assert_allclose(shares["squashed"][image_id], want, atol=1e-12)
