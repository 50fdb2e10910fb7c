from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from spg.project.files import (
    remove_leftovers,
    whole_file,
    whole_files,
    whole_folder,
    write_json,
    write_text,
)


def everything_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_a_file_appears_when_its_block_ends(tmp_path):
    path = tmp_path / "deep" / "er" / "file.bin"
    with whole_file(path) as temporary:
        temporary.write_bytes(b"some")
        assert not path.exists()
        assert temporary.parent == path.parent  # a rename across file systems is no rename
    assert path.read_bytes() == b"some"
    assert everything_in(path.parent) == {"file.bin"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_block_that_raises_leaves_the_old_file(tmp_path, error, before):
    path = tmp_path / "file.bin"
    if before:
        path.write_bytes(before)

    def write():
        with whole_file(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert (path.read_bytes() if path.exists() else None) == before
    assert everything_in(tmp_path) == ({"file.bin"} if before else set())


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), whole_file(path):
        pass
    assert path.read_bytes() == b"old"


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "a" / "folder"
    for names in (["one", "two"], ["three"]):
        with whole_folder(path) as temporary:
            assert everything_in(temporary) == set()
            for name in names:
                (temporary / name).write_text(name)
        assert everything_in(path) == set(names)
    assert everything_in(path.parent) == {"folder", "folder/three"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [set(), {"old"}])
def test_a_block_that_raises_leaves_the_old_folder(tmp_path, error, before):
    path = tmp_path / "folder"
    for name in before:
        path.mkdir()
        (path / name).write_text(name)

    def write():
        with whole_folder(path) as temporary:
            (temporary / "half").write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert everything_in(tmp_path) == ({"folder", "folder/old"} if before else set())


def test_the_rest_of_an_earlier_crash_does_not_get_into_a_folder(tmp_path):
    path = tmp_path / "folder"
    with whole_folder(path) as temporary:
        name = temporary.name
    (tmp_path / name.replace(".new.", ".old.")).mkdir()
    (tmp_path / name).mkdir()
    (tmp_path / name / "rest").write_text("rest")
    with whole_folder(path) as temporary:
        (temporary / "new").write_text("new")
    assert everything_in(path) == {"new"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [1, float("-inf")]}])
def test_json_refuses_what_json_has_no_word_for(tmp_path, value):
    path = tmp_path / "value.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, value)
    assert json.loads(path.read_text()) == {"old": 1}
    assert everything_in(tmp_path) == {"value.json"}


def test_json_is_sorted_utf8_and_ends_with_a_line(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"b": 1, "a": "\u00e9", "c": None})
    assert path.read_bytes() == '{\n  "a": "\u00e9",\n  "b": 1,\n  "c": null\n}\n'.encode()


def test_text_has_unix_line_ends(tmp_path):
    path = tmp_path / "text.txt"
    write_text(path, "a\nb\u00e9\n")
    assert path.read_bytes() == "a\nb\u00e9\n".encode()


# ---- Several files at once, and what kills leave ----

NAMES = ("one", "two", "last")


def fill(folder, text, names=NAMES):
    for name in names:
        (folder / name).write_text(text)


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_files_are_replaced_together_and_others_stay(tmp_path):
    folder = tmp_path / "cell"
    for text in ("old", "new"):
        with whole_files(folder, *NAMES) as temporary:
            fill(temporary, text)
        assert contents(folder) == dict.fromkeys(NAMES, text)
    (folder / "other").write_text("kept")
    with whole_files(folder, *NAMES) as temporary:
        fill(temporary, "newer")
    assert contents(folder) == {**dict.fromkeys(NAMES, "newer"), "other": "kept"}
    assert everything_in(tmp_path) == {"cell", *(f"cell/{name}" for name in contents(folder))}


def cut_at(patch, calls, *methods):
    """Interrupt a block before the given one of all its calls of methods of Path."""
    done = []

    def cut_off(method):
        def call(path, *args, **kwargs):
            done.append(path)
            if len(done) == calls:
                raise KeyboardInterrupt
            return method(path, *args, **kwargs)

        return call

    for name in methods:
        patch.setattr(Path, name, cut_off(getattr(Path, name)))


def write_all(kind, folder, text, *names):
    with kind(folder, *names) as temporary:
        fill(temporary, text)


@pytest.mark.parametrize("calls", range(1, 5))
def test_files_of_two_runs_are_never_there_with_the_last_one(tmp_path, monkeypatch, calls):
    """Cut between any two of the changes in the folder: what is mixed lacks the last name."""
    folder = tmp_path / "cell"
    write_all(whole_files, folder, "old", *NAMES)
    with monkeypatch.context() as patch:
        cut_at(patch, calls, "unlink", "replace")
        with pytest.raises(KeyboardInterrupt):
            write_all(whole_files, folder, "new", *NAMES)
    found = contents(folder)
    assert len(set(found.values())) == 1 or "last" not in found
    write_all(whole_files, folder, "newer", *NAMES)
    assert contents(folder) == dict.fromkeys(NAMES, "newer")


@pytest.mark.parametrize("calls", [1, 2])
def test_a_folder_that_is_cut_off_while_it_is_replaced_is_whole_or_gone(
    tmp_path, monkeypatch, calls
):
    path = tmp_path / "folder"
    write_all(whole_folder, path, "old")
    with monkeypatch.context() as patch:
        cut_at(patch, calls, "replace")
        with pytest.raises(KeyboardInterrupt):
            write_all(whole_folder, path, "new")
    assert not path.exists() or contents(path) == dict.fromkeys(NAMES, "old")
    remove_leftovers(path)
    write_all(whole_folder, path, "new")
    assert contents(path) == dict.fromkeys(NAMES, "new")
    assert everything_in(tmp_path) == {"folder", *(f"folder/{name}" for name in NAMES)}


def test_what_kills_left_is_removed_beside_and_inside_and_nothing_else(tmp_path):
    target = tmp_path / "cell"
    (target / "deep").mkdir(parents=True)
    for name in (".cell.1.new.part", ".cells.1.new.part", ".other.1.new.part", "cell.part",
                 "cell/.model.2.new.part", "cell/deep/.x.3.old.part", "cell/model"):  # fmt: skip
        (tmp_path / name).write_text("")
    (tmp_path / ".cell.4.old.part").mkdir()
    (tmp_path / ".cell.4.old.part" / "file").write_text("")
    remove_leftovers(target)
    assert everything_in(tmp_path) == {
        "cell", "cell/deep", "cell/model", "cell.part", ".cells.1.new.part", ".other.1.new.part"
    }  # fmt: skip


@pytest.mark.parametrize("kind", [whole_file, whole_folder, whole_files])
def test_a_full_disk_names_the_file(tmp_path, kind):
    names = ("a",) if kind is whole_files else ()
    with pytest.raises(OSError, match="No space") as error, kind(tmp_path / "target", *names):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.filename == str(tmp_path / "target")
    assert everything_in(tmp_path) == set()


def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises(IsADirectoryError, match="target"), whole_file(tmp_path / "target"):
        pytest.fail("was written")


@pytest.mark.parametrize("kind", [whole_folder, whole_files])
def test_a_file_in_the_place_of_a_folder_is_refused_and_kept(tmp_path, kind):
    (tmp_path / "target").write_text("mine")
    names = ("a",) if kind is whole_files else ()
    with pytest.raises(NotADirectoryError, match="target"), kind(tmp_path / "target", *names):
        pytest.fail("was written")
    assert (tmp_path / "target").read_text() == "mine"
