"""DVC stage `classify`: another classifier's scores of the test images."""

from spg.classify import classify
from spg.entry import run_plugin_stage

if __name__ == "__main__":
    run_plugin_stage(classify)
