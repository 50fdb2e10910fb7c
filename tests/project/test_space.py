"""What does not fit on the disk is said before it is loaded, unpacked or packed."""

from __future__ import annotations

import shutil
from collections import namedtuple

import pytest
from tiny import sharing

import spg.data.prepare.stage
from spg.data.fetch.download import Remote, download
from spg.data.fetch.unpack import Limits, unpack
from spg.data.layouts.space import require_space
from spg.data.prepare import shards
from spg.data.prepare.shards import Shard, bytes_left
from spg.data.prepare.stage import prepare
from spg.project.errors import UserError

NAME = "synthetic_birds"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free(monkeypatch):
    """A function that says how many bytes are free, and remembers which folders were asked."""
    asked = []

    def set_free(count):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path: asked.append(path) or Usage(10**12, 0, count)
        )
        return asked

    return set_free


@pytest.mark.parametrize(("count", "needed"), [(100, 101), (0, 1), (5 * 10**9, 144e9)])
def test_too_little_is_one_sentence(free, tmp_path, count, needed):
    asked = free(count)
    with pytest.raises(UserError) as caught:
        require_space(tmp_path / "not/yet/there", needed, "all of it")
    assert asked == [tmp_path]  # the first folder above that exists
    assert str(caught.value).startswith(f"{tmp_path}/not/yet/there: all of it takes ")
    assert "\n" not in str(caught.value)


def test_units_are_those_that_people_read(free, tmp_path):
    free(5_200_000_000)
    with pytest.raises(UserError, match=r"takes 144\.0 GB and 5\.2 GB are free"):
        require_space(tmp_path, 144e9, "it")
    free(5_200_000)
    with pytest.raises(UserError, match=r"takes 45\.0 MB and 5\.2 MB are free"):
        require_space(tmp_path, 45e6, "it")


def test_enough_is_enough(free, tmp_path):
    free(100)
    require_space(tmp_path, 100, "it")


def test_a_download_asks_for_what_is_missing_of_it(free, tmp_path):
    free(600)
    remote = Remote("a.tgz", "http://127.0.0.1:1/a.tgz", 1000, "0" * 32)
    with pytest.raises(UserError, match=r"the rest of a\.tgz takes 0\.0 MB"):
        download(remote, tmp_path / "store", wait=0.0)
    (tmp_path / "store/a.tgz.part").write_bytes(bytes(500))
    with pytest.raises(UserError, match="no connection"):
        download(remote, tmp_path / "store", wait=0.0)


def test_an_archive_is_not_unpacked_where_it_cannot_fit(free, tmp_path):
    archive = tmp_path / "a.tar"
    archive.write_bytes(bytes(10_240))
    free(10_000)
    with pytest.raises(UserError, match=r"what a\.tar holds takes"):
        unpack(archive, tmp_path, Limits(1 << 20, 10), lambda name: name)


@pytest.fixture
def project(tiny_workspace, tmp_path):
    shutil.copytree(tiny_workspace.raw(NAME), tmp_path / "data/raw" / NAME, symlinks=True)
    return sharing(tiny_workspace, tmp_path)


def test_the_estimate_is_what_packing_takes(project, tiny_params, monkeypatch):
    estimates = []

    def estimate(shards):
        estimates.append(bytes_left(shards))
        return estimates[-1]

    monkeypatch.setattr(spg.data.prepare.stage, "bytes_left", estimate)
    prepare(project, tiny_params, NAME)
    packed = sum(path.stat().st_size for path in project.packed(NAME).glob("shard-*.arrow"))
    assert estimates[0] == pytest.approx(packed, rel=0.2)  # beside the images, Arrow's own bytes


def test_one_huge_image_says_little_of_all(tmp_path, monkeypatch):
    """An estimate from the mean would ask for what no packing of the others takes."""
    sizes = iter([10_000_000, *[1_000] * 99])
    monkeypatch.setattr(shards, "_encoded", lambda *_: (b"x" * next(sizes), None))
    images = Shard(tmp_path / "none", tmp_path, list(range(27)), None, 90)
    assert bytes_left([images]) == 27 * 1_000


def test_what_is_packed_already_is_not_asked_for_again(project, tiny_params, monkeypatch, free):
    """A run that was cut, before its last step."""
    with monkeypatch.context() as patch:
        patch.setattr(spg.data.prepare.stage, "whole_folder", None)
        with pytest.raises(TypeError):
            prepare(project, tiny_params, NAME)
    free(0)
    prepare(project, tiny_params, NAME)
    assert (project.packed(NAME) / "manifest.parquet").exists()


def test_packing_does_not_start_where_it_cannot_end(project, tiny_params, free):
    free(1000)
    with pytest.raises(UserError, match=r"data/packed/synthetic_birds: packing 27 images takes"):
        prepare(project, tiny_params, NAME)
    assert not project.packed(NAME).exists()
