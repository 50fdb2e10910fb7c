"""DVC stage `sweep`: one cell, from maps to IoU at every threshold."""

from spg.evaluate.sweep.stage import sweep_cell
from spg.project.command_line import run_cell_stage

if __name__ == "__main__":
    run_cell_stage(sweep_cell)
