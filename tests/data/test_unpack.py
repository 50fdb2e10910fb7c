"""Hostile archives: each is refused in one sentence, and nothing of it stays or lands elsewhere."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from spg.data.fetch.unpack import LARGEST_READ, Limits, read_members, unpack
from spg.project.errors import UserError
from spg.project.files import whole_folder

ROOMY = Limits(bytes=1 << 26, members=1000)


def same(name):
    return name


def entry(name, content=b"hello", **facts):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in facts.items():
        setattr(member, key, value)
    return member, io.BytesIO(content)


def pack(path, *entries, mode="w:gz", **options):
    with tarfile.open(path, mode, **options) as tar:
        for member, content in entries:
            tar.addfile(member, content if member.isreg() else None)
    return path


def unpack_whole(archive, target, limits=ROOMY, rename=same):
    with whole_folder(target) as folder:
        unpack(archive, folder, limits, rename)


def files_below(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_files_arrive_as_they_were_packed(tmp_path, mode):
    content = {"a.txt": b"", "b/c.bin": bytes(range(256)) * 300, "b/d/e": b"x"}
    folders = [entry(name, b"", type=tarfile.DIRTYPE) for name in ("b", "./b/d")]
    members = [entry(f"./{name}", data) for name, data in content.items()]
    archive = pack(tmp_path / "a.tgz", *folders, *members, mode=mode)
    unpack_whole(archive, tmp_path / "out")
    assert files_below(tmp_path / "out") == content
    assert dict(read_members(archive, ROOMY, same)) == content


def test_only_wanted_files_are_written_under_their_new_names(tmp_path):
    archive = pack(tmp_path / "a.tgz", entry("top/keep/x"), entry("top/drop/y"), entry("z"))

    def rename(name):
        return name.removeprefix("top/") if "keep" in name else None

    unpack_whole(archive, tmp_path / "out", rename=rename)
    assert files_below(tmp_path / "out") == {"keep/x": b"hello"}
    assert dict(read_members(archive, ROOMY, rename)) == {"keep/x": b"hello"}


HOSTILE = {
    "absolute": [entry("/tmp/spg_evil.txt")],
    "parent": [entry("../evil.txt")],
    "hidden parent": [entry("a/b/../../../evil.txt")],
    "backslash": [entry("..\\evil.txt")],
    "no name": [entry(".", type=tarfile.REGTYPE)],
    "symlink": [entry("link", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
    "symlink to write through": [
        entry("link", b"", type=tarfile.SYMTYPE, linkname=".."), entry("link/evil.txt")
    ],
    "hardlink": [entry("a"), entry("b", b"", type=tarfile.LNKTYPE, linkname="a")],
    "hardlink outside": [entry("b", b"", type=tarfile.LNKTYPE, linkname="../evil.txt")],
    "fifo": [entry("pipe", b"", type=tarfile.FIFOTYPE)],
    "character device": [entry("null", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "block device": [entry("disk", b"", type=tarfile.BLKTYPE, devmajor=8)],
    "a name twice": [entry("a"), entry("./a", b"other")],
    "a name twice where case does not count": [entry("a/B"), entry("A/b")],
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_member_is_refused_by_name(tmp_path, kind):
    entries = HOSTILE[kind]
    archive = pack(tmp_path / "evil.tgz", *entries)
    with pytest.raises(UserError, match=r"evil\.tgz: refused at member '.*': it") as caught:
        unpack_whole(archive, tmp_path / "in" / "out")
    assert any(repr(member.name)[1:-1] in str(caught.value) for member, _ in entries)
    with pytest.raises(UserError):
        list(read_members(archive, ROOMY, same))
    assert not list((tmp_path / "in").iterdir())  # nothing stays, not even what came before
    assert {path.name for path in tmp_path.iterdir()} == {"evil.tgz", "in"}


def test_an_unwanted_hostile_member_is_refused_too(tmp_path):
    archive = pack(tmp_path / "evil.tgz", entry("../evil.txt"))
    with pytest.raises(UserError, match="leads out of the folder"):
        unpack_whole(archive, tmp_path / "out", rename=lambda name: None)


def test_a_sparse_file_is_refused(tmp_path):
    """It may state any size without having the bytes."""
    headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "huge",
               "GNU.sparse.realsize": str(1 << 40)}  # fmt: skip
    content = b"1\n0\n5\n".ljust(512, b"\0") + b"hello"
    member, stream = entry("huge", content, pax_headers=headers)
    archive = pack(tmp_path / "evil.tgz", (member, stream), format=tarfile.PAX_FORMAT)
    with pytest.raises(UserError, match="'huge': it is neither a plain file nor a folder"):
        unpack_whole(archive, tmp_path / "out")


def test_too_many_bytes_are_refused_before_they_are_written(tmp_path):
    archive = pack(tmp_path / "bomb.tgz", entry("zeros", bytes(1 << 22)))
    assert archive.stat().st_size < 1 << 14
    limits = Limits(bytes=1 << 20, members=10)
    for rename in (same, lambda name: None):  # skipping it would decompress it too
        with pytest.raises(UserError, match=r"bomb\.tgz: .*more than 1048576 bytes"):
            unpack_whole(archive, tmp_path / "out", limits, rename)
    assert not (tmp_path / "out").exists()
    unpack_whole(archive, tmp_path / "out", Limits(bytes=1 << 23, members=10))


def test_many_small_files_are_refused_by_their_sum(tmp_path):
    archive = pack(tmp_path / "bomb.tgz", *(entry(f"{n}", bytes(1000)) for n in range(50)))
    with pytest.raises(UserError, match="more than 40000 bytes"):
        unpack_whole(archive, tmp_path / "out", Limits(bytes=40_000, members=1000))


def test_too_many_members_are_refused(tmp_path):
    entries = [entry(f"{n}", b"", type=tarfile.DIRTYPE) for n in range(11)]
    archive = pack(tmp_path / "bomb.tgz", *entries)
    unpack_whole(archive, tmp_path / "out", Limits(1 << 20, 11))
    with pytest.raises(UserError, match="'10': the archive has more than 10 members"):
        unpack_whole(archive, tmp_path / "again", Limits(1 << 20, 10))


def test_a_header_that_fills_the_memory_is_refused(tmp_path):
    """A pax header is read in one piece; this one is 17 MiB of zeros in a few kilobytes."""
    member, content = entry("pax", bytes(LARGEST_READ + (1 << 20)), type=tarfile.XHDTYPE)
    stream = io.BytesIO()
    stream.write(member.tobuf(tarfile.USTAR_FORMAT))
    stream.write(content.getvalue())
    archive = tmp_path / "bomb.tgz"
    archive.write_bytes(gzip.compress(stream.getvalue(), 1))
    with pytest.raises(UserError, match="a header is too long"):
        unpack_whole(archive, tmp_path / "out", Limits(1 << 30, 10))


@pytest.mark.parametrize("keep", [1, 11, 100, 0.5, 0.95])
def test_a_cut_archive_is_refused_and_leaves_nothing(tmp_path, keep):
    noise = bytes((n * n * 7919) >> 5 & 255 for n in range(60_000))
    whole = pack(tmp_path / "whole.tgz", entry("a", noise), entry("b", noise[::-1])).read_bytes()
    archive = tmp_path / "cut.tgz"
    archive.write_bytes(whole[: keep if keep >= 1 else int(len(whole) * keep)])
    with pytest.raises(UserError, match=r"cut\.tgz: cannot be unpacked"):
        unpack_whole(archive, tmp_path / "in" / "out")
    assert not list((tmp_path / "in").iterdir())


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>" * 100, b"\x1f\x8bgarbage"])
def test_what_is_no_archive_is_one_sentence(tmp_path, content):
    archive = tmp_path / "page.tgz"
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"page\.tgz: cannot be unpacked"):
        unpack_whole(archive, tmp_path / "out")
    with pytest.raises(UserError, match=r"none\.tgz: no such file"):
        unpack_whole(tmp_path / "none.tgz", tmp_path / "out")


def test_a_chain_of_headers_is_one_sentence(tmp_path):
    """tarfile follows long names by recursion."""
    link = entry("././@LongLink", b"x\0", type=tarfile.GNUTYPE_LONGNAME)[0]
    block = link.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")
    archive = tmp_path / "chain.tgz"
    archive.write_bytes(gzip.compress(block * 5000))
    with pytest.raises(UserError, match=r"chain\.tgz: cannot be unpacked"):
        unpack_whole(archive, tmp_path / "out", Limits(1 << 30, 10))


def test_a_file_where_a_folder_should_be_is_one_sentence(tmp_path):
    archive = pack(tmp_path / "odd.tgz", entry("a"), entry("a/b"))
    with pytest.raises(UserError, match=r"odd\.tgz: cannot be unpacked"):
        unpack_whole(archive, tmp_path / "out")


def test_files_are_not_executable_and_belong_to_the_user(tmp_path):
    archive = pack(tmp_path / "a.tgz", entry("a", mode=0o7777, uid=12345))
    unpack_whole(archive, tmp_path / "out")
    assert (tmp_path / "out" / "a").stat().st_mode & 0o7111 == 0
