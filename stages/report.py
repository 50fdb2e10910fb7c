"""DVC stage `report`: results -> tables, figures, notebooks, page."""

from spg.project.command_line import run_dataset_stage
from spg.report.stage import report

if __name__ == "__main__":
    run_dataset_stage(report)
