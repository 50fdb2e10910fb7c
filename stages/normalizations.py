"""DVC stage `normalizations` of effects/dvc.yaml: what the normalization of maps changes."""

from spg.project.command_line import run_dataset_stage
from spg.tools.normalizations.stage import measure_normalizations

if __name__ == "__main__":
    run_dataset_stage(measure_normalizations)
