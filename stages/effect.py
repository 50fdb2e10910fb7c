"""DVC stage `effect` of effects/dvc.yaml: what one disputed choice changes."""

from spg.project.command_line import run_named_stage
from spg.tools.effect.stage import measure_effect

if __name__ == "__main__":
    run_named_stage(measure_effect)
