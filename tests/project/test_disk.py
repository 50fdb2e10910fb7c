"""What the system refuses is one sentence; nothing half-made stays, and the next run goes on."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from victims import COMMANDS, hashes, run

ROOT = Path(__file__).parents[2]
SPACE = 64 << 20
NOTHING_OVERRIDES = [
    "setpriv", "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
]  # fmt: skip


def mounted(*options):
    return subprocess.run(["mount", *options], check=False, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A file system of 64 MiB of its own."""
    folder = tmp_path_factory.mktemp("disk")
    if not mounted("-t", "tmpfs", "-o", f"size={SPACE}", "tmpfs", str(folder)):
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(params=COMMANDS)
def case(request, undisturbed, disk):
    """A command, a project on the small disk in which all before it ran, and what it leaves."""
    for entry in disk.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    undisturbed.copy_before(request.param, disk)
    return disk, COMMANDS[request.param], undisturbed.after[request.param][1]


def one_sentence(ended):
    """Return what an ended command said last, which has to be one line for a user."""
    assert ended.status == 2, ended.said
    assert "Traceback" not in ended.said
    last = ended.said.splitlines()[-1]
    assert last.startswith("error: ")
    return last


def goes_on(root, words, before, made):
    ended = run(root, words)
    assert ended.status == 0, ended.said
    assert hashes(root) == before | made
    for file in made:
        (root / file).unlink()


def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(case, undisturbed):
    root, words, made = case
    before = hashes(root)
    size = sum((undisturbed.root / file).stat().st_size for file in made)
    draw = random.Random(" ".join(words))
    filler = root / ".scratch/filler"
    filler.parent.mkdir(exist_ok=True)
    for share in (0.0, draw.random(), draw.random()):
        free = shutil.disk_usage(root).free
        filler.write_bytes(bytes(max(0, free - int(share * size))))
        ended = run(root, words)
        filler.unlink()
        said = one_sentence(ended)  # of the system, or before it comes to that
        assert "No space left on device; free some space there" in said or (
            words[0] == "prepare" and "are free; free some, or let the folder lie" in said
        )
        assert hashes(root).items() <= before.items(), "something was left"
        goes_on(root, words, before, made)


def test_a_read_only_disk_is_one_sentence(case):
    root, words, made = case
    before = hashes(root)
    assert mounted("-o", "remount,ro", str(root))
    try:
        ended = run(root, words)
    finally:
        assert mounted("-o", "remount,rw", str(root))
    assert "Read-only file system; make it writable" in one_sentence(ended)
    goes_on(root, words, before, made)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_where_a_file_belongs_is_one_sentence(undisturbed, tmp_path, name):
    """And a file where a folder belongs; neither is touched."""
    undisturbed.copy_before(name, tmp_path)
    before, (_, made) = hashes(tmp_path), undisturbed.after[name]
    targets = {
        "fetch": "data/raw/synthetic_birds", "prepare": "data/packed/synthetic_birds",
        "weights": "weights/inception_v3.safetensors", "train": "runs/synthetic_birds",
        "localize": "maps/synthetic_birds/inception_v3-spg-0", "sweep": "sweep",
        "evaluate": "eval/synthetic_birds/inception_v3-spg-0/metrics.json",
    }  # fmt: skip
    target = tmp_path / targets[name]
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix:
        (target / "mine").mkdir(parents=True)
    else:
        target.write_text("mine")
    said = one_sentence(run(tmp_path, COMMANDS[name]))
    assert str(target) in said
    assert "move away what lies there, then run the same command again" in said
    found = {k: v for k, v in hashes(tmp_path).items() if k != targets[name]}
    if name == "weights":  # the stem itself is whole by then: what is blocked is its copy
        found = {k: v for k, v in found.items() if not k.startswith("stems/")}
    assert found == before
    if target.suffix:
        assert (target / "mine").is_dir()
        shutil.rmtree(target)
    else:
        assert target.read_text() == "mine"
        target.unlink()
    goes_on(tmp_path, COMMANDS[name], before, made)


def spg(root, *words, prefix=(), **variables):
    return subprocess.run(
        [*prefix, sys.executable, "-m", "spg", *words], cwd=root, check=False,
        capture_output=True, text=True, timeout=200,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
    )  # fmt: skip


@pytest.fixture(scope="module")
def as_anybody(tmp_path_factory):
    """What to put before a command so that permissions hold for root too."""
    if os.geteuid() != 0:
        return []
    locked = tmp_path_factory.mktemp("locked")
    locked.chmod(0o500)
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and setpriv is not there to give that up")
    tried = subprocess.run([*NOTHING_OVERRIDES, "touch", str(locked / "x")], check=False)
    if tried.returncode == 0:
        pytest.skip("setpriv does not take root's rights away here")
    return NOTHING_OVERRIDES


@pytest.mark.parametrize(
    ("locked", "mode"), [("sweep", 0o500), ("data/packed/synthetic_birds/manifest.parquet", 0o000)]
)
def test_a_missing_permission_is_one_sentence(undisturbed, tmp_path, as_anybody, locked, mode):
    undisturbed.copy_before("sweep", tmp_path)
    before, (_, made) = hashes(tmp_path), undisturbed.after["sweep"]
    (tmp_path / "sweep").mkdir()
    usual = (tmp_path / locked).stat().st_mode
    (tmp_path / locked).chmod(mode)
    done = spg(tmp_path, *COMMANDS["sweep"], prefix=as_anybody)
    (tmp_path / locked).chmod(usual)
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert locked in said
    assert "Permission denied; allow yourself to read and write it" in said
    assert hashes(tmp_path) == before
    goes_on(tmp_path, COMMANDS["sweep"], before, made)


def test_a_read_only_installation_with_a_read_only_home_still_measures(
    undisturbed, tmp_path, as_anybody
):
    """Where numba can keep nothing, it compiles anew; the bytes are the same."""
    project, code, home = (tmp_path / name for name in ("project", "code", "home"))
    undisturbed.copy_before("sweep", project)
    shutil.copytree(ROOT / "spg", code / "spg", ignore=shutil.ignore_patterns("__pycache__"))
    home.mkdir()
    for path in [home, *code.rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    done = spg(
        project, *COMMANDS["sweep"], prefix=as_anybody,
        PYTHONPATH=str(code), HOME=str(home), XDG_CACHE_HOME=str(home), SPG_WORKERS="0",
    )  # fmt: skip
    for path in [home, *code.rglob("*")]:
        path.chmod(0o700)
    assert done.returncode == 0, done.stderr
    made = undisturbed.after["sweep"][1]
    assert made.items() <= hashes(project).items()


def test_files_that_may_not_grow_are_named(undisturbed, tmp_path):
    """A quota of the process, as some clusters set: no root needed."""
    undisturbed.copy_before("localize", tmp_path)
    before, (_, made) = hashes(tmp_path), undisturbed.after["localize"]
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    code = f"{limited}; from spg.cli import main; main({COMMANDS['localize']!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=False, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "File too large; free some space there" in done.stderr.splitlines()[-1]
    assert hashes(tmp_path) == before
    goes_on(tmp_path, COMMANDS["localize"], before, made)
