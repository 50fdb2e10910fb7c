"""`execution.portable` caps a process before any library is loaded, and nothing else does."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from spg.project.portable import CAPS

TELL = """
import json, os, sys
{before}
import spg
from spg.project.portable import in_force
print(json.dumps([in_force(), {{name: os.environ.get(name) for name in {names}}}]))
"""


def told(folder, *, before="", **variables):
    """Whether a process in ``folder`` is capped, and its variables."""
    environment = {name: value for name, value in os.environ.items() if name not in CAPS}
    environment.pop("SPG_PORTABLE", None)
    script = TELL.format(before=before, names=sorted(CAPS))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment | variables, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.fixture
def asking(tmp_path):
    (tmp_path / "params.yaml").write_text("execution: {portable: true}\n", encoding="utf-8")
    return tmp_path


def test_params_that_ask_for_it_cap_every_library(asking):
    assert told(asking) == [True, CAPS]


def test_the_caps_win_over_what_the_user_has_set(asking):
    assert told(asking, OMP_NUM_THREADS="7", ATEN_CPU_CAPABILITY="default") == [True, CAPS]


@pytest.mark.parametrize(
    "content",
    ["execution: {portable: false}", "execution: {portable: 1}", "execution: 3", "a: [", "", "- 1",
     b"\xff\xfe"],
)  # fmt: skip
def test_anything_else_caps_nothing(tmp_path, content):
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "params.yaml").write_bytes(content)
    assert told(tmp_path) == [False, dict.fromkeys(CAPS)]


def test_params_that_cannot_be_read_are_left_to_their_reader(tmp_path):
    (tmp_path / "params.yaml").write_text("skip: 2024-13-45\n", encoding="utf-8")
    assert told(tmp_path)[0] is False


def test_a_folder_without_params_caps_nothing(tmp_path):
    assert told(tmp_path)[0] is False


def test_a_capped_process_keeps_compiled_kernels_of_its_own(asking):
    """Else torch.compile takes one that was built for another instruction set, and it is wrong."""
    script = "import os, spg; print(os.environ.get('TORCHINDUCTOR_CACHE_DIR'))"
    environment = {name: value for name, value in os.environ.items() if name != "SPG_PORTABLE"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=asking, env=environment, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(asking / ".scratch/torchinductor")


def test_a_process_that_has_loaded_a_library_is_not_called_capped(asking):
    assert told(asking, before="import numpy") == [False, dict.fromkeys(CAPS)]


def test_what_a_capped_process_starts_is_capped_in_any_folder(asking, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert told(elsewhere, SPG_PORTABLE="1", **CAPS) == [True, CAPS]
