"""DVC stage `report`: results -> tables, figures, notebook."""

from spg.entry import run_dataset_stage
from spg.report.build import report

if __name__ == "__main__":
    run_dataset_stage(report)
