"""DVC stage `compare`: all cells -> tables, intervals, verdicts."""

from spg.compare.stage import compare
from spg.project.command_line import run_dataset_stage

if __name__ == "__main__":
    run_dataset_stage(compare)
