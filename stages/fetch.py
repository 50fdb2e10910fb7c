"""DVC stage `fetch`: get or draw the raw data."""

from spg.data.fetch.stage import fetch
from spg.project.command_line import run_dataset_stage

if __name__ == "__main__":
    run_dataset_stage(fetch)
