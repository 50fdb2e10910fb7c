"""DVC stage `compare`: all cells -> tables, intervals, verdicts."""

from spg.compare import compare
from spg.entry import run_dataset_stage

if __name__ == "__main__":
    run_dataset_stage(compare)
