"""Everything that is wrong with a data set in one list, instead of the first of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spg.project.errors import UserError, first_few
from spg.project.files import write_text

if TYPE_CHECKING:
    from spg.data.layouts.annotations import Annotation


INDENT = " " * 8
"""Of the list of skips, that of its place in params.yaml."""


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
        lines = [f"# {self._where}: what is wrong; {self._remedy}."]
        if self.shared:
            lines += ["# No skip helps against these:"]
            lines += [f"# - {_one_line(sentence)}" for sentence in self.shared]
        if self.images:
            lines += [
                f"# These images may be skipped instead: {self._skip}, in params.yaml",
                "skip:",
            ]
            for image, why in self.images.items():
                lines += [f"{INDENT}# {_one_line(why)}", f"{INDENT}- {_quoted(image)}"]
        return "\n".join(lines) + "\n"


def _about(image: str, why: str) -> str:
    return why if image in why else f"{image}: {why}"


def _one_line(text: str) -> str:
    """Return a text as a comment of YAML may hold it."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def _quoted(text: str) -> str:
    """Return a text as YAML reads it back to the letter, whatever letters a disk has in names."""
    plain = (letter.isprintable() and letter not in '"\\' for letter in text)
    pairs = zip(text, plain, strict=True)
    return f'"{"".join(c if ok else f"{chr(92)}U{ord(c):08X}" for c, ok in pairs)}"'
