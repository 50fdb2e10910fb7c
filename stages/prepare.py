"""DVC stage `prepare`: raw data -> packed images and manifest."""

from spg.data.prepare import prepare
from spg.entry import run_dataset_stage

if __name__ == "__main__":
    run_dataset_stage(prepare)
