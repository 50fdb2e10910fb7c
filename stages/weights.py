"""DVC stage `weights`: the stem's weights, published or pre-trained."""

from spg.networks.weights.stage import make_weights
from spg.project.command_line import run_plugin_stage

if __name__ == "__main__":
    run_plugin_stage(make_weights)
