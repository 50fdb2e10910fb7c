"""The one error that a user can cause."""

from __future__ import annotations


class UserError(Exception):
    """A user's mistake in one sentence: the file, the key and what to do; exit status 2."""
