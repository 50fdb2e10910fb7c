"""Several processes compute what one does: the training, its parts, and the evaluation."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from processes import run_in_processes
from tiny import sharing, with_setup
from torch import nn
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

import spg.train.checkpoint
import spg.train.loop
from spg.data.images.manifest import TRAIN_WEAKSUP, class_names, read_manifest
from spg.data.images.packed import PackedImages
from spg.data.inputs.samples import TrainSamples
from spg.localize.stage import localize_cell
from spg.networks.compute.distributed import (
    Share,
    World,
    agree_on,
    batch_mean,
    joined,
    own_rows,
    share_of,
    whole_batch,
    world,
)
from spg.networks.compute.distributed import (
    sharing as sharing_rows,
)
from spg.networks.methods.spg.guidance import IGNORE, guidance_mask, masked_bce
from spg.networks.parts.build import build_network
from spg.project.errors import UserError
from spg.project.files import read_json, write_json
from spg.project.params import Params, parse_params
from spg.project.workspace import Cell, Workspace
from spg.train.checkpoint import Saver, load_checkpoint
from spg.train.loop import Trainer
from spg.train.stage import train_cell
from spg.train.sync_batch_norm import synchronize

NAME, BACKBONE = "synthetic_birds", "inception_v3"
ROOT = Path(__file__).parents[2]
BATCH = 5  # of 12 images: 5, 5 and 2, which is fewer than three processes
SIZES = [2, pytest.param(3, marks=pytest.mark.slow)]

# ---- Shares ----


@given(st.integers(1, 70), st.integers(1, 9))
def test_shares_are_even_and_make_the_batch(total, size):
    shares = [share_of(total, World(rank, size)) for rank in range(size)]
    if total < size:
        assert shares == [Share(0, total, total)] * size
        return
    rows = [row for share in shares for row in range(share.start, share.stop)]
    assert rows == list(range(total))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_alone_nothing_is_exchanged():
    rows = torch.randn(3, 2)
    assert world() == (0, 1)
    assert whole_batch(rows) is rows
    assert torch.equal(own_rows(lambda count: torch.arange(count), 3), torch.arange(3))
    assert batch_mean(torch.tensor(6.0), torch.tensor(4.0)) == 1.5
    assert batch_mean(torch.tensor(0.0), torch.tensor(0.0)) == 0


def test_dropout_alone_is_torchs():
    from spg.networks.parts.heads import BranchA

    branch = BranchA(4, (), 2, dropout=0.3).train()
    x = torch.randn(5, 4, 6, 6).contiguous(memory_format=torch.channels_last)
    torch.manual_seed(1)
    got = branch._drop(x)
    torch.manual_seed(1)
    assert torch.equal(got, F.dropout(x, 0.3))
    assert branch.eval()._drop(x) is x


# ---- In two and three processes, against one ----

SLIPS = {"pixels": 25_000, "fraction_of_max": 0.7, "leak": True}  # so many that it happens
CASES = {  # method, changes of its training, of guidance.minimum_foreground
    "spg": ("spg", {}, {}),
    "small steps": ("spg", {"stem_lr": 1e-5, "new_lr": 1e-5}, {}),  # chaos is slower than rounding
    "spg, sgd": ("spg", {"name": "sgd"}, {}),
    "official slips": ("spg", {"dropout": 0.5}, SLIPS),
    "acol": ("acol", {}, {}),
    "has": ("has", {}, {}),
    "adl": ("adl", {}, {}),
    "cutmix": ("cutmix", {"dropout": 0.5}, {}),
}


def case_params(mapping: dict, train: dict, foreground: dict) -> Params:
    train = dict(train)
    changed = copy.deepcopy(mapping)
    changed["guidance"]["minimum_foreground"] |= foreground
    setup = changed["datasets"][NAME]["backbones"][BACKBONE]
    train = {"dropout": train.pop("dropout", 0.0), "optimizer": setup["train"]["optimizer"] | train}
    changed = with_setup(changed, train={"batch_size": BATCH, **train})
    return parse_params(changed, "case")


def trainer_of(root: Path, mapping: dict, case: str, dtype: torch.dtype, folder: Path) -> Trainer:
    method, train, foreground = CASES[case]
    params = case_params(mapping, train, foreground)
    workspace, cell = Workspace(root), Cell(NAME, BACKBONE, method, 0)
    manifest = read_manifest(workspace.packed(NAME) / "manifest.parquet")
    torch.manual_seed(11)
    model, criterion = build_network(params, cell, len(class_names(manifest)))
    model.to(dtype)
    model.register_forward_pre_hook(lambda _, inputs: (inputs[0].to(dtype), *inputs[1:]))
    setup = params.setup(NAME, BACKBONE)
    samples = TrainSamples(
        PackedImages(workspace.packed(NAME)), manifest["class_id"].tolist(), setup.input,
        model.stem.colors,
    )  # fmt: skip
    return Trainer(
        model, criterion, samples, np.flatnonzero(manifest["split"] == TRAIN_WEAKSUP),
        train=setup.train, execution=params.execution, seed=0,
        checkpoint=folder / "never.pt",
    )  # fmt: skip


def precisions(case: str) -> list[tuple[torch.dtype, float]]:
    """The types of numbers that a case is computed in, each with its tolerance."""
    single = [(torch.float32, 1e-4)] if case == "small steps" else []
    return [(torch.float64, 1e-9), *single]


def train_cases(root: Path, mapping: dict, folder: Path) -> None:
    for case in CASES:
        for dtype, _ in precisions(case):
            trainer = trainer_of(root, mapping, case, dtype, folder)
            history = trainer.run()
            if trainer.first:
                torch.save(
                    {"history": history.to_dict(), "model": trainer.model.state_dict()},
                    folder / f"{case}-{dtype}.pt",
                )


@pytest.fixture(scope="module")
def alone(tiny_workspace, tiny_mapping, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    train_cases(tiny_workspace.root, tiny_mapping, folder)
    return folder


@pytest.fixture(scope="module", params=SIZES)
def together(request, tiny_workspace, tiny_mapping, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"together{request.param}")
    run_in_processes(train_cases, request.param, tiny_workspace.root, tiny_mapping, folder)
    return folder


def difference(first, second):
    return float((torch.as_tensor(first).double() - torch.as_tensor(second).double()).abs().max())


@pytest.mark.parametrize("case", CASES)
def test_the_loss_curve_is_that_of_one_process(alone, together, case):
    for dtype, tolerance in precisions(case):
        want, got = (
            pd.DataFrame(torch.load(folder / f"{case}-{dtype}.pt")["history"])
            for folder in (alone, together)
        )
        assert list(got) == list(want)
        assert difference(got.to_numpy(), want.to_numpy()) < tolerance, dtype


@pytest.mark.parametrize("case", CASES)
def test_the_weights_are_those_of_one_process(alone, together, case):
    want, got = (
        torch.load(folder / f"{case}-{torch.float64}.pt")["model"] for folder in (alone, together)
    )
    assert list(got) == list(want)
    for name in want:
        assert difference(got[name], want[name]) < 1e-9, name


def check_parts(folder: Path) -> None:
    """What single parts give, compared with the whole batch that every process knows."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(5, 3, 4, 4, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 3, 4, 4, generator=generator, dtype=torch.float64)
    share = share_of(5, world())
    rows = slice(share.start, share.stop)
    with sharing_rows(share):
        assert torch.equal(whole_batch(x[rows]), x)
        torch.manual_seed(8)
        mine = own_rows(lambda count: torch.rand(count, 2), len(x[rows]))
        torch.manual_seed(8)
        assert torch.equal(mine, torch.rand(5, 2)[rows])
        maps, few = x[:, 0].sigmoid(), 224 * 224 * 0.6
        leaky = dict(minimum_pixels=int(few), fraction_of_max=0.7, leak=True)
        mask = guidance_mask(maps[rows], 0.2, 0.6, **leaky)
    assert torch.equal(mask, guidance_mask(maps, 0.2, 0.6, **leaky)[rows])

    plain = nn.Sequential(nn.BatchNorm2d(3)).double()
    synced = synchronize(copy.deepcopy(plain), torch.device("cpu"))
    whole, part = x.clone().requires_grad_(), x[rows].clone().requires_grad_()
    for _ in range(2):
        want, got = plain(whole), synced(part)
    assert difference(got.detach(), want[rows].detach()) < 1e-12
    (want * weight).sum().backward()
    (got * weight[rows]).sum().backward()
    assert difference(part.grad, whole.grad[rows]) < 1e-12
    for name, value in plain.state_dict().items():
        assert difference(synced.state_dict()[name], value) < 1e-12, name
    assert (
        torch.equal(synced.eval()(part), plain.eval()(part))
        or difference(synced.eval()(part).detach(), plain.eval()(part).detach()) < 1e-12
    )

    mask = torch.tensor([0.0, 1.0, IGNORE]).double()[
        torch.randint(3, (5, 4, 4), generator=generator)
    ]
    mask[0] = IGNORE  # one share may have nothing to learn from
    mean = masked_bce(x[rows, 0], mask[rows])
    torch.distributed.all_reduce(mean)
    assert difference(mean / world().size, masked_bce_whole(x[:, 0], mask)) < 1e-12
    (folder / f"{world().rank}").touch()


def masked_bce_whole(logits, mask):
    valid = mask != IGNORE
    return F.binary_cross_entropy_with_logits(logits[valid], mask[valid])


@pytest.mark.parametrize("size", SIZES)
def test_parts_are_those_of_the_whole_batch(tmp_path, size):
    run_in_processes(check_parts, size, tmp_path)
    assert len(list(tmp_path.iterdir())) == size


# ---- Whole stages ----


def localize_in(root: Path, mapping: dict, cell: Cell) -> None:
    localize_cell(Workspace(root), parse_params(mapping, "tiny"), cell)


@pytest.mark.parametrize("size", SIZES)
def test_localization_is_the_same_to_the_last_byte(finished, tmp_path, tiny_mapping, cell_of, size):
    cell = cell_of("spg_plain")
    workspace = sharing(finished, tmp_path, "data", "weights", "runs")
    run_in_processes(localize_in, size, tmp_path, tiny_mapping, cell)
    for path in finished.maps(cell).iterdir():
        assert (workspace.maps(cell) / path.name).read_bytes() == path.read_bytes(), path.name


def spg_command(root: Path, *, processes: int) -> subprocess.Popen:
    variables = os.environ | {"SPG_NPROC": str(processes), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "spg", "train", "--method", "spg", "--seed", "0"],
        cwd=root, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def project(tiny_workspace, root: Path, mapping: dict) -> Workspace:
    root.mkdir(exist_ok=True)
    write_json(root / "params.yaml", mapping)
    return sharing(tiny_workspace, root, "data", "weights")


def workers_of(process: subprocess.Popen) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True
    )
    return [int(pid) for pid in listed.stdout.split()]


def train_and_die(root: Path, mapping: dict, cell: Cell, last_step: int) -> None:
    """Train with a checkpoint after every step; the second process dies after ``last_step``."""
    spg.train.checkpoint.SECONDS_BETWEEN = spg.train.checkpoint.TIMES_THE_LAST = 0.0
    take = Trainer.train_step

    def step(trainer, batch):
        if trainer.step == last_step and not trainer.first:
            os.kill(os.getpid(), signal.SIGKILL)
        return take(trainer, batch)

    Trainer.train_step = step
    train_cell(Workspace(root), parse_params(mapping, "tiny"), cell)


def disagree(values: list[int]) -> None:
    """Each process has another value; those that have not the first one's stop."""
    rank = world().rank
    said = f"state.pt is of step {values[rank]} for process {rank}, but {values[0]} for the first"
    stops = pytest.raises(UserError, match=said) if values[rank] != values[0] else nullcontext()
    with stops:
        agree_on(values[rank], "state.pt is of step", remedy="share it")


def train_apart(roots: list[Path], mapping: dict, cell: Cell) -> None:
    """Each process on a disk of its own, as nodes whose .scratch is not shared."""
    root = roots[world().rank]
    try:
        train_cell(Workspace(root), parse_params(mapping, "tiny"), cell)
    except UserError as error:
        (root / "said").write_text(str(error))
        raise


def test_a_training_that_two_nodes_know_at_different_steps_goes_on_on_neither(
    tiny_workspace, tmp_path, tiny_mapping, cell_of
):
    cell, ends = cell_of("spg"), (ProcessExitedException, ProcessRaisedException)
    mapping = with_setup(tiny_mapping, train={"batch_size": BATCH, "epochs": 2})
    nodes = [project(tiny_workspace, tmp_path / name, mapping) for name in ("first", "second")]
    for node, last_step in zip(nodes, (3, 2), strict=True):
        with pytest.raises(ends):
            run_in_processes(train_on, 1, node.root, mapping, cell, last_step, 1)
    kept = [next(node.scratch.glob("train-*.pt")) for node in nodes]
    steps = [load_checkpoint(path)["step"] for path in kept]
    assert steps[0] != steps[1]
    with pytest.raises(ends):
        run_in_processes(train_apart, 2, [node.root for node in nodes], mapping, cell)
    assert (nodes[1].root / "said").read_text() == (
        f"{kept[1]} is of step {steps[1]} for process 1, but {steps[0]} for the first one: let all "
        "nodes see the same .scratch, or delete it on all of them"
    )
    assert not any(node.run(cell).exists() for node in nodes)
    assert [load_checkpoint(path)["step"] for path in kept] == steps


@pytest.mark.parametrize("values", [[7, 7], [7, 0]])
def test_processes_that_read_different_checkpoints_stop(values):
    agree_on(3, "alone it is never asked", remedy="")
    run_in_processes(disagree, 2, values)


def train_in_unlike_precisions(root: Path, mapping: dict, cell: Cell) -> None:
    """The second process is on a machine whose ``auto`` means something else."""
    if world().rank:
        spg.train.loop.resolve_precision = lambda *_: "bf16"
    try:
        train_cell(Workspace(root), parse_params(mapping, "tiny"), cell)
    except UserError as error:
        (root / f"said by {world().rank}").write_text(str(error))
        raise


def test_processes_that_resolve_a_precision_differently_stop(
    tiny_workspace, tmp_path, tiny_mapping, cell_of
):
    """Else their gradients, scaled in fp16 and unscaled elsewhere, would be averaged silently."""
    mapping = with_setup(tiny_mapping, train={"batch_size": BATCH})
    workspace = project(tiny_workspace, tmp_path / "project", mapping)
    with pytest.raises((ProcessExitedException, ProcessRaisedException)):
        run_in_processes(train_in_unlike_precisions, 2, workspace.root, mapping, cell_of("spg"))
    said = (workspace.root / "said by 1").read_text()
    assert "means bf16 for process 1, but float32 for the first one: name one that all" in said
    assert not workspace.run(cell_of("spg")).exists()


def test_more_processes_than_gpus_are_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    joining = joined(torch.device("cuda"))
    with pytest.raises(UserError, match=r"^process 2 of this machine finds 1 GPUs: start as many"):
        joining.__enter__()


def test_a_killed_process_changes_nothing_in_the_end(
    tiny_workspace, tmp_path, tiny_mapping, cell_of
):
    cell, mapping = cell_of("spg"), with_setup(tiny_mapping, train={"batch_size": BATCH})
    whole, cut = (project(tiny_workspace, tmp_path / name, mapping) for name in ("whole", "cut"))
    run_in_processes(train_and_die, 2, whole.root, mapping, cell, 99)
    with pytest.raises((ProcessExitedException, ProcessRaisedException)):
        run_in_processes(train_and_die, 2, cut.root, mapping, cell, 4)
    assert list(cut.scratch.glob("train-*.pt"))
    assert not cut.run(cell).exists()
    run_in_processes(train_and_die, 2, cut.root, mapping, cell, 99)
    for path in whole.run(cell).iterdir():
        assert (cut.run(cell) / path.name).read_bytes() == path.read_bytes(), path.name
    assert read_json(cut.run(cell) / "provenance.json")["machine"]["processes"] == 2


def train_on(root: Path, mapping: dict, cell: Cell, last_step: int, threads: int) -> None:
    """Train with a checkpoint after every step, on so many threads; die before ``last_step``."""
    Saver.due = lambda saver: saver._settle() is None
    torch.set_num_threads(threads)
    take = Trainer.train_step

    def step(trainer, batch):
        if trainer.step == last_step:
            os.kill(os.getpid(), signal.SIGKILL)
        return take(trainer, batch)

    Trainer.train_step = step
    train_cell(Workspace(root), parse_params(mapping, "tiny"), cell)


def test_a_training_goes_on_with_other_processes_and_threads(
    tiny_workspace, tmp_path, tiny_mapping, cell_of
):
    """As a requeued job does on another node: one process, then two, then another thread count."""
    cell = cell_of("spg")
    mapping = with_setup(tiny_mapping, train={"batch_size": BATCH, "epochs": 4})
    whole, moved = (
        project(tiny_workspace, tmp_path / name, mapping) for name in ("whole", "moved")
    )
    run_in_processes(train_on, 1, whole.root, mapping, cell, 99, 1)
    steps = []
    for size, last_step, threads in ((1, 3, 1), (2, 6, 1), (1, 99, 2)):
        ends = pytest.raises((ProcessExitedException, ProcessRaisedException))
        with ends if last_step < 99 else nullcontext():
            run_in_processes(train_on, size, moved.root, mapping, cell, last_step, threads)
        kept = [load_checkpoint(path)["step"] for path in moved.scratch.glob("train-*.pt")]
        steps += kept
    assert steps[0] in (2, 3)  # the last write may have been under way
    assert steps[1] in (5, 6)
    curves = [pd.read_csv(one.run(cell) / "history.csv") for one in (whole, moved)]
    assert len(curves[0]) == len(curves[1]) == 4
    want, got = (curve["loss"].to_numpy() for curve in curves)
    assert difference(got[:2], want[:2]) < 1e-3
    assert difference(got, want) < 0.03  # rounding, which masks of guidance amplify
    record = read_json(moved.run(cell) / "provenance.json")
    before = [(machine["processes"], machine["threads"]) for machine in record["other_machines"]]
    assert before == [(1, 1), (2, 1)]
    assert record["machine"]["threads"] == 2


def test_a_killed_process_ends_the_command_with_one_sentence(
    tiny_workspace, tmp_path, tiny_mapping
):
    mapping = with_setup(tiny_mapping, train={"epochs": 5000, "batch_size": BATCH})
    process = spg_command(project(tiny_workspace, tmp_path / "p", mapping).root, processes=2)
    said = ""
    while "step/s" not in said:  # until the bar moves
        character = process.stderr.read(1)
        assert character, said
        said += character
    os.kill(workers_of(process)[-1], signal.SIGKILL)
    rest = process.communicate(timeout=120)[1]
    assert process.returncode == 2, rest
    last = rest.strip().splitlines()[-1]
    assert last.startswith("error: process ")
    assert "of 2 was ended by SIGKILL" in last
    assert "same command" in last
    assert "Traceback" not in rest


def test_a_number_of_processes_that_is_none_is_one_sentence(tiny_workspace, tmp_path, tiny_mapping):
    workspace = project(tiny_workspace, tmp_path / "odd", tiny_mapping)
    process = spg_command(workspace.root, processes=0)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said.startswith("error: SPG_NPROC: '0'")
