"""What a reader of a data set objects to, about the whole and about single images."""

from __future__ import annotations

from spg.data.layouts.problems import BadDataError


def objections(read, root):
    """Return every sentence that ``prepare`` would list of what ``read`` says."""
    try:
        found, sentences = read(root), []
    except BadDataError as error:
        found, sentences = error.readable, list(error.problems)
    own = [item.problem or item.box_problem for item in found]
    return sentences + [sentence for sentence in own if sentence]
