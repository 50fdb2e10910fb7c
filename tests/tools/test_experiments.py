"""Trials in DVC's queue, on a project of one stage: what happens beside a search that waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from spg.project.errors import UserError
from spg.tools.search import experiments as queue
from spg.tools.search.experiments import State, Trial, run_trials
from spg.tools.slots import Slot

pytestmark = pytest.mark.slow

STAGE = """\
stages:
  write:
    cmd: {python} {root}/stage.py
    params: [x]
    outs: [out]
"""
# A trial runs in a folder of DVC's; what it does to the user's project it does to ROOT.
HEAD = """\
import os, pathlib, subprocess, sys
ROOT = pathlib.Path({root!r})
x = pathlib.Path("params.yaml").read_text().strip()
"""
TAIL = """
pathlib.Path("out").write_text(x)
"""


def git(root, *words):
    subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a function that makes a committed project, whose stage does what it is given."""
    root = tmp_path / "project"
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(queue, "SECONDS_BETWEEN_LOOKS", 1.0)

    def made(does=""):
        root.mkdir()
        (root / "dvc.yaml").write_text(STAGE.format(python=sys.executable, root=root))
        (root / "params.yaml").write_text("x: 0\n")
        (root / "stage.py").write_text(HEAD.format(root=str(root)) + does + TAIL)
        git(root, "init", "-q")
        git(root, "config", "user.email", "a@b")
        git(root, "config", "user.name", "a")
        subprocess.run([*queue.DVC, "init", "-q"], cwd=root, check=True)
        git(root, "add", "-A")
        git(root, "commit", "-qm", "made")
        return root

    yield made
    for process in running(root):
        process.kill()


def running(root):
    """Return what runs in a folder, this process left out."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(root) and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


def trials(*names):
    return [Trial(name, (f"x={number}",), "write") for number, name in enumerate(names, start=1)]


def run(root, *names, said=print, now=None):
    planned = trials(*names)
    return run_trials(root, planned, [Slot({})], now=now or (lambda: planned), said=said)


def written(root, revision):
    got = subprocess.run(
        [*queue.DVC, "get", "-q", "--rev", revision, "-o", "got", "-f", ".", "out"],
        cwd=root, check=True,
    )  # fmt: skip
    assert got.returncode == 0
    return (root / "got").read_text()


def test_a_commit_made_meanwhile_changes_nothing(project):
    root = project("subprocess.run(['git', 'commit', '--allow-empty', '-qm', 'x'], cwd=ROOT)")
    lines = []
    done = run(root, "first", "second", said=lines.append)
    assert sorted(done) == ["first", "second"]
    assert lines == ["1/2 first: success", "2/2 second: success"]
    assert [written(root, done[name]) for name in ("first", "second")] == ["x: 1", "x: 2"]


def test_a_trial_that_somebody_takes_out_of_the_queue_is_named(project):
    removes = "subprocess.run([sys.executable, '-m', 'dvc', 'queue', 'remove', 'second'], cwd=ROOT)"
    with pytest.raises(UserError, match=r"second is not among DVC's experiments on .{8} any more"):
        run(project(removes), "first", "second")


KILLS_ITS_WORKER = """
import psutil, signal
if not (ROOT / "killed").exists():
    (ROOT / "killed").write_text("")
    for process in psutil.process_iter():
        if "queue-worker" in process.cmdline() and process.cwd() == str(ROOT):
            process.kill()
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_trial_whose_worker_is_killed_starts_again(project):
    root = project(KILLS_ITS_WORKER)
    done = run(root, "first", "second")
    assert (root / "killed").exists()
    assert sorted(done) == ["first", "second"]


def test_a_trial_that_would_be_another_one_does_not_start_again(project):
    """DVC would put today's files into the queue under the name of yesterday's."""
    root = project(KILLS_ITS_WORKER)
    edited = [Trial("first-edited", ("x=1",), "write")]
    with pytest.raises(UserError, match=r"first has to start again, and params\.yaml or code"):
        run(root, "first", now=lambda: edited)
    assert (root / "killed").exists()


def test_a_trial_whose_worker_was_killed_behind_its_result_is_done(project, monkeypatch):
    """DVC goes on calling it running, and refuses another of its name."""
    root = project()
    done = run(root, "first")
    told, left = queue.experiments, [{"first": State("running", "", None)}] * 2
    monkeypatch.setattr(queue, "experiments", lambda *args: left.pop() if left else told(*args))
    monkeypatch.setattr(queue, "_workers", lambda _: set())
    assert run(root, "first") == done


def test_a_trial_that_failed_is_tried_again_with_one_that_dvc_has_forgotten(project):
    root = project("if not (ROOT / 'mended').exists(): sys.exit(1)")
    assert run(root, "first", "second") == {}
    (root / "mended").write_text("")
    subprocess.run([*queue.DVC, "queue", "remove", "first"], cwd=root, check=True)
    assert sorted(run(root, "first", "second")) == [
        "first", "second",
    ]  # fmt: skip


def test_a_trial_is_lost_with_its_process_or_with_the_last_worker(tmp_path):
    alive, unknown = State("running", "", os.getpid()), State("running", "", None)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    words = [sys.executable, "-c", "import time; time.sleep(600)", "queue-worker", "name"]
    with subprocess.Popen(words, cwd=tmp_path) as worker:
        try:
            assert queue._workers(tmp_path) == {"name"}
            assert not queue._is_lost(alive, tmp_path)
            assert not queue._is_lost(unknown, tmp_path)
            assert queue._is_lost(State("running", "", ended.pid), tmp_path)
            assert queue._is_lost(unknown, tmp_path / "..")
        finally:
            worker.kill()
    assert queue._is_lost(alive, tmp_path), "its number is another's by now"
    assert queue._is_lost(unknown, tmp_path)
    assert not queue._is_lost(State("queued", "", None), tmp_path)


def test_the_next_worker_is_asked_for_when_the_one_before_answers(tmp_path, monkeypatch):
    """A worker that is still starting does not answer, and DVC would start it once more."""
    diary, answers = [], iter([0, 0, 1, 1, 2])
    monkeypatch.setattr(queue.subprocess, "run", lambda words, **_: started(words[-1]))
    monkeypatch.setattr(queue.time, "sleep", lambda _: diary.append("waited"))
    monkeypatch.setattr(queue, "_answering", lambda _: next(answers))
    monkeypatch.setattr(queue, "_workers", lambda _: {word for word in diary if word.isdigit()})

    def started(number):
        diary.append(number)
        return subprocess.CompletedProcess((), 0)

    queue._start_workers(tmp_path, [Slot({}), Slot({})])
    assert diary == ["1", "waited", "waited", "2", "waited"]


def test_workers_that_run_are_not_started_again(project):
    root = project("import time; time.sleep(60)")
    queue._queue(root, trials("first", "second"))
    for _ in range(2):
        queue._start_workers(root, [Slot({"SLOT": "a"}), Slot({"SLOT": "b"})])
    assert len(queue._workers(root)) == 2
    slots = [p.environ()["SLOT"] for p in running(root) if "queue-worker" in p.cmdline()]
    assert sorted(slots) == ["a", "b"]


QUEUES = """
import sys
from pathlib import Path
from spg.tools.search.experiments import Trial, _queue
_queue(Path(sys.argv[1]), [Trial("first", ("x=1",), "write")])
"""
INTERRUPTED = f"""
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background ignores it
def queue():
    {QUEUES.strip().replace(chr(10), chr(10) + "    ")}
guarded(queue)
"""


def test_killed_while_dvc_queues_a_trial_it_leaves_the_users_files(project):
    root = project()
    edited = "x: 0  # of the user, not committed\n"
    params = root / "params.yaml"
    params.write_text(edited)
    first = subprocess.Popen([sys.executable, "-c", QUEUES, str(root)], start_new_session=True)
    until = time.monotonic() + 60
    while params.exists() and params.read_text() == edited:
        assert time.monotonic() < until
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    while running(root):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert params.read_text() == edited


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_dvc_queues_a_trial_it_waits_for_that(project, sent):
    root = project()
    edited = "x: 0  # of the user, not committed\n"
    params = root / "params.yaml"
    params.write_text(edited)
    script = f"import signal\nfrom spg.project.ending import guarded\n{INTERRUPTED}"
    search = subprocess.Popen([sys.executable, "-c", script, str(root)])
    until = time.monotonic() + 60
    while params.exists() and params.read_text() == edited:
        assert time.monotonic() < until
    search.send_signal(sent)
    search.wait()
    assert params.read_text() == edited  # by then, not some time later
    assert not running(root)


def test_without_a_repository_it_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="need a Git repository with a commit"):
        run(tmp_path, "first")
