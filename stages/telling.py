"""DVC stage `telling` of telling/dvc.yaml: when does guidance help?"""

from spg.project.command_line import run_project_stage
from spg.tools.telling.stage import measure_telling

if __name__ == "__main__":
    run_project_stage(measure_telling)
