"""Downloads that go on after a cut and are verified before they count.

`requests` brings proxies, redirects and certificates; going on by HTTP Range is done here, because
neither it nor pooch nor torchvision offers it.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from spg.data.layouts.space import require_space
from spg.project.errors import UserError
from spg.project.files import sync

log = logging.getLogger(__name__)

CHUNK = 1 << 20
ATTEMPTS = 6
TIMEOUT = 60.0
"""Seconds without a byte."""


class Remote(NamedTuple):
    """A published file."""

    name: str
    url: str
    size: int | None
    """Bytes; ``None`` where nobody has published them, and the server's word counts."""
    md5: str


class _Cut(Exception):
    """The connection ended early or the server is busy: another attempt may help."""


def download(remote: Remote, folder: Path, *, wait: float = 1.0) -> Path:
    """Return the verified file ``folder / remote.name``, loaded only where it is missing.

    A load goes into ``NAME.part`` and goes on there after a cut, in this call or a later one. Only
    a file of the right size and md5 gets its name.

    Args:
        remote: what to load.
        folder: where a file of that name may lie already.
        wait: seconds before the second attempt; doubled for each further one.

    Raises:
        UserError: when the file cannot be had, or is not the published one.
    """
    target = folder / remote.name
    if target.exists():
        verify(target, remote.md5, size=remote.size)
        return target
    part = folder / f"{remote.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        size = _load(remote, part, wait)
    except OSError as error:
        raise UserError(f"{part}: cannot be written ({error.strerror})") from None
    problem = _problem(part, remote.md5, size)
    if problem:
        part.unlink()
        raise UserError(
            f"{remote.url}: what was loaded {problem} and was removed; run the same command again "
            "or name a mirror"
        )
    sync(part)
    part.replace(target)
    sync(folder)
    return target


def verify(path: Path, md5: str, *, size: int | None = None) -> None:
    """Check size and md5 of a file, with a progress bar.

    Raises:
        UserError: when they differ.
    """
    problem = _problem(path, md5, size)
    if problem:
        raise UserError(f"{path} {problem}; remove it and get it anew")


def _problem(path: Path, md5: str, size: int | None) -> str | None:
    found = _size(path)
    if size is not None and found != size:
        return f"has {found} bytes instead of {size}"
    found_md5 = md5_of(path)
    return None if found_md5 == md5 else f"has md5 {found_md5} instead of {md5}"


def md5_of(path: Path) -> str:
    """Return a file's md5, with a progress bar."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file, _bar(f"verify {path.name}", _size(path)) as bar:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()


def _load(remote: Remote, part: Path, wait: float) -> int:
    """Load all of ``part``; return its size."""
    failures, size = 0, remote.size
    while size is None or _size(part) != size:
        before = _size(part)
        try:
            if size is None:
                size = _announced(remote.url)
            if _size(part) != size:  # all of it may lie there, of a call that was killed
                require_space(part.parent, size - _size(part), f"the rest of {remote.name}")
                _go_on(remote, size, part)
        except (requests.RequestException, _Cut) as error:
            if isinstance(error, ValueError):  # requests' errors about the address itself are both
                raise UserError(f"{remote.url}: no usable address ({error})") from None
            # what requests says about a connection runs over lines; its kind says enough
            cut = isinstance(error, _Cut)
            reason = str(error) if cut else f"no connection ({type(error).__name__})"
            failures = 1 if _size(part) > before else failures + 1
            if failures == ATTEMPTS:
                raise UserError(
                    f"{remote.url}: {reason}; run the same command again to go on, or name a mirror"
                ) from None
            pause = wait * 2 ** (failures - 1)
            log.info("%s: %s; next attempt in %g s", remote.name, reason, pause)
            time.sleep(pause)
    return size


def _announced(url: str) -> int:
    """Return how many bytes the server says that the file has.

    By GET, whose body is left: some mirrors answer no HEAD.
    """
    asked = {"Accept-Encoding": "identity"}
    with requests.get(url, headers=asked, stream=True, timeout=TIMEOUT) as response:
        _check_status(url, response)
        length = response.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise UserError(f"{url}: the server does not say how long the file is; name a mirror")
    return int(length)


def _go_on(remote: Remote, size: int, part: Path) -> None:
    """Load what is missing of ``part``, in one request."""
    have = _size(part)
    if have > size:  # left by something else
        part.unlink()
        have = 0
    # identity: a server must not compress, and what is gzip in the file stays gzip
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(remote.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        start = _start(remote.url, size, response, have)
        length = response.headers.get("Content-Length")
        if length is not None and int(length) != size - start:
            raise UserError(
                f"{remote.url}: offers {start + int(length)} bytes instead of {size}; "
                "it is not the published file"
            )
        with part.open("r+b" if start else "wb") as file, _bar(part.stem, size) as bar:
            file.seek(start)
            bar.update(start)
            for chunk in _chunks(response):
                file.write(chunk)
                bar.update(len(chunk))
                if file.tell() > size:
                    break
    if _size(part) > size:
        part.unlink()
        raise UserError(f"{remote.url}: sends more than the published {size} bytes")
    if _size(part) < size:
        raise _Cut(f"the connection ended after {_size(part)} of {size} bytes")


def _start(url: str, size: int, response: requests.Response, have: int) -> int:
    """Return the position of the answer's first byte in the file."""
    _check_status(url, response)
    if response.status_code == requests.codes.ok:
        return 0  # the server knows no ranges: all from the start
    found = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if found and int(found[1]) == have and found[2] in ("*", str(size)):
        return have
    raise UserError(f"{url}: answers another range than asked for; try a mirror")


def _check_status(url: str, response: requests.Response) -> None:
    """Raise what an answer without the file means."""
    status = response.status_code
    if status in (requests.codes.ok, requests.codes.partial_content):
        return
    reason = f"the server answers {status} {response.reason}"
    if status >= 500 or status == requests.codes.too_many_requests:
        raise _Cut(reason)
    raise UserError(f"{url}: {reason}; set the address of a mirror (`spg fetch --help`)")


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield the body as it is sent, whatever Content-Encoding the server claims."""
    with suppress(HTTPError):  # what is missing then is seen by the size
        yield from response.raw.stream(CHUNK, decode_content=False)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _bar(name: str, total: int) -> tqdm[Any]:
    return tqdm(desc=name, total=total, unit="B", unit_scale=True)
