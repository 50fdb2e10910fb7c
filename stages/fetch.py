"""DVC stage `fetch`: get or draw the raw data."""

from spg.entry import run_dataset_stage
from spg.fetch import fetch

if __name__ == "__main__":
    run_dataset_stage(fetch)
