"""A table in three languages: Markdown, LaTeX and HTML with the same cells, each escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable

import pandas as pd

from spg.report.tables import Table

LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "*": "{*}",  # this and the next would belong to the line break of the row before
    "[": "{[}",
    "–": "--",
    "∞": r"\ensuremath{\infty}",
    "`": r"\textasciigrave{}",
}
PREAMBLE = "% Made by `dvc repro`. Needs the packages booktabs and graphicx.\n\n"


def to_markdown(table: Table) -> str:
    """Return the caption, where there is one, as a paragraph, and the table below it, if any."""
    if table.caption and table.frame.empty:
        return f"{markdown_text(table.caption)}\n"
    frame = table.frame if table.marked else _escaped(table.frame, markdown_text)
    rule = ["---", *["---:"] * (len(frame.columns) - 1)]  # the first column is left-aligned
    rows = [list(frame), rule, *frame.to_numpy().tolist()]
    lines = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    return f"{markdown_text(table.caption)}\n\n{lines}" if table.caption else lines


def to_latex(table: Table) -> str:
    """Return a ``table*`` as wide as the page, labelled ``tab:`` and the table's name."""
    frame = _escaped(table.frame, latex_text)
    columns = "l" + "r" * (len(frame.columns) - 1)
    body = frame.to_latex(index=False, escape=False, column_format=columns)
    return (
        "\\begin{table*}\n"
        f"\\caption{{{latex_text(table.caption)}}}\n"
        f"\\label{{tab:{table.name}}}\n"
        f"\\resizebox{{\\textwidth}}{{!}}{{%\n{body.rstrip()}%\n}}\n"
        "\\end{table*}\n"
    )


def to_html(table: Table) -> str:
    """Return a ``figure`` with the caption and a table, its id ``tab-`` and the name."""
    body = table.frame.to_html(index=False, escape=True, border=0, table_id=f"tab-{table.name}")
    body = body.replace(' style="text-align: right;"', "")  # the page's policy allows none inline
    caption = html.escape(table.caption)
    return f"<figure>\n<figcaption>{caption}</figcaption>\n{body}\n</figure>\n"


def to_latex_page(tables: Iterable[Table]) -> str:
    r"""Return all tables as a file to ``\input``."""
    return PREAMBLE + "\n".join(to_latex(table) for table in tables)


def markdown_text(text: str) -> str:
    r"""Return ``text`` so that Markdown shows it as it is.

    Example:
        >>> print(markdown_text("a_b|*"))
        a\_b\|\*
    """
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)


def latex_text(text: str) -> str:
    r"""Return ``text`` so that LaTeX shows it as it is.

    Example:
        >>> print(latex_text("a_b & 5 %"))
        a\_b \& 5 \%
    """
    return "".join(LATEX.get(sign, sign) for sign in text)


def _escaped(frame: pd.DataFrame, escape: Callable[[str], str]) -> pd.DataFrame:
    return frame.map(escape).rename(columns=escape)
