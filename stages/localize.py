"""DVC stage `localize`: one cell, from a trained model to scores and raw maps."""

from spg.localize.stage import localize_cell
from spg.networks.compute.launch import in_processes
from spg.project.command_line import run_cell_stage

if __name__ == "__main__":
    run_cell_stage(in_processes(localize_cell))
