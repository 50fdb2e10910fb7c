"""Batch norm over the whole batch when several processes share it (SyncBN)."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from spg.networks.compute.device import full_precision
from spg.networks.compute.distributed import has_whole_batch, world


class SyncBatchNorm(nn.BatchNorm2d):
    """Batch norm whose statistics run over the images of all processes, on any device.

    torch.nn.SyncBatchNorm, which runs on GPUs alone, computes the same there, but for the running
    variance of a batch of fewer images than processes: each of them has all of it, and it counts
    every image as often.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``Tensor[b, C, h, w]``, this process's share of the batch."""
        if not self.training or has_whole_batch(len(x)):
            return super().forward(x)
        dtype, x = x.dtype, full_precision(x)
        count = x.new_full((1,), x.numel() // x.shape[1])
        sums = _all_sum(torch.cat([x.sum(dim=(0, 2, 3)), count]))
        count, mean = sums[-1], sums[:-1] / sums[-1]
        centered = x - mean[:, None, None]
        var = _all_sum(centered.square().sum(dim=(0, 2, 3))) / count
        self._update(mean, var * count / (count - 1))
        scale = self.weight * torch.rsqrt(var + self.eps)
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(dtype)

    @torch.no_grad()
    def _update(self, mean: Tensor, var: Tensor) -> None:
        assert self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        for running, value in ((self.running_mean, mean), (self.running_var, var)):
            assert running is not None
            running.lerp_(value.to(running.dtype), self.momentum)


def synchronize(model: nn.Module, device: torch.device) -> nn.Module:
    """Put synchronized layers in the place of ``model``'s batch norms; parameters stay the same."""
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.BatchNorm2d:
                setattr(parent, name, _synchronized(layer))
    return model


def _synchronized(layer: nn.BatchNorm2d) -> SyncBatchNorm:
    copy = SyncBatchNorm(layer.num_features, eps=layer.eps, momentum=layer.momentum)
    copy.weight, copy.bias = layer.weight, layer.bias
    copy.running_mean, copy.running_var = layer.running_mean, layer.running_var
    copy.num_batches_tracked = layer.num_batches_tracked
    return copy


def _all_sum(values: Tensor) -> Tensor:
    if world().size == 1:
        return values
    summed: Tensor = _AllSum.apply(values)
    return summed


class _AllSum(torch.autograd.Function):
    """Sum over the processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone()
        dist.all_reduce(summed)
        return summed
