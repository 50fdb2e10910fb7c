"""Notebook kernels that are reached through Unix sockets, not through TCP ports."""

from __future__ import annotations

import tempfile
import uuid

from jupyter_client.manager import AsyncKernelManager
from traitlets import default


class Kernels(AsyncKernelManager):
    """What runs a kernel, for processes that start many of them side by side.

    Jupyter looks for free ports, lets them go, and names them to a kernel, which takes them a
    second later. Of two processes that start kernels within that second each may be given a port of
    the other's; then a kernel dies before it answers. These sockets are named by a number of their
    own, and in a short folder: a socket's path has at most 107 bytes.
    """

    @default("transport")
    def _unix(self) -> str:
        return "ipc"

    @default("connection_file")
    def _own(self) -> str:
        return f"{tempfile.gettempdir()}/spg-{uuid.uuid4().hex}.json"
