"""A file of ``torch.save`` as Python 2.7 with PyTorch 0.3 wrote it, instruction by instruction.

Neither is at hand. This follows their sources: pickle protocol 2; ``str`` as bytes with a length;
an integer beyond 32 bits as text; ordered dictionaries by a list of pairs; tensors by
``_rebuild_tensor`` on storages of a GPU; the storages' content behind five pickles.
"""

from __future__ import annotations

import struct
from collections import OrderedDict

import torch

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001


def python2_file(tree: object) -> bytes:
    """Return the bytes of a file that holds ``tree``: dicts, lists, numbers, names, tensors."""
    tensors: list[torch.Tensor] = []
    machine = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"int": 4}}
    magic = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")
    pickles = [magic, *(instructions(part, tensors) for part in (VERSION, machine, tree))]
    pickles.append(instructions([str(key) for key in range(len(tensors))], tensors))
    storages = [struct.pack("<q", t.numel()) + t.numpy().tobytes() for t in tensors]
    return b"".join([*(b"\x80\x02" + part + b"." for part in pickles), *storages])


def instructions(value: object, tensors: list[torch.Tensor]) -> bytes:
    def of(*values: object) -> bytes:
        return b"".join(instructions(value, tensors) for value in values)

    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        small = -(2**31) <= value < 2**31
        return b"J" + struct.pack("<i", value) if small else f"I{value}\n".encode()
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode()
    if isinstance(value, tuple):
        return b"(" + of(*value) + b"t"
    if isinstance(value, list):
        return b"](" + of(*value) + b"e"
    if isinstance(value, OrderedDict):
        pairs = [[key, item] for key, item in value.items()]
        return b"ccollections\nOrderedDict\n" + of(pairs) + b"\x85R"
    if isinstance(value, dict):
        return b"}(" + b"".join(of(key, item) for key, item in value.items()) + b"u"
    assert isinstance(value, torch.Tensor)
    kind = {torch.float32: "Float", torch.int64: "Long", torch.float64: "Double"}[value.dtype]
    key, stride = str(len(tensors)), value.contiguous().stride()
    tensors.append(value.contiguous())
    storage = b"(" + of("storage") + f"ctorch.cuda\n{kind}Storage\n".encode()
    storage += of(key, "cuda:1", value.numel()) + b"NtQ"
    size = tuple(value.shape)
    return b"ctorch._utils\n_rebuild_tensor\n(" + storage + of(0, size, stride) + b"tR"
