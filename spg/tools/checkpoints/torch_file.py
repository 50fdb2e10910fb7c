"""Files of ``torch.save`` from strangers: read so that nothing in them can run.

PyTorch's own reader of weights knows tensors, containers, numbers and names and refuses every
other global before it is called. It reads both of its formats; of the older one, which Python 2
wrote too, it lacks a single harmless instruction, an integer as text. A pickle of Python 2 has it
for every integer beyond 32 bits, and the optimizer's state in the authors' checkpoints is full of
them (the addresses of the parameters), so it is written anew before PyTorch reads the file.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import warnings
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spg.project.errors import UserError
from spg.project.files import whole_file

_ZIP = b"PK\x03\x04"
_PICKLES = 5  # of the older format: magic number, version, machine, object, keys of the storages
_WRAPPER = "module."  # what DataParallel puts before every name


def parse_state_dict(content: bytes, path: Path) -> dict[str, Tensor]:
    """Return the tensors in the bytes of a file of ``torch.save``, on the CPU, by their names.

    The state dict may be the whole file or stand under ``state_dict``; ``module.`` before every
    name is dropped.

    Args:
        content: of the file.
        path: names the file in errors.

    Raises:
        UserError: when it is damaged, asks for anything that could run, or has no tensors.
    """
    loaded = _load(content, path)
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not state:
        raise UserError(f"{path}: holds no state dict, neither by itself nor as `state_dict`")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UserError(f"{path}: {name!r} of its state dict is no tensor")
    wrapped = all(name.startswith(_WRAPPER) for name in state)
    return {
        name.removeprefix(_WRAPPER) if wrapped else name: tensor.detach()
        for name, tensor in state.items()
    }


def save_state_dict(path: Path, state: dict[str, Tensor], **facts: str) -> None:
    """Write ``{"state_dict": ..., **facts}`` with ``torch.save``: equal tensors, equal bytes."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        # given a path instead of a file, torch would write its name into the archive
        torch.save({**facts, "state_dict": OrderedDict(state)}, file)


def _load(content: bytes, path: Path) -> Any:
    try:
        if not content.startswith(_ZIP):
            content = _without_text_integers(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the error below says all
            return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in as many ways as it has bytes
        reason = _reason(error)
        asked = re.search(r"GLOBAL (\S+)", reason)
        if asked:
            raise UserError(
                f"{path}: refused unread, because it asks for {asked[1]}, which could run code; "
                "save its state_dict alone, or get another copy"
            ) from None
        raise UserError(
            f"{path}: not a checkpoint that torch.save wrote, or damaged ({reason[:100]})"
        ) from None


def _reason(error: Exception) -> str:
    """Return what is wrong in one line, without torch's advice to read the file unsafely."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words.rpartition("WeightsUnpickler error: ")[2]


def _without_text_integers(content: bytes) -> bytes:
    stream, parts, start = BytesIO(content), [], 0
    for value, position in _text_integers(stream):
        # between PROTO with its number and STOP stands the one instruction
        parts += [content[start:position], pickle.dumps(value, protocol=2)[2:-1]]
        start = content.index(b"\n", position) + 1
    return b"".join([*parts, content[start:]])


def _text_integers(stream: BytesIO) -> list[tuple[int, int]]:
    """Return value and place of every integer written as text; parses, and runs nothing."""
    found: list[tuple[int, int]] = []
    try:
        for _ in range(_PICKLES):
            for operation, value, position in pickletools.genops(stream):
                if operation.name == "INT" and position is not None:
                    found.append((int(value or 0), position))
    except ValueError:
        pass  # no such file, or a damaged one: torch says which
    return found
