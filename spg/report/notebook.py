"""Run notebooks so that equal results give equal bytes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from spg.project.errors import UserError
from spg.project.files import write_text

CELL_SECONDS = 300
# nbconvert's own block with the alternative text, which its template `lab` leaves out.
TEMPLATE = """\
{%- extends 'lab/index.html.j2' -%}
{%- block data_png scoped -%}
<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}">
<img src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"
{%- set alt = output | get_metadata('alt', 'image/png') %}
{%- if alt is not none %} alt="{{ alt | escape_html }}"{% endif %}>
</div>
{%- endblock data_png -%}
"""


def execute(
    sources: Mapping[Path, Path], *, root: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Run notebooks, all at once: most of their time is the start of a kernel each.

    Args:
        sources: percent-format scripts without outputs, and for each the executed notebook (.ipynb)
            to write; its .html lies beside it.
        root: folder in which they run.
        environment: variables that they see beside those of this process.

    Raises:
        UserError: when a cell fails.
    """
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # else a warning on stderr
    for (source, target), executed in zip(
        sources.items(), asyncio.run(_executed(list(sources), root, environment or {})), strict=True
    ):
        scrub(executed)
        write_text(target, nbformat.writes(executed) + "\n")
        write_text(target.with_suffix(".html"), to_html(executed, title=source.stem))


async def _executed(
    sources: Sequence[Path], root: Path, environment: Mapping[str, str]
) -> list[NotebookNode]:
    return await asyncio.gather(*(_execute(source, root, environment) for source in sources))


async def _execute(source: Path, root: Path, environment: Mapping[str, str]) -> NotebookNode:
    notebook = jupytext.read(source)
    for index, cell in enumerate(notebook.cells):
        cell["id"] = hashlib.sha1(f"{index}{cell.source}".encode()).hexdigest()[:8]
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, record_timing=False, resources={"metadata": {"path": root}}
    )
    try:
        await client.async_execute(env=os.environ | environment)
    except CellExecutionError as error:
        raise UserError(f"{source}: a cell failed: {error.ename}: {error.evalue}") from None
    return notebook


def scrub(notebook: NotebookNode) -> None:
    """Remove what differs between runs: interpreter versions and addresses of objects."""
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python",
                                        "name": "python3"}}  # fmt: skip
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for kind in ("text/plain", "text/html"):
                if kind in data:
                    data[kind] = re.sub(r" at 0x[0-9a-f]+", "", data[kind])


def to_html(notebook: NotebookNode, *, title: str) -> str:
    """Return a self-contained page; it loads nothing from the network.

    Figures are described by what the notebook gave as ``alt`` of ``IPython.display.Image``.
    """
    exporter = HTMLExporter(
        mathjax_url="", require_js_url="", exclude_input=True, raw_template=TEMPLATE
    )
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    return str(page)
