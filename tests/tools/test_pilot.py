"""`spg train --pilot`: whether a cell learns, before anything is written."""

from __future__ import annotations

import json
import logging
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tiny import sharing, with_setup

from spg.cli import main
from spg.project.errors import UserError
from spg.project.params import parse_params
from spg.tools.pilot import Pilot, as_text, pilot
from spg.train.learning import stands_at_chance
from spg.train.loop import Trainer
from spg.train.stage import train_cell


@pytest.fixture
def project(tiny_workspace, tmp_path):
    return sharing(tiny_workspace, tmp_path, "data", "weights")


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_first_steps_are_those_of_the_training_and_leave_nothing(
    project, tiny_params, cell_of, monkeypatch
):
    cell = cell_of("spg_plain")
    before = files_in(project.root)
    found = pilot(project, tiny_params, cell, 4)
    assert files_in(project.root) == before
    assert len(found.losses) == 4
    assert found.classes == 3
    seen = []
    take = Trainer.train_step
    monkeypatch.setattr(
        Trainer, "train_step", lambda self, batch: seen.append(take(self, batch)) or seen[-1]
    )
    train_cell(project, tiny_params, cell)
    assert [float(values["loss_cls"]) for values in seen[:4]] == found.losses.tolist()
    assert found.steps == len(seen)


def test_a_pilot_is_no_longer_than_the_training(project, tiny_params, cell_of):
    found = pilot(project, tiny_params, cell_of("spg_plain"), 10_000)
    assert len(found.losses) == found.steps


def test_a_method_without_a_class_loss_is_told_so(project, tiny_params, cell_of, monkeypatch):
    take = Trainer.train_step

    def unnamed(trainer, batch):
        values = take(trainer, batch)
        values["loss_mine"] = values.pop("loss_cls")
        return values

    monkeypatch.setattr(Trainer, "train_step", unnamed)
    with pytest.raises(UserError, match="spg_plain has none called `cls` among loss, train_top1"):
        pilot(project, tiny_params, cell_of("spg_plain"), 2)


@given(classes=st.integers(2, 1000), share=st.floats(0, 2))
def test_chance_is_the_loss_of_a_uniform_guess(classes, share):
    uniform = np.full(classes, 1 / classes)
    loss = -math.log(uniform[0]) * share
    assert stands_at_chance(loss, classes) == (loss >= 0.99 * math.log(classes))
    assert stands_at_chance(math.nan, classes)


def test_the_last_part_decides(cell_of):
    cell = cell_of("spg_plain")
    falling = Pilot(np.linspace(6.0, 4.0, 60), 200, 7200, 0.5)
    assert falling.learns
    assert as_text(falling, cell).splitlines() == [
        "inception_v3-spg_plain-0, 60 of 7,200 steps: class loss 5.847 5.508 5.169 4.831 4.492 "
        "4.153; a guess among 200 classes has 5.298: it learns",
        "0.50 s a step: 1.0 hours for the whole training of one cell",
    ]
    rising = Pilot(np.linspace(4.0, 6.0, 60), 200, 7200, 0.5)
    assert not rising.learns
    assert "it has not learned yet" in as_text(rising, cell)


def at_rate(mapping, rate):
    optimizer = {**mapping["datasets"]["synthetic_birds"]["backbones"]["inception_v3"]["train"]
                 ["optimizer"], "stem_lr": rate, "new_lr": rate}  # fmt: skip
    train = mapping["datasets"]["synthetic_birds"]["backbones"]["inception_v3"]["train"]
    return with_setup(mapping, train=train | {"optimizer": optimizer, "epochs": 3})


def test_a_training_that_stands_still_says_so_after_each_epoch(
    project, tiny_mapping, cell_of, caplog, monkeypatch
):
    """Of the tiny network's loss a part is luck: a uniform guess is made here."""
    step = Trainer.train_step

    def guessing(self, batch):
        values = step(self, batch)
        return values | {"loss_cls": torch.full_like(values["loss_cls"], math.log(3))}

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(Trainer, "train_step", guessing)
        train_cell(project, parse_params(at_rate(tiny_mapping, 1e-3), ""), cell_of("spg_plain"))
    said = [record.getMessage() for record in caplog.records if "class loss" in record.getMessage()]
    assert [line.split()[2] for line in said] == ["1", "2", "3"]
    assert "a guess among 3 classes has 1.099" in said[0]


@pytest.mark.parametrize(
    ("rate", "status", "word"), [(1e-9, 1, "not learned"), (0.01, 0, "it lea")]
)
def test_the_command_says_it_by_its_status(project, tiny_mapping, monkeypatch, rate, status, word):
    """A rate of nothing, and one at which 60 steps learn 3 species."""
    changed = at_rate(tiny_mapping, rate)
    (project.root / "params.yaml").write_text(json.dumps(changed), encoding="utf-8")
    monkeypatch.chdir(project.root)
    result = CliRunner().invoke(
        main, ["train", "--method", "spg_plain", "--seed", "0", "--pilot", "60"]
    )
    assert (result.exit_code, word in result.output) == (status, True), result.output
    assert not (project.root / "runs").exists()
