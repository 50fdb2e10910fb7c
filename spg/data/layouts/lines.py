"""Text tables of strangers, line by line: any line ends, with or without a byte order mark."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

LONGEST = 60  # characters of a text that an error shows
_END = re.compile(rb"\r\n|\n|\r")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(file: Path, problems: list[str]) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not blank, without blanks around it.

    UTF-8, or UTF-16 where its mark says so, as PowerShell's ``>`` writes it. Lines end as on Unix,
    Windows or an old Mac.

    Args:
        file: the table.
        problems: gets a sentence for a line that is no text, or for the file that cannot be read.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        problems.append(f"{file.name}: no such file")
        return
    except OSError as error:
        problems.append(f"{file.name}: {error.strerror}")
        return
    if content.startswith(_UTF16):
        try:
            content = content.decode("utf-16").encode()
        except UnicodeError:
            problems.append(f"{file.name}: neither UTF-8 nor UTF-16; convert the file")
            return
    if b"\0" in content:
        problems.append(
            f"{file.name}: holds bytes of 0, as UTF-16 without its mark does; make it UTF-8"
        )
        return
    lines = _END.split(content.removeprefix(codecs.BOM_UTF8))
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            problems.append(f"{file.name}:{number}: not UTF-8; convert the file")
            continue
        if text:
            yield number, text


def shown(text: str) -> str:
    """Return a text from a file as an error shows it: quoted, and never longer than a line.

    Example:
        >>> shown("1,001.Albatross/a.jpg")
        "'1,001.Albatross/a.jpg'"
    """
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}...")
