"""DVC stage `evaluate`: one cell, from maps to boxes to errors."""

from spg.evaluate.stage import evaluate_cell
from spg.project.command_line import run_cell_stage

if __name__ == "__main__":
    run_cell_stage(evaluate_cell)
