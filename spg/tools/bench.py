"""`spg bench`: images a second of one kind of work, with the machine's matmul peak beside it."""

from __future__ import annotations

import functools
import statistics
import time
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry

from spg.networks.compute.device import pick_device, resolve_precision
from spg.networks.compute.distributed import world
from spg.project.params import Params
from spg.project.workspace import Cell
from spg.tools.step_costs import CellWork, peak_memory_bytes, time_step

Kind = Literal["train", "localize", "evaluate"]
WARM_UP = 2  # steps before the first that counts
SIZE_WH = (500, 375)  # of the images whose maps are evaluated, pixels


def with_sizes(
    params: Params, cell: Cell, *, side: int | None, batch_size: int | None, precision: str | None
) -> Params:
    """Return ``params`` with another input side, batch size or precision for a cell.

    Args:
        params: all parameters.
        cell: whose setup changes.
        side: of the network's input, pixels.
        batch_size: of training and localization.
        precision: auto, float32, bf16 or fp16.

    Raises:
        UserError: when the data set has no entry for the backbone.
    """
    params.setup(cell.dataset, cell.backbone)
    mapping = params.model_dump()
    setup = mapping["datasets"][cell.dataset]["backbones"][cell.backbone]
    if side is not None:
        setup["input"] |= {"resize": side, "crop": side}
    for owner in (setup["train"], mapping["localization"]):
        owner["batch_size"] = batch_size or owner["batch_size"]
        owner["precision"] = precision or owner["precision"]
    return Params.model_validate(mapping)


def bench(params: Params, cell: Cell, kind: Kind, *, classes: int, repeats: int) -> dict[str, Any]:
    """Time ``repeats`` steps after `WARM_UP` and return the content of ``--json``.

    Images are drawn and lie in memory: this is the computation alone (benchmarks/loading.py is the
    rest). Operations are those that torch counts, of matrix products and convolutions.
    """
    setup, device = params.setup(cell.dataset, cell.backbone), pick_device()
    owner = setup.train if kind == "train" else params.localization
    precision, images = resolve_precision(owner.precision, device), owner.batch_size
    work = CellWork(params, cell, classes, SIZE_WH)
    if kind == "evaluate":
        work.localize(1)
    step = getattr(work, kind)
    for _ in range(WARM_UP):
        step(images)
    rates, peaks = [], []
    for _ in range(repeats):  # in turn: a machine that others share slows both
        rates.append(images / time_step(step, images))
        peaks.append(matmul_gflops(precision, device))
    memory = peak_memory_bytes()
    with _Operations() as counted:
        step(images)
    gflop = counted.total * world().size / images / 1e9
    rate, peak = statistics.median(rates), max(peaks)
    return {
        "work": kind,
        "cell": {"dataset": cell.dataset, "backbone": cell.backbone, "method": cell.method},
        "classes": classes,
        "side": setup.input.crop,
        "mask_side": setup.mask_side,
        "batch_size": images,
        "precision": precision,
        "device": device.type,
        "threads": torch.get_num_threads(),
        "processes": world().size,
        "repeats": repeats,
        "images_per_second": rate,
        "images_per_second_range": [min(rates), max(rates)],
        "peak_memory_bytes": memory,
        "gflop_per_image": gflop,
        "matmul_gflops": peak,
        "matmul_share": gflop * rate / peak / world().size,
    }


def matmul_gflops(precision: str, device: torch.device) -> float:
    """Return the best rate of matrix products within half a second, in 10^9 operations a second.

    Args:
        precision: float32, bf16 or fp16.
        device: where; its threads are those of the work beside it.
    """
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    best = 0.0
    for side in (8192,) if device.type == "cuda" else (1024, 2048):
        left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        multiply = functools.partial(_multiply, left, right)
        time_step(multiply, 1)
        end = time.perf_counter() + 0.25
        while time.perf_counter() < end:
            best = max(best, 2 * side**3 / time_step(multiply, 1) / 1e9)
    return best


def _multiply(left: Tensor, right: Tensor, _: int) -> None:
    left @ right


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up torch's own counts; FlopCounterMode, which hooks modules, fails on Backprop.

    A convolution's gradients are counted here, each as much as the convolution: torch's count takes
    the one of the weights for that of a convolution without groups, 1,152 times too much for a
    depthwise one of 1,152 channels.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        if func is torch.ops.aten.convolution_backward.default:
            gradient, images, weights, *_ = args
            transposed, wanted = args[7], args[10]
            once = conv_flop_count(images.shape, weights.shape, gradient.shape, transposed)
            self.total += once * sum(wanted[:2])
        elif count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def as_text(facts: dict[str, Any]) -> str:
    """Return one benchmark as two lines for the terminal."""
    cell, (low, high) = facts["cell"], facts["images_per_second_range"]
    operations = (
        f", {facts['gflop_per_image']:.1f} GFLOP an image, {facts['matmul_share']:.0%} of the "
        f"matmul peak, {facts['matmul_gflops']:.0f} GFLOP/s"
    )
    return (
        f"{facts['work']}, {cell['method']} on {cell['backbone']}, {facts['classes']} classes, "
        f"{facts['side']} pixels, batch {facts['batch_size']}, {facts['precision']}, "
        f"{facts['device']}, {facts['processes']} x {facts['threads']} threads\n"
        f"{facts['images_per_second']:.2f} images/s ({low:.2f} to {high:.2f}), "
        f"{facts['peak_memory_bytes'] / 1e9:.2f} GB"
        f"{operations if facts['gflop_per_image'] else ''}"
    )
