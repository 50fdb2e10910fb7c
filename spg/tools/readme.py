"""The results in README.md are copied from reports/, never typed: `make readme`."""

from __future__ import annotations

import re
from pathlib import Path

from spg.data.results.tables import read_table
from spg.project.files import write_text
from spg.project.params import load_params
from spg.project.workspace import Workspace
from spg.report import tables
from spg.report.render import to_markdown

START, END = "<!-- results of {}: made by `make readme` -->", "<!-- end of results -->"
FIGURES = {
    "imagenette": ("claims.png", "Each claim's gain with its interval, reported and reproduced"),
    "synthetic_birds": ("contact_sheet.png", "Images, maps, boxes"),
}
"""By data set whose results the README shows: the figure below its tables and what that shows.

The figure of photographs shows none of them: they are not this project's to publish.
"""


def results_block(workspace: Workspace, dataset: str) -> str:
    """Return the section on ``dataset`` that README.md must show for the committed report."""
    folder = workspace.report(dataset)
    params = load_params(workspace.params_file)
    digits, confidence = params.report.digits, params.comparison.confidence
    comparison = read_table(folder / "comparison.csv")
    claims = read_table(folder / "claims.csv")
    errors = tables.main_table(
        comparison, metric="gt_known_loc_err", digits=digits, confidence=confidence
    )
    figure, shows = FIGURES[dataset]
    parts = [
        START.format(dataset),
        to_markdown(errors),
        to_markdown(tables.claims_table(claims, digits=digits, confidence=confidence)),
        f"{tables.not_run(claims)}\n",
        f"![{shows}](reports/{dataset}/figures/{figure})",
        END,
    ]
    return "\n".join(parts)


def with_results(readme: str, dataset: str, block: str) -> str:
    """Return ``readme`` with its section on ``dataset`` replaced by ``block``."""
    start = re.escape(START.format(dataset))
    pattern = re.compile(start + ".*?" + re.escape(END), flags=re.DOTALL)
    return pattern.sub(lambda _: block, readme)


if __name__ == "__main__":
    project = Workspace(Path.cwd())
    page = project.root / "README.md"
    text = page.read_text(encoding="utf-8")
    for name in FIGURES:
        text = with_results(text, name, results_block(project, name))
    write_text(page, text)
