"""DVC stage `train`: one cell, from stem weights to a trained model."""

from spg.entry import run_cell_stage
from spg.train import train_cell

if __name__ == "__main__":
    run_cell_stage(train_cell)
