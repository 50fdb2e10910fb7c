"""DVC stage `stem` of stems/dvc.yaml: the project's own stem weights, from drawn species."""

from spg.networks.weights.drawn import make_stem
from spg.project.command_line import run_plugin_stage

if __name__ == "__main__":
    run_plugin_stage(make_stem)
