"""What environment variables say: numbers that users set, and torchrun's own."""

from __future__ import annotations

import os

from spg.project.errors import UserError


def number_of(variable: str, default: int, *, least: int = 0) -> int:
    """Return an environment variable as a whole number.

    Args:
        variable: its name.
        default: where it is not set.
        least: smallest number allowed.

    Raises:
        UserError: when it is something else.
    """
    text = os.environ.get(variable, str(default))
    if not text.isascii() or not text.isdecimal() or int(text) < least:
        raise UserError(
            f"{variable}: {text!r} is no number of processes; set it to {least} or more"
        )
    return int(text)


def usable_cores() -> int:
    """Return the number of cores that this process may use, e.g. those that Slurm has granted."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processes_here() -> int:
    """Return how many processes torchrun has started on this machine; 1 without it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def is_worker() -> bool:
    """Return whether torchrun started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_first() -> bool:
    """Return whether this process speaks for all."""
    return os.environ.get("RANK", "0") == "0"
