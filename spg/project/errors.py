"""The one error that a user can cause, and how many things are named in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 20  # of many; who needs more gets a file


class UserError(Exception):
    """A user's mistake in one sentence: the file, the key and what to do; exit status 2."""


def first_few(items: Sequence[str], *, rest: str = "") -> str:
    """Return the first of many items in one line, and how many follow.

    Args:
        items: words or sentences; line ends in them become blanks.
        rest: where the others stand, said behind their number.

    Example:
        >>> first_few(["a is empty", "b is empty"])
        'a is empty; b is empty'
        >>> first_few([str(number) for number in range(22)])[-18:]
        '18; 19; and 2 more'
    """
    named = [" ".join(item.split()) for item in items[:NAMED]]
    if len(items) > NAMED:
        named.append(f"and {len(items) - NAMED} more{rest}")
    return "; ".join(named)
