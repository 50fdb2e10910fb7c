"""DVC stage `effect` of effects/dvc.yaml: what every disputed choice changes."""

from spg.project.command_line import run_project_stage
from spg.tools.effect.stage import measure_effects

if __name__ == "__main__":
    run_project_stage(measure_effects)
