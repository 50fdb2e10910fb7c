"""DVC stage `effect` of effects/dvc.yaml: what one disputed choice changes."""

from spg.effects import measure_effect
from spg.entry import run_named_stage

if __name__ == "__main__":
    run_named_stage(measure_effect)
