# Every target works alone on a fresh Linux with Python 3.10 to 3.13, its venv, and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
.DEFAULT_GOAL := help
.PHONY: help setup repro stem grid imagenette wsolevaluation effects telling test test-slow smoke quality bench readme clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# PyTorch's own builds of the locked version: cpu, or for another CUDA than PyPI's, such as cu126.
TORCH_INDEX ?= https://download.pytorch.org/whl

setup: $(VENV)/.ready  ## Make .venv and install the locked versions; TORCH=cpu: without CUDA

$(VENV)/.ready: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13) and "spg needs Python 3.10 to 3.13; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock \
	    $(if $(TORCH),--extra-index-url $(TORCH_INDEX)/$(TORCH)) -e '.[dev]'
	touch $@

repro: setup  ## Rebuild every result of the default data set; JOBS=N cells at once
	spg repro $(if $(JOBS),--jobs $(JOBS))

stem: setup  ## Make the drawn stem weights of stems/ anew, if anything they come from changed
	dvc repro stems/dvc.yaml

GRID := spg_plain cam has acol adl cutmix spg no_cascade unshared_b no_c
DATASET ?= cub

grid: setup  ## Run every method, kind of map and backbone on the default data, as two experiments; edits params.yaml
	dvc exp run --name grid -S 'methods=[spg_plain,cam,has,acol,adl,cutmix]' -S 'seeds=[0,1,2]' \
	    $(foreach method,$(GRID),-S 'localization.extractors.$(method)=[cam,grad_cam,backprop]')
	dvc exp run --name backbones -S 'backbones=[vgg16,resnet50]' -S 'methods=[cam]' -S 'guided=[]' \
	    -S 'ablations=[]' -S 'seeds=[0,1,2]' -S 'localization.extractors.cam=[cam,grad_cam]'

imagenette: setup  ## Run every method on Imagenette's photographs, JOBS=N cells at once; edits params.yaml
	dvc exp run -S dataset=imagenette -S 'backbones=[efficientnet_lite0]' -S execution.portable=false \
	    -S 'methods=[spg_plain,cam,has,acol,adl,cutmix]' -S 'seeds=[0,1,2,3,4,5]' \
	    -S 'external_classifier=[efficientnet_lite0]' -S localization.batch_size=32 prepare weights
	spg repro $(if $(JOBS),--jobs $(JOBS))

wsolevaluation: setup  ## Run wsolevaluation's table on DATASET: cub, ilsvrc or openimages30k (GPUs), JOBS=N cells at once; edits params.yaml
	dvc exp run -S protocol=wsolevaluation -S dataset=$(DATASET) \
	    -S datasets.$(DATASET).recipe=wsolevaluation -S 'backbones=[vgg16,inception_v3,resnet50]' \
	    -S 'methods=[cam,has,acol,adl,cutmix]' -S 'guided=[spg]' -S 'ablations=[]' -S 'seeds=[0,1,2]' \
	    -S '++datasets.$(DATASET).extractors.cam=[cam,center]' prepare weights
	spg repro $(if $(JOBS),--jobs $(JOBS))

effects: setup  ## Measure what each disputed choice and normalization changes, into PROTOCOL.md (two hours on two cores, after `make repro`)
	dvc repro effects/dvc.yaml
	python -m spg.tools.protocol_page

telling: setup  ## Compare SPG with SPG-plain where other parts tell the species (20 to 40 minutes on two cores, after `make repro`)
	dvc repro telling/dvc.yaml

test: setup  ## Run the tests, on all cores (a quarter of an hour on two)
	pytest -q -n auto

test-slow: setup  ## Run what `make test` leaves out: more kills, more processes, simulations (20 minutes on two cores)
	pytest -q -n auto -m slow

smoke: setup  ## Run every stage on tiny sizes, in a folder of its own
	python tests/smoke.py

quality: setup  ## Lint, format check and types
	ruff check .
	ruff format --check .
	mypy

bench: setup  ## Time training, localization, the evaluator and loading, into benchmarks/results.md
	python benchmarks/results.py

readme: setup  ## Copy the results table into README.md
	python -m spg.tools.readme

clean:  ## Remove what the pipeline made, but neither .venv nor DVC's cache
	rm -rf data weights runs maps sweep eval .scratch
