"""Everything that is wrong with a data set in one list, instead of the first of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spg.project.errors import UserError, first_few
from spg.project.files import write_text

if TYPE_CHECKING:
    from spg.data.layouts.annotations import Annotation


class BadDataError(UserError):
    """A data set's files contradict each other or cannot be read, in ways that no skip mends.

    What concerns one image alone is no such error: it stands in the image's
    :class:`~spg.data.layouts.annotations.Annotation`, so that the image can be left out.
    """

    def __init__(
        self,
        where: Path,
        problems: Sequence[str],
        *,
        advice: str = "",
        readable: Sequence[Annotation] = (),
    ) -> None:
        """Say what is wrong.

        Args:
            where: the folder; the sentences name files below it.
            problems: sentences, one a problem, each with its file and line.
            advice: what to do, where the sentences do not say it.
            readable: the images that could be read all the same.
        """
        super().__init__(f"{where}: {first_few(problems)}{advice and f'; {advice}'}")
        self.where = where
        self.problems = tuple(problems)
        self.readable = tuple(readable)


class Problems:
    """What is found, until all of it is found.

    Args:
        where: the folder; the sentences name files below it.
        skip: the key of params.yaml that leaves images out.
        remedy: what else helps, e.g. "mend the files".
    """

    def __init__(self, where: Path, *, skip: str, remedy: str) -> None:
        self.shared: list[str] = []
        """What no skip mends."""
        self.images: dict[str, str] = {}
        """What is wrong with an image, by its id."""
        self._where = where
        self._skip = skip
        self._remedy = remedy

    def complain(self, listing: Path) -> None:
        """Do nothing if there are none; else write all of them and say the first.

        Args:
            listing: gets the whole list as YAML: comments, and the skips ready to copy.

        Raises:
            UserError: with the first problems, their number, and what to do.
        """
        sentences = [*self.shared, *(_about(image, why) for image, why in self.images.items())]
        if not sentences:
            return
        write_text(listing, self._listing())
        remedy = self._remedy
        if self.images:
            remedy += f", or leave the images out by {self._skip} in params.yaml"
        many = len(sentences)
        raise UserError(
            f"{self._where}: {many} problem{'s' if many > 1 else ''}: {first_few(sentences)}; "
            f"{remedy}; {listing} lists them all"
        )

    def _listing(self) -> str:
        lines = [f"# {self._where}: what is wrong. Either {self._remedy}."]
        if self.shared:
            lines += ["# No skip helps against these:"]
            lines += [f"# - {_one_line(sentence)}" for sentence in self.shared]
        if self.images:
            lines += [f"# These too; or copy the list to {self._skip}:", "skip:"]
            for image, why in self.images.items():
                lines += [f"  # {_one_line(why)}", f"  - {json.dumps(image, ensure_ascii=False)}"]
        return "\n".join(lines) + "\n"


def _about(image: str, why: str) -> str:
    return why if image in why else f"{image}: {why}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
