"""DVC stage `localize`: one cell, from a trained model to scores and raw maps."""

from spg.entry import run_cell_stage
from spg.launch import in_processes
from spg.localize import localize_cell

if __name__ == "__main__":
    run_cell_stage(in_processes(localize_cell))
