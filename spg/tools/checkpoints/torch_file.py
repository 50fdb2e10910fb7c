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
import shlex
import warnings
import zipfile
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from spg.project.errors import UserError, first_few
from spg.project.files import whole_file

_ZIP = b"PK\x03\x04"
REASON = 120  # characters of what torch says
_PICKLES = 5  # of the older format: magic number, version, machine, object, keys of the storages
_WRAPPERS = ("module", "_orig_mod", "model", "net")
"""Parts of names that others put there: DataParallel, torch.compile, a class around the network. No
published network of ours has a module that is called so."""
_KEYS = ("state_dict", "model_state_dict", "model", "net")  # under which a state dict stands
_KINDS = {
    rb"(\xef\xbb\xbf)?\s*<(!doctype|!--|html|head|\?xml)": "a web page, which a file host shows "
    "instead of a large file (a warning, a login); download it in a browser and look at its size",
    rb"(\xef\xbb\xbf)?\s*[{\[][\s\"'{\[}\]]": "a text, perhaps a host's answer in JSON; get the "
    "file itself",
    rb"version https://git-lfs": "a pointer of Git LFS; get the file itself by `git lfs pull`",
    rb"\x1f\x8b|BZh|\xfd7zXZ|Rar!|7z\xbc\xaf": "a compressed archive; unpack it first",
    rb"\x89HDF\r\n": "a file of HDF5, as Keras writes it; only torch.save's are known",
    rb".{8}\{\"": "a file of safetensors; save its tensors by torch.save",
}
"""What a file that is no checkpoint begins with, and what it is then."""
_ADVICE = ("Check the documentation", "Please file", "This file can still", "Re-running", "(1)")
"""What torch says to its developers, or to those who would read the file unsafely."""


def parse_state_dict(content: bytes, path: Path) -> dict[str, Tensor]:
    """Return the tensors in the bytes of a file of ``torch.save``, on the CPU, by their names.

    The state dict may be the whole file or stand under ``state_dict`` or a like key. ``module``,
    ``_orig_mod``, ``model`` and ``net`` are dropped wherever they are part of a name: DataParallel,
    torch.compile and classes around the network put them there, before the whole or a part of it
    (``features.module.0.weight``).

    Args:
        content: of the file.
        path: names the file in errors.

    Raises:
        UserError: when it is damaged, asks for anything that could run, or has no tensors.
    """
    state = _load(content, path)
    for _ in _KEYS:  # at most one inside the other: a dictionary may hold itself
        inside = state if isinstance(state, dict) else {}
        state = next((inside[key] for key in _KEYS if isinstance(inside.get(key), dict)), state)
    if not isinstance(state, dict) or not state:
        raise UserError(f"{path}: holds no state dict, neither by itself nor as {_KEYS[0]}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            keys = first_few([repr(key) for key in state])
            raise UserError(
                f"{path}: {name!r} is no tensor, and no state dict stands under "
                f"{', '.join(_KEYS)}; it has {keys}; save the state dict alone"
            )
    found = {_unwrapped(name): tensor.detach() for name, tensor in state.items()}
    if len(found) != len(state):
        raise UserError(f"{path}: two names of its state dict differ in {_WRAPPERS} alone")
    return found


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def save_state_dict(path: Path, state: dict[str, Tensor], **facts: str) -> None:
    """Write ``{"state_dict": ..., **facts}`` with ``torch.save``: equal tensors, equal bytes."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        # given a path instead of a file, torch would write its name into the archive
        torch.save({**facts, "state_dict": OrderedDict(state)}, file)


def _load(content: bytes, path: Path) -> Any:
    if not content:
        raise UserError(f"{path}: empty file")
    kind = _zip_kind(content) if content.startswith(_ZIP) else _kind(content)
    if kind:
        raise UserError(f"{path}: is no checkpoint but {kind}")
    try:
        if not content.startswith(_ZIP):
            content = _without_text_integers(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the error below says all
            return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in as many ways as it has bytes
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if asked:
            raise UserError(f"{path}: {_refusal(asked[1], path)}") from None
        raise UserError(
            f"{path}: not a checkpoint that torch.save wrote, or damaged ({_reason(error)})"
        ) from None


def _kind(content: bytes) -> str | None:
    """Return what a file is that begins as no checkpoint does."""
    for beginning, kind in _KINDS.items():
        if re.match(beginning, content, re.IGNORECASE | re.DOTALL):
            return kind
    return None


def _zip_kind(content: bytes) -> str | None:
    """Return what an archive is that ``torch.save`` did not write."""
    try:
        names = zipfile.ZipFile(BytesIO(content)).namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return "the beginning of one: it is cut off or damaged; get it again"
    if any(name.endswith("/constants.pkl") for name in names):
        return "a program of TorchScript; save the state_dict() of what torch.jit.load gives"
    if not any(name.endswith("data.pkl") for name in names):
        return f"an archive of {first_few([repr(name) for name in names[:3]])} ...; unpack it first"
    return None


def _refusal(asked: str, path: Path) -> str:
    """Return what a file that asks for more than tensors is, and how its tensors are had."""
    what = "NumPy's arrays or numbers" if asked.startswith("numpy.") else "more than tensors"
    kept = f"{path.name.split('.')[0]}.tensors.pth"
    code = (
        "import torch; f = lambda m: m.state_dict() if hasattr(m, 'state_dict') else "
        f"next((f(m[k]) for k in {_KEYS!r} if k in m and not isinstance(m[k], str)), m); "
        f"m = f(torch.load({str(path)!r}, weights_only=False, map_location='cpu')); "
        "torch.save({k: torch.as_tensor(v) for k, v in m.items() if hasattr(v, 'shape')}, "
        f"{kept!r})"
    )
    return (
        f"holds {what}: refused unread, because it asks for {asked}, which could run code; if you "
        "trust who made it, keep the tensors alone, where that code can be imported, and import "
        f"{kept}: python -c {shlex.quote(code)}"
    )


def _reason(error: Exception) -> str:
    """Return what is wrong in one line, without torch's advice."""
    words = " ".join(str(error).split()) or type(error).__name__
    words = words.rpartition("WeightsUnpickler error: ")[2]
    for advice in _ADVICE:
        words = words.partition(advice)[0]
    return shorten(words, REASON, placeholder=" ...")


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
