"""The training loop: one cell, or the pre-training of a stem."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from spg.data.inputs.batches import Batch, epoch_rows, train_batches
from spg.data.inputs.samples import TrainSamples
from spg.networks.compute.device import autocast, pick_device, resolve_precision, set_numbers
from spg.networks.compute.distributed import agree_on, all_sum, image_mean, share_of, sharing, world
from spg.project.errors import UserError
from spg.project.files import remove_leftovers
from spg.project.schema.training import ExecutionParams, TrainParams
from spg.project.seeding import torch_seed
from spg.train.checkpoint import Saver, load_checkpoint
from spg.train.learning import stands_at_chance
from spg.train.optimizer import build_optimizer, build_schedule
from spg.train.sync_batch_norm import synchronize

log = logging.getLogger(__name__)

_TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])


class _Outputs(Protocol):
    @property
    def logits(self) -> Tensor: ...


class Trainer:
    """Trains ``model`` for ``train.epochs`` epochs; the same steps whatever interrupts it.

    Under torchrun each process computes its share of every batch, and the first one alone writes
    checkpoints and shows progress.

    Args:
        model: has ``stem``; returns a named tuple with ``logits``.
        criterion: ``(outputs, labels) -> dict of named losses``, summed once here.
        samples: training images.
        indices: ``int64 [N]``, which of them to use.
        train: schedule and optimizer.
        execution: how it is computed.
        seed: of order, augmentation and dropout.
        checkpoint: file of the unfinished state.

    ``look``, where it is set, is called with the model after each epoch; ``looks`` keeps
    the results. ``names`` are what messages call the samples. ``machines`` are facts
    about the machines of all processes; a resumed training adds those from before.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: nn.Module,
        samples: TrainSamples,
        indices: NDArray[np.int64],
        *,
        train: TrainParams,
        execution: ExecutionParams,
        seed: int,
        checkpoint: Path,
    ) -> None:
        self.device = pick_device()
        set_numbers(self.device, deterministic=execution.deterministic)
        self.world = world()
        model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.world.size > 1 and execution.sync_batchnorm:
            model = synchronize(model, self.device)
        self.model = model
        self.criterion = criterion
        self.samples, self.indices = samples, indices
        self.train, self.execution, self.seed = train, execution, seed
        self.precision = resolve_precision(train.precision, self.device)
        # Losses that one process scales and another does not would be averaged silently.
        agree_on(
            self.precision,
            f"train.precision {train.precision} means",
            remedy="name one that all nodes have in params.yaml",
        )
        self.steps_per_epoch = math.ceil(len(indices) / train.batch_size)
        self.forward = self._forward()
        self.optimizer = build_optimizer(model, train.optimizer, scaled=self.precision == "fp16")
        self.total_steps = train.epochs * self.steps_per_epoch
        self.schedule = build_schedule(self.optimizer, train, total_steps=self.total_steps)
        # In fp16 small gradients would be 0; in other precisions it does nothing.
        self.scaler = GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.checkpoint = checkpoint
        self.look: Callable[[nn.Module], dict[str, Tensor]] | None = None
        self.looks: list[dict[str, Tensor]] = []
        self.names: Sequence[object] = range(len(samples.labels))
        self.machines: list[dict[str, Any]] = []
        self.step = 0
        self.broken = torch.tensor(-1, device=self.device)  # first step without a finite loss
        self.classes = 0  # as the logits say
        self.sums: dict[str, Tensor] = {}
        self.history: list[dict[str, float]] = []

    def _forward(self) -> nn.Module:
        """Return the model as the steps call it: compiled, and with gradients of all processes."""
        model: nn.Module = torch.compile(self.model) if self.execution.compile else self.model  # type: ignore[assignment]
        if self.world.size == 1:
            return model
        # Under SyncBN every process has the same running statistics, and none to send.
        differ = not self.execution.sync_batchnorm
        word = "forward_sync_buffers" if _TORCH >= (2, 14) else "broadcast_buffers"
        buffers: dict[str, Any] = {word: differ}
        return DistributedDataParallel(model, gradient_as_bucket_view=True, **buffers)

    def run(self) -> pd.DataFrame:
        """Train to the end and return the history, one row an epoch.

        The checkpoint stays until :meth:`forget`, when what came of the training is on disk.
        """
        self._resume()
        with (
            tqdm(
                total=self.total_steps,
                initial=self.step,
                desc="train",
                unit="step",
                disable=not self.first,
            ) as bar,
            Saver(self.checkpoint) as saver,
        ):
            self._steps(bar, saver)
        return pd.DataFrame(self.history)

    def forget(self) -> None:
        """Remove the checkpoint."""
        if self.first:
            self.checkpoint.unlink(missing_ok=True)

    def _steps(self, bar: Any, saver: Saver) -> None:
        self.model.train()
        for batch in self.batches():
            values = self.train_step(batch)
            self._accumulate(values, batch.total)
            lost = (self.broken < 0) & ~values["loss"].isfinite()
            # Noted on the device and read when a checkpoint is due: no step waits for the device.
            self.broken = torch.where(lost, self.step, self.broken)
            self.step += 1
            bar.update()
            if self.step % self.steps_per_epoch == 0:
                self._close_epoch()
                bar.set_postfix(loss=f"{self.history[-1]['loss']:.3f}")
            if self.first and saver.due():
                self._check()
                saver.save(self._state())

    def batches(self) -> Iterator[Batch]:
        """Yield this process's shares of the batches from the present step on, to the end."""
        return train_batches(
            self.samples,
            self.indices,
            batch_size=self.train.batch_size,
            seed=self.seed,
            epochs=self.train.epochs,
            skip=self.step,
            place=self.world,
        )

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """Learn from one batch; return its losses and its error, without gradient.

        Args:
            batch: this process's share; what is returned is of the whole batch.
        """
        # Dropout and hidden patches depend on seed and step alone, so a resumed training draws them
        # again.
        torch.manual_seed(torch_seed(self.seed, "dropout", self.step))
        images = batch.images(self.device)
        labels = batch.labels.to(self.device, non_blocking=True)
        with sharing(share_of(batch.total, self.world)):
            with autocast(self.precision, self.device):
                outputs: _Outputs = self.forward(images, labels)
            losses: dict[str, Tensor] = self.criterion(outputs, labels)
            total = torch.stack(list(losses.values())).sum()
            self.classes = outputs.logits.shape[1]
            wrong = (outputs.logits.detach().argmax(1) != labels).to(total.dtype).sum()
            error = image_mean(wrong, len(labels))
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        terms = {f"loss_{name}": loss.detach() for name, loss in losses.items()}
        return self._everyones({"loss": total.detach(), **terms, "train_top1_err": error})

    def _everyones(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.world.size == 1:
            return values
        means = all_sum(torch.stack([value.double() for value in values.values()]))
        return dict(zip(values, means / self.world.size, strict=True))

    def _accumulate(self, values: dict[str, Tensor], count: int) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value * count

    def _close_epoch(self) -> None:
        self._check()
        means = {name: float(total) / len(self.indices) for name, total in self.sums.items()}
        self.history.append({"epoch": self.step // self.steps_per_epoch, **means})
        self._say_if_nothing_is_learned()
        if self.look is not None:
            self.looks.append(self.look(self.model))
        self.sums = {}

    def _say_if_nothing_is_learned(self) -> None:
        loss, classes = self.history[-1].get("loss_cls"), self.classes
        if self.first and loss is not None and stands_at_chance(loss, classes):
            log.warning(
                "after epoch %d the class loss is %.3f, and a guess among %d classes has %.3f: "
                "nothing is learned yet; if it stays so, take another recipe or other rates "
                "(train.optimizer), which `spg train --pilot` tries",
                self.history[-1]["epoch"], loss, classes, math.log(classes),
            )  # fmt: skip

    def _check(self) -> None:
        """Stop when a loss so far or a weight is not finite: such a state is never saved."""
        step = int(self.broken)
        values = (value for value in self.model.state_dict().values() if value.is_floating_point())
        if step < 0 and all(bool(value.isfinite().all()) for value in values):
            return
        what = "the loss is" if step >= 0 else "weights are"
        epoch, place = divmod(step if step >= 0 else self.step - 1, self.steps_per_epoch)
        rows = epoch_rows(
            self.indices, batch_size=self.train.batch_size, seed=self.seed, epoch=epoch
        )[place]
        kept = (
            f"{self.checkpoint} is the last good state"
            if self.checkpoint.exists()
            else ("no state was saved before")
        )
        raise UserError(
            f"{what} not finite at step {place + 1} of epoch {epoch + 1}, with the images "
            f"{', '.join(str(self.names[row]) for row in rows)} ({kept}); lower the learning "
            "rates in params.yaml (train.optimizer) or look at these images"
        )

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.world.rank == 0

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "sums": self.sums,
            "history": self.history,
            "looks": self.looks,
            "machines": self.machines,
        }

    def _resume(self) -> None:
        if self.first:
            remove_leftovers(self.checkpoint)
        state = load_checkpoint(self.checkpoint)
        # Nodes that do not share a disk would go on from different steps and mix them silently.
        agree_on(
            0 if state is None else state["step"],
            f"{self.checkpoint} is of step",
            remedy="let all nodes see the same .scratch, or delete it on all of them",
        )
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if state["scaler"]:  # else it was not saved in fp16, and the scale starts anew
            self.scaler.load_state_dict(state["scaler"])
        self.step, self.history, self.looks = state["step"], state["history"], state["looks"]
        self.sums = {name: value.to(self.device) for name, value in state["sums"].items()}
        self.machines = [*state["machines"], *self.machines]
