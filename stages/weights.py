"""DVC stage `weights`: the stem's weights, published or pre-trained."""

from spg.entry import run_plugin_stage
from spg.weights import make_weights

if __name__ == "__main__":
    run_plugin_stage(make_weights)
