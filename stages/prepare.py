"""DVC stage `prepare`: raw data -> packed images and manifest."""

from spg.data.prepare.stage import prepare
from spg.project.command_line import run_dataset_stage

if __name__ == "__main__":
    run_dataset_stage(prepare)
