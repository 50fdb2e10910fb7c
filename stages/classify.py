"""DVC stage `classify`: another classifier's scores of the test images."""

from spg.networks.classify.stage import classify
from spg.project.command_line import run_plugin_stage

if __name__ == "__main__":
    run_plugin_stage(classify)
