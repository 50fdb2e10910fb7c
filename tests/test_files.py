from __future__ import annotations

import json

import pytest

from spg.files import whole_file, whole_folder, write_json, write_text


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
