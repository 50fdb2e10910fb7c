from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from tiny import with_setup
from torch import nn

import spg.train.loop
import spg.train.provenance
import spg.train.stage
from spg.data.images.manifest import SCHEMA, read_manifest, write_manifest
from spg.data.images.packed import EncodedImage, shard_name, write_shard
from spg.data.inputs.samples import TrainSamples
from spg.networks.backbones.inception_v3 import InceptionV3Stem
from spg.networks.parts.build import build_network
from spg.networks.parts.classifier import ClassCriterion
from spg.networks.parts.heads import Classified
from spg.networks.parts.model_file import load_model, save_model
from spg.networks.weights.stage import make_weights
from spg.project.errors import UserError
from spg.project.params import parse_params
from spg.project.schema.training import InputParams, OptimizerParams
from spg.project.workspace import Workspace
from spg.train.checkpoint import Saver, load_checkpoint, save_checkpoint
from spg.train.loop import Trainer
from spg.train.optimizer import build_optimizer, build_schedule, parameter_groups
from spg.train.stage import train_cell

NAME = "synthetic_birds"
COUNT, BATCH, EPOCHS = 10, 4, 2  # three steps an epoch, the last batch smaller
STEPS = 3
PUBLISHED = OptimizerParams(
    layers={}, name="sgd", stem_lr=0.001, new_lr=0.01, bias_lr_factor=2.0, weight_decay=0.0005
)
FAST = PUBLISHED.model_copy(update={"name": "adamw", "stem_lr": 0.02, "new_lr": 0.02})


# ---- Parameter groups ----


@pytest.mark.parametrize("method", ["spg_plain", "spg", "unshared_b"])
@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_every_parameter_is_in_one_group_with_the_right_rate(method, name, tiny_params, cell_of):
    model, _ = build_network(tiny_params, cell_of(method), 3)
    rules = PUBLISHED.model_copy(update={"name": name})
    rates = [
        (id(parameter), group["lr"])
        for group in build_optimizer(model, rules).param_groups
        for parameter in group["params"]
    ]
    assert len(rates) == len(dict(rates)) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        want = 0.001 if name.startswith("stem.") else 0.01
        want *= 2 if name.endswith(".bias") else 1
        assert dict(rates)[id(parameter)] == pytest.approx(want), name


def test_all_four_groups_are_in_use(tiny_params, cell_of):
    model, _ = build_network(tiny_params, cell_of("spg"), 3)
    groups = parameter_groups(model, tiny_params.setup(NAME, "inception_v3").train.optimizer)
    assert len(groups) == 4
    assert all(group["params"] for group in groups)


def test_sgd_is_the_published_one(tiny_params, cell_of):
    model, _ = build_network(tiny_params, cell_of("spg_plain"), 3)
    optimizer = build_optimizer(model, PUBLISHED)
    assert isinstance(optimizer, torch.optim.SGD)
    for group in optimizer.param_groups:
        assert (group["momentum"], group["nesterov"]) == (0.9, True)
        assert group["weight_decay"] == 0.0005


def rates_over_time(schedule, tiny_params, cell_of, steps=12):
    model, _ = build_network(tiny_params, cell_of("spg_plain"), 3)
    train = tiny_params.setup(NAME, "inception_v3").train.model_copy(update={"schedule": schedule})
    optimizer = build_optimizer(model, train.optimizer)
    peaks = [group["lr"] for group in optimizer.param_groups]
    stepper = build_schedule(optimizer, train, total_steps=steps)
    rates = []
    for _ in range(steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        stepper.step()
    return np.array(rates) / peaks


def test_a_constant_schedule_is_constant(tiny_params, cell_of):
    assert np.allclose(rates_over_time("constant", tiny_params, cell_of), 1)


def test_one_cycle_rises_to_each_groups_rate_and_falls_to_nothing(tiny_params, cell_of):
    rates = rates_over_time("one_cycle", tiny_params, cell_of)
    peak = rates[:, 0].argmax()
    assert 0 < peak < len(rates) / 2
    assert 0.9 < rates.max() <= 1 + 1e-9
    assert (np.diff(rates[: peak + 1], axis=0) > 0).all()
    assert (np.diff(rates[peak:], axis=0) < 0).all()
    assert rates[-1].max() < 0.01


# ---- The loop, on a network of a few numbers ----

GEOMETRY = InputParams(aspect="squash", resize=34, crop=32)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 3, 1)

        self.dropout = nn.Dropout(0.2)

    def forward(self, images, labels=None):
        features = self.dropout(self.stem(images))
        class_maps = self.head(features)
        return Classified(class_maps.mean(dim=(2, 3)), class_maps, features)


class Noise:
    def image(self, index):
        return np.random.default_rng(index).integers(0, 256, (36, 40, 3), dtype=np.uint8)


@pytest.fixture
def trainer_in(tiny_params):
    """A function from a folder to the same small training, whatever happened before."""

    def trainer(folder, *, criterion=None, compiled=False, **changes):
        torch.manual_seed(3)
        train = tiny_params.setup(NAME, "inception_v3").train.model_copy(
            update={"epochs": EPOCHS, "batch_size": BATCH, **changes}
        )
        labels = [number % 3 for number in range(COUNT)]
        return Trainer(
            Small(),
            criterion or ClassCriterion(),
            TrainSamples(
                Noise(),
                labels,
                InputParams(aspect="squash", resize=34, crop=32),
                InceptionV3Stem.colors,
            ),
            np.arange(COUNT),
            train=train,
            execution=tiny_params.execution.model_copy(update={"compile": compiled}),
            seed=5,
            checkpoint=folder / "state.pt",
        )

    return trainer


def stop_at(trainer, step):
    """Make a trainer interrupt itself before it takes ``step``."""
    take = trainer.train_step

    def interrupted(batch):
        if trainer.step == step:
            raise KeyboardInterrupt
        return take(batch)

    trainer.train_step = interrupted


@pytest.fixture
def checkpoint_always(monkeypatch):
    """After each step, whose write is waited for."""
    monkeypatch.setattr(Saver, "due", lambda saver: saver._settle() is None)


def equal_states(first, second):
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(name == other and torch.equal(a, b) for (name, a), (other, b) in pairs)


@pytest.mark.parametrize("step", range(1, EPOCHS * STEPS))
def test_an_interruption_changes_nothing(trainer_in, tmp_path, checkpoint_always, step):
    whole = trainer_in(tmp_path / "whole")
    want = whole.run()
    cut = trainer_in(tmp_path / "cut")
    stop_at(cut, step)
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    assert cut.checkpoint.exists()
    resumed = trainer_in(tmp_path / "cut")
    torch.manual_seed(99)  # another process has another state
    got = resumed.run()
    assert resumed.step == whole.step == EPOCHS * STEPS
    assert equal_states(resumed.model, whole.model)
    pd.testing.assert_frame_equal(got, want, check_exact=True)


def test_an_interruption_right_before_the_end_changes_nothing(
    trainer_in, tmp_path, checkpoint_always, monkeypatch
):
    want = trainer_in(tmp_path / "whole").run()
    cut = trainer_in(tmp_path / "cut")
    close = cut._close_epoch

    def interrupted():
        if cut.step == EPOCHS * STEPS:
            raise KeyboardInterrupt
        close()

    cut._close_epoch = interrupted
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    pd.testing.assert_frame_equal(trainer_in(tmp_path / "cut").run(), want, check_exact=True)


def test_two_interruptions_change_nothing(trainer_in, tmp_path, checkpoint_always):
    whole = trainer_in(tmp_path / "whole")
    want = whole.run()
    for step in (1, 5):
        cut = trainer_in(tmp_path / "cut")
        stop_at(cut, step)
        with pytest.raises(KeyboardInterrupt):
            cut.run()
        assert cut.step == step
    resumed = trainer_in(tmp_path / "cut")
    assert resumed.run().equals(want)
    assert equal_states(resumed.model, whole.model)


def test_two_runs_are_identical_and_another_seed_is_not(trainer_in, tmp_path):
    first, second, other = (trainer_in(tmp_path) for _ in range(3))
    other.seed = 6
    histories = [trainer.run() for trainer in (first, second, other)]
    assert histories[0].equals(histories[1])
    assert equal_states(first.model, second.model)
    assert not equal_states(first.model, other.model)


def test_the_history_holds_means_over_the_images_of_an_epoch(trainer_in, tmp_path):
    seen = []

    class Recorder(nn.Module):
        def forward(self, outputs, labels):
            loss = nn.functional.cross_entropy(outputs.logits, labels)
            wrong = (outputs.logits.argmax(1) != labels).sum()
            seen.append((len(labels), loss.item(), wrong.item()))
            return {"cls": loss, "twice": 2 * loss}

    history = trainer_in(tmp_path, criterion=Recorder()).run()
    assert history["epoch"].tolist() == [1, 2]
    assert [count for count, _, _ in seen] == [4, 4, 2, 4, 4, 2]
    for number, steps in enumerate((seen[:3], seen[3:])):
        row = history.loc[number]
        mean = sum(count * loss for count, loss, _ in steps) / COUNT
        assert row["loss_cls"] == pytest.approx(mean, rel=1e-5)
        assert row["loss_twice"] == pytest.approx(2 * mean, rel=1e-5)
        assert row["loss"] == pytest.approx(3 * mean, rel=1e-5)
        assert row["train_top1_err"] == pytest.approx(sum(w for _, _, w in steps) / COUNT)


class Colors:
    """Images whose color gives the class away."""

    def image(self, index):
        image = np.random.default_rng(index).integers(0, 50, (36, 40, 3), dtype=np.uint8)
        image[..., index % 3] += 200
        return image


def test_what_can_be_learned_is_learned(trainer_in, tmp_path):
    trainer = trainer_in(tmp_path, epochs=40, optimizer=FAST)
    trainer.samples.images = Colors()
    history = trainer.run()
    assert history["train_top1_err"].iloc[-1] == 0
    assert history["loss"].iloc[-1] < 0.5 * history["loss"].iloc[0]


def test_fp16_with_sgd_survives_an_overflow_in_its_first_step(trainer_in, tmp_path):
    """A fused SGD would go on from a momentum that nobody has set."""
    torch.use_deterministic_algorithms(True)  # fills what nobody has set with NaN
    try:
        trainer = trainer_in(tmp_path, epochs=40, optimizer=PUBLISHED, precision="fp16")
        trainer.scaler.load_state_dict(trainer.scaler.state_dict() | {"scale": 2.0**40})
        assert np.isfinite(trainer.run()["loss"]).all()
        assert trainer.scaler.get_scale() < 2.0**40
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_state_without_a_scale_is_resumed_in_fp16(trainer_in, tmp_path, checkpoint_always):
    """As where `auto` is bf16 on the first node and fp16 on the next."""
    first = trainer_in(tmp_path, optimizer=FAST, precision="bf16")
    stop_at(first, 3)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    second = trainer_in(tmp_path, optimizer=FAST, precision="fp16")
    second.run()
    assert second.scaler.get_scale() > 1


def test_fp16_learns_with_scaled_losses_and_resumes_their_scale(
    trainer_in, tmp_path, checkpoint_always
):
    def trainer(folder):
        made = trainer_in(folder, epochs=40, optimizer=FAST, precision="fp16")
        made.samples.images = Colors()
        return made

    whole = trainer(tmp_path / "whole")
    want = whole.run()
    assert whole.scaler.get_scale() > 1
    assert want["train_top1_err"].iloc[-1] == 0
    cut = trainer(tmp_path / "cut")
    cut.scaler.load_state_dict(cut.scaler.state_dict() | {"scale": 8.0})
    stop_at(cut, 5)
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    resumed = trainer(tmp_path / "cut")
    stop_at(resumed, 6)
    with pytest.raises(KeyboardInterrupt):
        resumed.run()
    assert resumed.scaler.get_scale() == 8.0


def test_the_checkpoint_stays_until_it_may_be_forgotten(trainer_in, tmp_path, checkpoint_always):
    trainer = trainer_in(tmp_path)
    trainer.run()
    assert [path.name for path in tmp_path.rglob("*")] == ["state.pt"]
    trainer.forget()
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.slow
def test_a_compiled_network_learns_the_same_up_to_rounding(trainer_in, tmp_path):
    plain, compiled = trainer_in(tmp_path), trainer_in(tmp_path, compiled=True)
    for trainer in (plain, compiled):
        trainer.model.dropout.p = 0.0  # a compiled network draws other random numbers
    np.testing.assert_allclose(plain.run(), compiled.run(), rtol=1e-4)
    assert compiled.forward is not compiled.model


def seen_by(trainer):
    """Return a list to which the images of each step are added."""
    take, seen = trainer.train_step, []

    def watched(batch):
        seen.append(batch.indices.tolist())
        return take(batch)

    trainer.train_step = watched
    return seen


def break_loss(trainer, step, value):
    """Make the criterion return ``value`` from ``step`` on."""
    criterion = trainer.criterion

    def broken(outputs, labels):
        losses = criterion(outputs, labels)
        return {k: v * value if trainer.step >= step else v for k, v in losses.items()}

    trainer.criterion = broken


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("step", [0, 1, STEPS - 1, STEPS, EPOCHS * STEPS - 1])
def test_a_loss_that_is_not_finite_stops_with_its_step_and_images(
    trainer_in, tmp_path, value, step
):
    trainer = trainer_in(tmp_path)
    trainer.names = [f"image-{number}.jpg" for number in range(COUNT)]
    seen = seen_by(trainer)
    break_loss(trainer, step, value)
    with pytest.raises(UserError) as error:
        trainer.run()
    names = ", ".join(f"image-{number}.jpg" for number in seen[step])
    said = f"loss is not finite at step {step % STEPS + 1} of epoch {step // STEPS + 1}, "
    assert f"{said}with the images {names} (no state was saved" in str(error.value)


def test_what_was_saved_before_a_broken_loss_is_kept_and_good(
    trainer_in, tmp_path, checkpoint_always
):
    trainer = trainer_in(tmp_path)
    break_loss(trainer, 3, float("nan"))
    with pytest.raises(UserError, match=r"state\.pt is the last good state"):
        trainer.run()
    kept = load_checkpoint(tmp_path / "state.pt")
    assert kept["step"] == 3
    assert all(value.isfinite().all() for value in kept["model"].values())
    whole = trainer_in(tmp_path / "whole")
    whole.run()
    mended = trainer_in(tmp_path)
    mended.run()
    assert equal_states(mended.model, whole.model)


def test_weights_that_are_not_finite_after_the_last_step_are_noticed(trainer_in, tmp_path):
    trainer = trainer_in(tmp_path)
    take = trainer.train_step

    def poisoned(batch):
        values = take(batch)
        if trainer.step == EPOCHS * STEPS - 1:
            trainer.model.head.weight.data[0] = float("inf")
        return values

    trainer.train_step = poisoned
    with pytest.raises(UserError, match=f"weights are not finite at step {STEPS} of epoch"):
        trainer.run()


# ---- Checkpoints ----


def real_checkpoint(folder):
    path = folder / "state.pt"
    save_checkpoint(path, {"step": 3, "model": {"weight": torch.arange(1000.0)}, "history": []})
    return path


@pytest.mark.parametrize("kept", [0, 1, 10, 100, 0.5, 0.9])
def test_a_truncated_checkpoint_is_named(tmp_path, kept):
    path = real_checkpoint(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(UserError, match=rf"{path.name}: damaged checkpoint .* delete it"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"no checkpoint", b"\n", b"\x80\x02.", bytes(64), b"cposix\n"])
def test_a_foreign_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "state.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path.name}: damaged checkpoint"):
        load_checkpoint(path)


def test_a_checkpoint_runs_no_code(tmp_path):
    path = tmp_path / "state.pt"
    torch.save(SimpleNamespace(step=1), path)
    with pytest.raises(UserError, match=path.name):
        load_checkpoint(path)


def test_checkpoints_read_back_and_none_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "nothing.pt") is None
    state = load_checkpoint(real_checkpoint(tmp_path))
    assert state["step"] == 3
    assert torch.equal(state["model"]["weight"], torch.arange(1000.0))


def test_a_damaged_checkpoint_stops_the_training(trainer_in, tmp_path):
    (tmp_path / "state.pt").write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=r"state\.pt: damaged"):
        trainer_in(tmp_path).run()


# ---- Models on disk ----


def test_models_load_strictly(tmp_path):
    path = tmp_path / "model.safetensors"
    model, other = Small(), Small()
    save_model(path, model)
    load_model(path, other)
    assert equal_states(model, other)
    smaller = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(UserError, match="does not fit"):
        load_model(path, smaller)
    other.head = nn.Conv2d(4, 5, 1)
    with pytest.raises(UserError, match=r"head|size mismatch"):
        load_model(path, other)
    other.head, other.extra = nn.Conv2d(4, 3, 1), nn.Linear(1, 1)
    with pytest.raises(UserError, match="extra"):
        load_model(path, other)
    save_model(path, other)
    with pytest.raises(UserError, match="extra"):
        load_model(path, Small())


def test_a_missing_or_damaged_model_is_one_sentence(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(UserError, match="no such file"):
        load_model(path, Small())
    save_model(path, Small())
    content = path.read_bytes()
    for damaged in (b"", b"no model", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="does not fit"):
            load_model(path, Small())


def test_equal_models_give_equal_bytes(tmp_path):
    model = Small()
    save_model(tmp_path / "a", model)
    save_model(tmp_path / "b", model.to(memory_format=torch.channels_last))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# ---- The stages ----


@pytest.fixture
def workspace(tiny_workspace, tmp_path):
    """A project of its own that shares packed images and weights with the tiny one."""
    for name in ("data", "weights"):
        (tmp_path / name).symlink_to(tiny_workspace.root / name)
    return Workspace(tmp_path)


def result_files(workspace: Workspace, cell) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(workspace.run(cell).iterdir())}


def interrupt_at_step(monkeypatch, step):
    take = Trainer.train_step

    def interrupted(trainer, batch):
        if trainer.step == step:
            raise KeyboardInterrupt
        return take(trainer, batch)

    monkeypatch.setattr(Trainer, "train_step", interrupted)


def test_an_interrupted_cell_ends_with_the_same_bytes(
    workspace, tmp_path_factory, tiny_params, cell_of, monkeypatch, checkpoint_always
):
    cell = cell_of("spg")
    train_cell(workspace, tiny_params, cell)
    want = result_files(workspace, cell)
    assert set(want) == {
        "model.safetensors", "history.csv", "epochs.safetensors", "provenance.json"
    }  # fmt: skip
    other = Workspace(tmp_path_factory.mktemp("interrupted"))
    for name in ("data", "weights"):
        (other.root / name).symlink_to((workspace.root / name).resolve())
    with monkeypatch.context() as patch:
        interrupt_at_step(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            train_cell(other, tiny_params, cell)
    assert not other.run(cell).exists()
    assert len(list(other.scratch.glob("*.pt"))) == 1
    train_cell(other, tiny_params, cell)
    assert result_files(other, cell) == want
    assert [path.name for path in other.scratch.iterdir()] == ["locks"]


def test_a_training_goes_on_on_another_machine_and_says_so(
    workspace, tiny_params, cell_of, monkeypatch, checkpoint_always
):
    cell, facts = cell_of("spg_plain"), spg.train.provenance.machine_facts()
    with monkeypatch.context() as patch:
        interrupt_at_step(patch, 3)
        patch.setattr(
            spg.train.provenance, "machine_facts", lambda: facts | {"cpu": "another", "threads": 64}
        )
        with pytest.raises(KeyboardInterrupt):
            train_cell(workspace, tiny_params, cell)
    steps, take = [], Trainer.train_step
    monkeypatch.setattr(
        Trainer, "train_step", lambda one, batch: steps.append(one.step) or take(one, batch)
    )
    train_cell(workspace, tiny_params, cell)
    assert steps[0] == 3
    record = json.loads((workspace.run(cell) / "provenance.json").read_text(encoding="utf-8"))
    assert [machine["cpu"] for machine in record["other_machines"]] == ["another"]
    assert record["machine"]["cpu"] == facts["cpu"]


def test_the_settings_of_numbers_are_made_before_they_are_noted(
    workspace, tiny_params, cell_of, monkeypatch
):
    """On CUDA they are part of the machine: noted before, each cell had `other_machines`."""
    happened = []
    for module, name in [(spg.train.loop, "set_numbers"), (spg.train.stage, "record")]:
        function = getattr(module, name)

        def told(*values, name=name, function=function, **settings):
            happened.append(name)
            return function(*values, **settings)

        monkeypatch.setattr(module, name, told)
    train_cell(workspace, tiny_params, cell_of("spg_plain"))
    assert happened == ["set_numbers", "record", "record"]


def test_other_settings_of_a_method_do_not_resume_an_old_checkpoint(
    workspace, tiny_mapping, cell_of, monkeypatch, checkpoint_always
):
    cell = cell_of("acol")
    with monkeypatch.context() as patch:
        interrupt_at_step(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            train_cell(workspace, parse_params(tiny_mapping, ""), cell)
    (old,) = workspace.scratch.glob("*.pt")
    changed = {**tiny_mapping, "acol": {"threshold": 0.6}}
    train_cell(workspace, parse_params(changed, ""), cell)
    assert list(workspace.scratch.glob("*.pt")) == [old]
    record = json.loads((workspace.run(cell) / "provenance.json").read_text(encoding="utf-8"))
    assert record["params"]["acol"] == {"threshold": 0.6}


def test_another_seed_gives_another_model(workspace, tiny_params, cell_of):
    for seed in (0, 1):
        train_cell(workspace, tiny_params, cell_of("spg_plain", seed))
    first, second = (result_files(workspace, cell_of("spg_plain", seed)) for seed in (0, 1))
    assert first["model.safetensors"] != second["model.safetensors"]


def test_other_parameters_do_not_resume_an_old_checkpoint(
    workspace, tiny_params, cell_of, monkeypatch, checkpoint_always
):
    cell = cell_of("spg_plain")
    with monkeypatch.context() as patch:
        interrupt_at_step(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            train_cell(workspace, tiny_params, cell)
    (old,) = workspace.scratch.glob("*.pt")
    changed = tiny_params.model_copy(deep=True)
    object.__setattr__(changed.setup(NAME, "inception_v3").train.optimizer, "new_lr", 0.5)
    train_cell(workspace, changed, cell)
    assert list(workspace.scratch.glob("*.pt")) == [old]


def test_stem_weights_of_another_width_are_one_sentence(workspace, tiny_mapping, cell_of):
    stem = {"width": 0.125, "weights": "drawn"}
    params = parse_params(with_setup(tiny_mapping, stem=stem), "")
    with pytest.raises(UserError, match=r"inception_v3\.safetensors: does not fit"):
        train_cell(workspace, params, cell_of("spg_plain"))


def test_pretraining_twice_gives_the_same_weights(tiny_workspace, tmp_path, tiny_params):
    again = Workspace(tmp_path)
    make_weights(again, tiny_params, NAME, "inception_v3")
    first, second = (w.weights("inception_v3").read_bytes() for w in (tiny_workspace, again))
    assert first == second
    assert list(again.root.rglob("*.pt")) == []


def test_interrupted_pretraining_of_another_width_is_not_resumed(
    tmp_path, tiny_mapping, tiny_params, monkeypatch, checkpoint_always
):
    workspace = Workspace(tmp_path)
    with monkeypatch.context() as patch:
        interrupt_at_step(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            make_weights(workspace, tiny_params, NAME, "inception_v3")
    stem = {"width": 0.125, "weights": "drawn"}
    params = parse_params(with_setup(tiny_mapping, stem=stem), "")
    make_weights(workspace, params, NAME, "inception_v3")
    assert workspace.weights("inception_v3").exists()


def test_no_box_and_no_mask_has_a_say_in_training(
    workspace, tmp_path_factory, tiny_params, cell_of
):
    cell = cell_of("spg")
    train_cell(workspace, tiny_params, cell)
    blind = Workspace(tmp_path_factory.mktemp("blind"))
    (blind.root / "weights").symlink_to((workspace.root / "weights").resolve())
    blind.packed(NAME).mkdir(parents=True)
    rows = read_manifest(workspace.packed(NAME) / "manifest.parquet")
    rows["boxes"] = [[[0.0, 0.0, 1.0, 1.0]]] * len(rows)
    unboxed = pa.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False)
    write_manifest(blind.packed(NAME) / "manifest.parquet", unboxed.replace_schema_metadata())
    (shard,) = workspace.packed(NAME).glob("*.arrow")
    table = pa.ipc.open_file(shard).read_all().to_pylist()
    images = [EncodedImage(row["image"], None, None) for row in table]
    write_shard(blind.packed(NAME) / shard_name(0), images)
    train_cell(blind, tiny_params, cell)
    first, second = (result_files(w, cell)["model.safetensors"] for w in (workspace, blind))
    assert first == second


def test_training_sees_the_weakly_supervised_images_alone(
    workspace, tiny_params, cell_of, monkeypatch
):
    seen = set()
    take = Trainer.train_step

    def recorded(trainer, batch):
        seen.update(batch.indices.tolist())
        return take(trainer, batch)

    monkeypatch.setattr(Trainer, "train_step", recorded)
    train_cell(workspace, tiny_params, cell_of("spg_plain"))
    manifest = read_manifest(workspace.packed(NAME) / "manifest.parquet")
    assert seen == set(np.flatnonzero(manifest["split"] == "train_weaksup"))
