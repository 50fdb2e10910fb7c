"""DVC stage `train`: one cell, from stem weights to a trained model."""

from spg.networks.compute.launch import in_processes
from spg.project.command_line import run_cell_stage
from spg.train.stage import train_cell

if __name__ == "__main__":
    run_cell_stage(in_processes(train_cell))
