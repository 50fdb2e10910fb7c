"""DVC stage `sweep`: one cell, from maps to IoU at every threshold."""

from spg.entry import run_cell_stage
from spg.sweep import sweep_cell

if __name__ == "__main__":
    run_cell_stage(sweep_cell)
