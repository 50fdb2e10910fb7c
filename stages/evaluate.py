"""DVC stage `evaluate`: every cell, from IoU at every threshold to errors at the reported ones."""

from spg.evaluate.stage import evaluate
from spg.project.command_line import run_dataset_stage

if __name__ == "__main__":
    run_dataset_stage(evaluate)
