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

START, END = "<!-- results: made by `make readme` -->", "<!-- end of results -->"
DATASET = "synthetic_birds"


def results_block(workspace: Workspace) -> str:
    """Return the results section that README.md must show for the committed reports."""
    folder = workspace.report(DATASET)
    digits = load_params(workspace.params_file).report.digits
    comparison = read_table(folder / "comparison.csv")
    claims = read_table(folder / "claims.csv")
    parts = [
        START,
        to_markdown(tables.main_table(comparison, metric="gt_known_loc_err", digits=digits)),
        to_markdown(tables.claims_table(claims, digits=digits)),
        f"{tables.not_run(claims)}\n",
        f"![Images, maps, boxes](reports/{DATASET}/figures/contact_sheet.png)",
        END,
    ]
    return "\n".join(parts)


def with_results(readme: str, block: str) -> str:
    """Return ``readme`` with its results section replaced by ``block``."""
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(END), flags=re.DOTALL)
    return pattern.sub(lambda _: block, readme)


if __name__ == "__main__":
    project = Workspace(Path.cwd())
    page = project.root / "README.md"
    write_text(page, with_results(page.read_text(encoding="utf-8"), results_block(project)))
