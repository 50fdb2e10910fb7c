"""DVC stage `evaluate`: one cell, from maps to boxes to errors."""

from spg.entry import run_cell_stage
from spg.evaluate import evaluate_cell

if __name__ == "__main__":
    run_cell_stage(evaluate_cell)
