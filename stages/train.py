"""DVC stage `train`: one cell, from stem weights to a trained model."""

from spg.entry import run_cell_stage
from spg.launch import in_processes
from spg.train import train_cell

if __name__ == "__main__":
    run_cell_stage(in_processes(train_cell))
