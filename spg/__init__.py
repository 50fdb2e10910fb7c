"""spg: a reproducibility benchmark of Self-produced Guidance (ECCV 2018, arXiv:1807.08902).

The rooms, from raw data to a report: :mod:`spg.data`, :mod:`spg.networks`, :mod:`spg.train`,
:mod:`spg.localize`, :mod:`spg.evaluate`, :mod:`spg.compare`, :mod:`spg.report`; beside them
:mod:`spg.tools`, below them :mod:`spg.project`, above them :mod:`spg.cli`. A room imports from
rooms below it only (CONTRIBUTING.md has the floors, tests/pipeline the proof).
"""

from pathlib import Path

import spg.project.waiting  # noqa: F401
from spg.project.portable import settle

settle(Path.cwd())
