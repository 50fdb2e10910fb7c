"""DVC stage `fetch`: get or draw the raw data."""

from spg.data.synthetic_birds import fetch
from spg.entry import run_dataset_stage

if __name__ == "__main__":
    run_dataset_stage(fetch)
