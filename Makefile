# Two commands matter: `make run` compares on this machine, `make test` checks this checkout. Both make .venv first.
PYTHON ?= python3
BIN := .venv/bin
# Of `make gpu`. It makes no .venv, because that would download PyTorch, and uses the one that may be there.
DEVICE ?= auto
DEADLINE ?= 600
OUT ?= results/reference-gpu
DATA ?=

.DEFAULT_GOAL := help
.PHONY: help run report test slow torture cluster check bench docs gpu

help: ## Show these targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@

run: .venv/ready ## Run the quick suite (five architectures x three seeds) and report on it
	$(BIN)/intelbench run --all || test $$? -eq 1 # failed runs stand in the report
	$(MAKE) report

report: .venv/ready ## Write results/REPORT.md with its figures, and results/report.html, from results/runs/
	$(BIN)/intelbench report > results/REPORT.md
	$(BIN)/intelbench report --out results/report.html

test: check ## Lint, type-check, and run every test but the slow ones
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist worksteal

slow: .venv/ready ## Run the slow tests: whether the statistics are as sure as they say
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow --numprocesses auto

torture: .venv/ready ## Kill commands and fill the disk at every moment there is
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/torture -m "torture or not torture" --numprocesses auto

cluster: .venv/ready ## Run studies on a real Slurm and on Ray, with lost nodes, in 15 minutes at most
	$(BIN)/pip install --quiet --editable ".[ray]"
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/cluster -m "cluster and not moments" --numprocesses 2 --dist loadgroup

check: .venv/ready ## Lint and type-check alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/ready ## Compare speed with references, in 12 minutes at most; fail where it is surely beyond a limit
	$(BIN)/pytest bench --benchmark-enable

docs: .venv/ready ## Build the documentation into site/
	$(BIN)/zensical build --strict --clean

gpu: ## Measure on a CUDA GPU for DEADLINE seconds (600), into OUT (results/reference-gpu)
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m bench.gpu --device $(DEVICE) --deadline $(DEADLINE) --out $(OUT) $(if $(DATA),--data "$(DATA)")
