"""`spg fetch`: downloads that survive a cut, and the real data sets' routes end to end."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
import tarfile

import pytest
from servers import serving

import spg.data.fetch.download as download_module
from spg.data.datasets.cub import Source as CubSource
from spg.data.fetch.download import ATTEMPTS, Remote, download, verify
from spg.data.fetch.stage import fetch
from spg.data.layouts.cub import read_annotations
from spg.data.layouts.raw import read_image
from spg.data.sources import cub
from spg.project.errors import UserError
from spg.project.params import parse_params
from spg.project.workspace import Workspace

DATASET = "synthetic_birds"
CONTENT = random.Random(0).randbytes(300_000)
SOURCE = CubSource(fullsup="none")


def remote_of(content, url, name="file.tgz"):
    return Remote(name, f"{url}/{name}?download=1", len(content), hashlib.md5(content).hexdigest())


@pytest.fixture
def server():
    with serving({"file.tgz": CONTENT}) as (script, url):
        yield script, remote_of(CONTENT, url)


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# ---- Downloads ----


def test_a_file_is_loaded_once(server, tmp_path):
    script, remote = server
    for _ in range(2):
        path = download(remote, tmp_path / "new", wait=0)
        assert path == tmp_path / "new/file.tgz"
        assert path.read_bytes() == CONTENT
    assert script.asked == [("file.tgz", None)]
    assert names(tmp_path / "new") == ["file.tgz"]


def test_a_cut_connection_goes_on_where_it_ended(server, tmp_path):
    script, remote = server
    script.cut_after = [100_000, 50_000, 0, 1]
    assert download(remote, tmp_path, wait=0).read_bytes() == CONTENT
    starts = [wanted for _, wanted in script.asked]
    assert starts == [None, "bytes=100000-", "bytes=150000-", "bytes=150000-", "bytes=150001-"]


def test_a_cut_without_stated_length_goes_on_too(server, tmp_path):
    script, remote = server
    script.length = False
    script.cut_after = [100_000]
    assert download(remote, tmp_path, wait=0).read_bytes() == CONTENT
    assert script.asked[1] == ("file.tgz", "bytes=100000-")


def test_a_server_that_always_cuts_is_given_up_and_gone_on_with_later(server, tmp_path):
    script, remote = server
    script.cut_after = [100_000] + [0] * (ATTEMPTS - 1)
    with pytest.raises(UserError, match=r"100000 of 300000 bytes; run the same command again"):
        download(remote, tmp_path, wait=0)
    assert len(script.asked) == ATTEMPTS
    assert names(tmp_path) == ["file.tgz.part"]
    assert download(remote, tmp_path, wait=0).read_bytes() == CONTENT
    assert script.asked[-1] == ("file.tgz", "bytes=100000-")
    assert names(tmp_path) == ["file.tgz"]


def test_a_server_without_ranges_starts_from_the_first_byte(server, tmp_path):
    script, remote = server
    script.ranges = False
    script.cut_after = [100_000]
    assert download(remote, tmp_path, wait=0).read_bytes() == CONTENT
    assert script.asked == [("file.tgz", None), ("file.tgz", "bytes=100000-")]


def test_a_busy_server_is_asked_again(server, tmp_path):
    script, remote = server
    script.statuses = [503, 429]
    assert download(remote, tmp_path, wait=0).read_bytes() == CONTENT
    assert len(script.asked) == 3


@pytest.mark.parametrize("status", [403, 404, 416])
def test_a_refusal_is_final_and_points_to_a_mirror(server, tmp_path, status):
    script, remote = server
    script.statuses = [status]
    with pytest.raises(UserError, match=rf"file\.tgz.*answers {status} .*mirror"):
        download(remote, tmp_path, wait=0)
    assert len(script.asked) == 1
    assert names(tmp_path) == []


def test_waiting_grows_and_starts_anew_after_progress(server, tmp_path, monkeypatch):
    script, remote = server
    waited = []
    monkeypatch.setattr(download_module.time, "sleep", waited.append)
    script.statuses = [503, 503, 503]
    script.cut_after = [10, 0]
    download(remote, tmp_path, wait=0.5)
    assert waited == [0.5, 1.0, 2.0, 0.5, 1.0]


def test_other_bytes_of_the_right_size_are_removed(server, tmp_path):
    script, remote = server
    script.files["file.tgz"] = CONTENT[:-1] + b"?"
    with pytest.raises(UserError, match=r"file\.tgz.*: what was loaded has md5 \w{32} instead of"):
        download(remote, tmp_path, wait=0)
    assert names(tmp_path) == []
    script.files["file.tgz"] = CONTENT
    assert download(remote, tmp_path, wait=0).read_bytes() == CONTENT


@pytest.mark.parametrize("change", [-1, 1, -299_000])
@pytest.mark.parametrize("length", [True, False])
def test_a_file_of_another_size_is_refused(server, tmp_path, change, length):
    script, remote = server
    script.files["file.tgz"] = (CONTENT + b"!")[: len(CONTENT) + change]
    script.length = length
    script.ranges = False
    with pytest.raises(UserError, match=r"file\.tgz.*bytes"):
        download(remote, tmp_path, wait=0)
    assert "file.tgz" not in names(tmp_path)
    script.files["file.tgz"] = CONTENT
    assert download(remote, tmp_path, wait=0).read_bytes() == CONTENT


def test_a_part_of_something_else_never_passes(server, tmp_path):
    _, remote = server
    (tmp_path / "file.tgz.part").write_bytes(bytes(1000))
    with pytest.raises(UserError, match="md5"):
        download(remote, tmp_path, wait=0)
    assert names(tmp_path) == []
    (tmp_path / "file.tgz.part").write_bytes(bytes(len(CONTENT) + 1))
    assert download(remote, tmp_path, wait=0).read_bytes() == CONTENT


def test_a_complete_part_needs_no_server(tmp_path):
    (tmp_path / "file.tgz.part").write_bytes(CONTENT)
    path = download(remote_of(CONTENT, "http://127.0.0.1:9"), tmp_path, wait=0)
    assert path.read_bytes() == CONTENT


def test_an_answer_with_another_range_is_refused(server, tmp_path, monkeypatch):
    script, remote = server
    (tmp_path / "file.tgz.part").write_bytes(CONTENT[:1000])
    script.files["file.tgz"] = CONTENT + b"longer"
    with pytest.raises(UserError, match="another range"):
        download(remote, tmp_path, wait=0)


def test_a_compressed_file_stays_compressed(server, tmp_path):
    """Some servers call a .tgz a gzip-encoded tar; what is verified is the file."""
    script, remote = server
    script.headers = {"Content-Encoding": "gzip"}
    assert download(remote, tmp_path, wait=0).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "no usable address"),
        ("ftp://x/y", "no usable address"),
        ("http://", "no usable address"),
        ("http://127.0.0.1:9", r"no connection \(ConnectionError\); run the same command again"),
    ],
)
def test_no_server_is_one_sentence(tmp_path, url, said):
    with pytest.raises(UserError, match=rf"file\.tgz.*: {said}"):
        download(remote_of(CONTENT, url), tmp_path, wait=0)
    assert names(tmp_path) == []


def test_a_disk_that_is_full_or_no_folder_is_one_sentence(server, tmp_path):
    _, remote = server
    (tmp_path / "file.tgz.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"part: cannot be written \(No space left"):
        download(remote, tmp_path, wait=0)
    (tmp_path / "plain").write_text("")
    with pytest.raises(UserError, match=r"part: cannot be written \(Not a directory"):
        download(remote, tmp_path / "plain/folder", wait=0)


def test_a_file_that_lies_there_is_verified_and_left(tmp_path):
    remote = remote_of(CONTENT, "http://127.0.0.1:9")
    (tmp_path / "file.tgz").write_bytes(CONTENT[::-1])
    with pytest.raises(UserError, match=r"file\.tgz has md5 .*; remove it and get it anew"):
        download(remote, tmp_path, wait=0)
    (tmp_path / "file.tgz").write_bytes(CONTENT[:5])
    with pytest.raises(UserError, match=r"file\.tgz has 5 bytes instead of 300000"):
        download(remote, tmp_path, wait=0)
    assert names(tmp_path) == ["file.tgz"]


def test_verify_reads_every_byte(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(3_000_001))
    digest = hashlib.md5(bytes(3_000_001)).hexdigest()
    verify(path, digest)
    path.write_bytes(bytes(3_000_000) + b"\1")
    with pytest.raises(UserError, match="md5"):
        verify(path, digest)


def test_a_size_that_nobody_published_is_asked_for_once(server, tmp_path):
    script, remote = server
    script.cut_after = [None, 100_000]
    assert download(remote._replace(size=None), tmp_path, wait=0).read_bytes() == CONTENT
    assert script.asked == [("file.tgz", None), ("file.tgz", None), ("file.tgz", "bytes=100000-")]


def test_a_whole_part_of_unknown_size_is_taken_as_it_lies(server, tmp_path):
    """A server would answer 416 to who asks for what comes after the end."""
    script, remote = server
    (tmp_path / "file.tgz.part").write_bytes(CONTENT)
    assert download(remote._replace(size=None), tmp_path, wait=0).read_bytes() == CONTENT
    assert script.asked == [("file.tgz", None)]


def test_without_published_size_the_server_has_to_say_one_and_md5_decides(server, tmp_path):
    script, remote = server
    script.length = False
    with pytest.raises(UserError, match="does not say how long the file is; name a mirror"):
        download(remote._replace(size=None), tmp_path, wait=0)
    script.length = True
    script.files["file.tgz"] = CONTENT[:-5]
    with pytest.raises(UserError, match="what was loaded has md5"):
        download(remote._replace(size=None), tmp_path, wait=0)
    script.statuses = [503]
    script.files["file.tgz"] = CONTENT
    assert download(remote._replace(size=None), tmp_path, wait=0).read_bytes() == CONTENT


# ---- CUB-200-2011 ----


@pytest.fixture(scope="module")
def packed_archives(tiny_workspace, tmp_path_factory):
    """The drawn birds as the two published archives hold theirs, with what else lies in them."""
    raw = tiny_workspace.raw(DATASET)
    folder = tmp_path_factory.mktemp("cub")
    other = folder / "other.txt"
    other.write_text("1 2 3\n")
    with tarfile.open(folder / "CUB_200_2011.tgz", "w:gz") as tar:
        tar.add(other, "attributes.txt")
        tar.add(raw / "images", "CUB_200_2011/images")
        for table in sorted(raw.glob("*.txt")):
            tar.add(table, f"CUB_200_2011/{table.name}")
        for extra in ("README", "parts/parts.txt", "attributes/image_attribute_labels.txt"):
            tar.add(other, f"CUB_200_2011/{extra}")
        stray = next(raw.rglob("*.jpg")).relative_to(raw)
        tar.add(raw / stray, f"CUB_200_2011/{stray.with_name(f'{stray.stem}_rgb.jpg')}")
    with tarfile.open(folder / "segmentations.tgz", "w:gz") as tar:
        tar.add(raw / "segmentations", "segmentations")
    other.unlink()
    return folder


def remotes(folder, url):
    return [remote_of(path.read_bytes(), url, path.name) for path in sorted(folder.glob("*.tgz"))]


def fetch_cub(workspace, archives):
    cub.fetch(workspace, "cub", SOURCE, archives=archives)


@pytest.fixture
def mirror(packed_archives, monkeypatch):
    files = {path.name: path.read_bytes() for path in packed_archives.glob("*.tgz")}
    monkeypatch.delenv("SPG_CUB_ARCHIVES", raising=False)
    monkeypatch.delenv("SPG_CUB_URL", raising=False)
    with serving(files) as (script, url):
        yield script, url, remotes(packed_archives, url)


def without_parts(annotations):
    return [item._replace(part_mask=None) for item in annotations]


def test_drawn_birds_fetched_as_cub_give_the_same_annotations_and_bytes(
    mirror, tmp_path, tiny_workspace
):
    script, _, archives = mirror
    workspace = Workspace(tmp_path)
    script.cut_after = [20_000]
    fetch_cub(workspace, archives)
    drawn, fetched = tiny_workspace.raw(DATASET), workspace.raw("cub")
    annotations = read_annotations(fetched)
    assert annotations == without_parts(read_annotations(drawn))
    for item in annotations:
        assert read_image(fetched, item.file) == read_image(drawn, item.file)
        assert read_image(fetched, item.object_mask) == read_image(drawn, item.object_mask)
    assert names(fetched) == [
        "bounding_boxes.txt", "classes.txt", "image_class_labels.txt", "images", "images.txt",
        "segmentations", "train_test_split.txt",
    ]  # fmt: skip
    asked = len(script.asked)
    assert asked == 3
    shutil.rmtree(fetched)  # as DVC does before it runs a stage again
    fetch_cub(workspace, archives)
    assert len(script.asked) == asked
    assert read_annotations(fetched) == annotations


def test_archives_of_the_users_folder_are_used_in_place(
    mirror, tmp_path, packed_archives, monkeypatch
):
    script, _, archives = mirror
    monkeypatch.setenv("SPG_CUB_ARCHIVES", str(packed_archives))
    fetch_cub(Workspace(tmp_path), archives)
    assert script.asked == []
    assert names(tmp_path / "data") == ["raw"]
    assert names(packed_archives) == ["CUB_200_2011.tgz", "segmentations.tgz"]


def test_a_mirror_takes_the_place_of_the_published_addresses(mirror, tmp_path, monkeypatch):
    script, url, archives = mirror
    monkeypatch.setenv("SPG_CUB_URL", f"{url}/")
    fetch_cub(Workspace(tmp_path), [item._replace(url="http://127.0.0.1:9/x") for item in archives])
    assert [name for name, _ in script.asked] == ["CUB_200_2011.tgz", "segmentations.tgz"]
    with pytest.raises(UserError, match="is not the published file"):
        cub.fetch(Workspace(tmp_path / "real"), "cub", SOURCE)  # the mirror's are not CUB's


def test_a_failure_leaves_no_raw_folder_and_the_old_one_alone(mirror, tmp_path):
    script, _, archives = mirror
    workspace = Workspace(tmp_path)
    whole = script.files["segmentations.tgz"]
    script.files["segmentations.tgz"] = whole[:-1] + b"?"
    with pytest.raises(UserError, match="md5"):
        fetch_cub(workspace, archives)
    assert not workspace.raw("cub").exists()
    assert names(workspace.archives("cub")) == ["CUB_200_2011.tgz"]
    script.files["segmentations.tgz"] = whole
    fetch_cub(workspace, archives)
    assert [name for name, _ in script.asked].count("CUB_200_2011.tgz") == 1
    before = names(workspace.raw("cub"))
    (workspace.archives("cub") / "segmentations.tgz").write_bytes(b"damaged")
    with pytest.raises(UserError, match="bytes instead of"):
        fetch_cub(workspace, archives)
    assert names(workspace.raw("cub")) == before
    assert names(tmp_path / "data/raw") == ["cub"]


def test_two_interrupted_runs_end_in_one_whole_archive(mirror, tmp_path, monkeypatch):
    """Ctrl-C in the middle of a download."""
    script, _, archives = mirror
    original = download_module._chunks

    def interrupted(response):
        yield next(original(response))
        raise KeyboardInterrupt

    monkeypatch.setattr(download_module, "_chunks", interrupted)
    monkeypatch.setattr(download_module, "CHUNK", 5000)
    with pytest.raises(KeyboardInterrupt):
        fetch_cub(Workspace(tmp_path), archives)
    assert names(tmp_path / "data/archives/cub") == ["CUB_200_2011.tgz.part"]
    monkeypatch.setattr(download_module, "_chunks", original)
    fetch_cub(Workspace(tmp_path), archives)
    assert script.asked[1][1] == "bytes=5000-"


def test_the_published_facts():
    """docs/sources.md 7: sizes and checksums, agreed on by several repositories."""
    facts = {item.name: (item.size, item.md5) for item in cub.ARCHIVES}
    assert facts == {
        "CUB_200_2011.tgz": (1150585339, "97eceeb196236b17998738112f37df78"),
        "segmentations.tgz": (39272883, "4d47ba1228eae64f2fa547c47bc65255"),
    }


# ---- The dispatch ----


def test_the_kind_of_source_decides_and_nothing_falls_back(tmp_path, tiny_mapping, monkeypatch):
    mapping = json.loads(json.dumps(tiny_mapping))
    birds = mapping["datasets"][DATASET]
    mapping["datasets"] |= {
        "cub": {**birds, "source": {"kind": "cub", "fullsup": "none"}},
        "ilsvrc": {**birds, "source": {"kind": "ilsvrc", "fullsup": "none"}},
    }
    params = parse_params(mapping, "params.yaml")
    workspace = Workspace(tmp_path)
    monkeypatch.delenv("SPG_ILSVRC_ROOT", raising=False)
    with pytest.raises(UserError, match="SPG_ILSVRC_ROOT is not set"):
        fetch(workspace, params, "ilsvrc")
    monkeypatch.setenv("SPG_CUB_URL", "nonsense")
    with pytest.raises(UserError, match="CUB_200_2011"):
        fetch(workspace, params, "cub")
    assert not (tmp_path / "data/raw").exists()


@pytest.mark.parametrize("kind", ["cub", "ilsvrc"])
def test_a_real_data_set_is_fetched_without_the_code_that_draws_birds(kind):
    source = f"spg.data.sources.{kind}"
    code = f"import sys, spg.data.fetch.stage, {source}; sys.exit('spg.data.birds' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
