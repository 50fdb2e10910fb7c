#!/bin/bash
#SBATCH --job-name=spg
#SBATCH --array=0-24%5           # number of cells - 1, and how many at a time: docs/cluster.md
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --output=slurm-%A_%a.out
#
# One cell a task: train and localize one method with one seed, in a clone of its own that shares
# the DVC cache of the clone it was submitted from (the main clone, whose .venv it uses). Boxes at all
# thresholds need no GPU, so they are an array of their own; or leave them to the last command.
#
#     dvc repro prepare weights && git commit -m 'My settings' params.yaml dvc.lock
#     export SPG_COMMIT="$(git rev-parse HEAD)"
#     job=$(sbatch --parsable docs/slurm.sh)                                  # from the root
#     SPG_STAGE=sweep sbatch --gres=none --dependency=aftercorr:"$job" docs/slurm.sh
#     dvc repro                  # when all tasks have ended: trains nothing, evaluates and reports
#
# SPG_COMMIT  what the tasks run (default: HEAD when each of them starts)
# SPG_STAGE   the last stage of a task: localize (default) or sweep
# SPG_CELLS   a pattern, which cells (default: all); --array has to fit
# SPG_JOBS    where the clones lie, on a disk that a requeued task sees too (default: MAIN.jobs)

set -euo pipefail

main=${SLURM_SUBMIT_DIR:?submit with sbatch}
task=${SLURM_ARRAY_TASK_ID:?submit with --array}
clone=${SPG_JOBS:-$main.jobs}/${SLURM_ARRAY_JOB_ID:?}-$task

cd "$main"
if [ -f .venv/bin/activate ]; then
    # shellcheck source=/dev/null
    . .venv/bin/activate
fi
cache=$(dvc cache dir)

# A requeued task finds its clone again, and its training goes on from the last checkpoint. One that
# ran out of --time is not requeued: `scontrol requeue JOBID` by hand starts it again in that clone.
if [ ! -f "$clone/.dvc/ready" ]; then
    rm -rf "$clone"
    mkdir -p "$(dirname "$clone")"
    git clone -q "$main" "$clone"
    git -C "$clone" checkout -q --detach "${SPG_COMMIT:-HEAD}"
    [ ! -f .dvc/config.local ] || cp .dvc/config.local "$clone/.dvc/"   # e.g. cache.shared
    touch "$clone/.dvc/ready"
fi
cd "$clone"
dvc cache dir --local "$cache"
rm -f .dvc/tmp/rwlock            # left by a killed run; nobody else works in this clone

# Stages import the code of the folder they run in, not the one that is installed.
export PYTHONPATH=.
export SPG_WORKERS=${SPG_WORKERS:-$((${SLURM_CPUS_PER_TASK:-1} - 1))}

# That stage of each cell; what it depends on runs before it, or comes from the cache.
stages=$(dvc stage list --name-only)
wanted=$(grep -E "^${SPG_STAGE:-localize}(_own|_guided|_ablation)?@" <<< "$stages" | grep -E "${SPG_CELLS:-.}" || :)
mapfile -t cells < <(grep . <<< "$wanted")
if [ "${#cells[@]}" -eq 0 ]; then
    echo "no cell of stage '${SPG_STAGE:-localize}' matches '${SPG_CELLS:-.}'" >&2
    exit 1
fi
if [ "${#cells[@]}" -gt "$((${SLURM_ARRAY_TASK_MAX:-$task} + 1))" ]; then
    echo "there are ${#cells[@]} cells: submit with --array=0-$((${#cells[@]} - 1))" >&2
    exit 1
fi
if [ "$task" -lt "${#cells[@]}" ]; then
    echo "task $task of ${#cells[@]}: ${cells[$task]} on $(hostname)"
    dvc repro "${cells[$task]}"
else
    echo "task $task: there are only ${#cells[@]} cells"
fi

# Everything is in the cache now. A task that failed leaves its clone to be looked at.
cd "$main"
rm -rf "$clone"
