"""Run a function in several processes that know each other, as torchrun starts them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import torch
from torch.multiprocessing.spawn import start_processes

from spg.networks.compute.distributed import joined


def run_in_processes(function: Callable[..., None], size: int, *args: Any) -> None:
    """Call ``function(*args)`` in ``size`` processes; it has to be importable."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    start_processes(_worker, (function, size, port, args), nprocs=size, start_method="spawn")


def _worker(
    rank: int, function: Callable[..., None], size: int, port: int, args: tuple[Any, ...]
) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
        "MASTER_ADDR": "localhost", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    with joined(torch.device("cpu")):
        function(*args)
