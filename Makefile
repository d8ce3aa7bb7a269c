# Everything a person needs: `make run` for the experiment, `make test` for the checks. `make help` lists the rest.

PYTHON ?= python3
# One for each Python that is asked for: `make test PYTHON=python3.13` leaves what another Python has.
VENV := .venv$(if $(filter file,$(origin PYTHON)),,-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'))
BIN := $(VENV)/bin
EXPERIMENT ?= experiments/network_partition.yaml
CHAOS := $(BIN)/chaos --no-version-check

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: run
run: $(VENV)/run-ready ## Set up what is missing and run an experiment (EXPERIMENT=experiments/network_partition.yaml)
	$(CHAOS) run $(EXPERIMENT)

.PHONY: test
test: $(VENV)/dev-ready ## Set up what is missing and run every check: lint, types, imports, tests with coverage
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --cov --numprocesses 2 --dist worksteal -m "not e2e or counted"
	$(BIN)/pytest --numprocesses 2 --dist worksteal -m "e2e and not counted"

.PHONY: check
check: $(VENV)/dev-ready ## Run the quick checks: lint, types, imports, tests that start nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q --numprocesses 2 tests/mcp tests/verdict tests/workload tests/history tests/config tests/toolkit tests/report/test_terminal.py tests/report/test_series.py

.PHONY: test-newest
test-newest: ## Run the tests that Chaos Toolkit can break on its newest release, whatever pyproject.toml allows
	$(MAKE) setup VENV=.venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade chaostoolkit chaostoolkit-lib
	.venv-newest/bin/python -m pip list --disable-pip-version-check | grep chaostoolkit
	.venv-newest/bin/pytest tests/toolkit tests/gate tests/test_control.py tests/test_package.py tests/test_pytest_plugin.py \
		tests/e2e/test_seven_cases.py tests/e2e/test_judged_probes.py tests/e2e/test_signals.py

.PHONY: setup
setup: $(VENV)/dev-ready ## Set up the virtual environment with everything for development

.PHONY: validate
validate: $(VENV)/run-ready ## Let Chaos Toolkit validate every experiment
	@for file in experiments/*.yaml experiments/*.json; do $(CHAOS) --no-log-file validate $$file || exit 1; done

.PHONY: bench
bench: $(VENV)/dev-ready ## Measure the load engine beside others and write benchmarks/results.md (half an hour)
	$(BIN)/python benchmarks/bench.py

.PHONY: targets
targets: $(VENV)/dev-ready ## Run the shipped experiments against the servers of docs/targets.md and write it anew (15 minutes)
	$(BIN)/python -m tests.real_servers

.PHONY: docs
docs: $(VENV)/dev-ready ## Write docs/experiments.md, docs/reference.md and the run folder's schemas from the experiments and the code
	$(BIN)/python -m tests.experiments_page
	$(BIN)/python -m tests.reference_page
	$(BIN)/python -m tests.run_folder_schemas

.PHONY: run-folder
run-folder: $(VENV)/dev-ready ## Make a short run and keep its folder as the one that tests read of the current format
	$(BIN)/python -m tests.kept_run

.PHONY: picture
picture: $(VENV)/dev-ready ## Make docs/report.png, the picture of a page, from a run folder (RUN=runs/...)
	$(BIN)/python -m tests.picture $(RUN)

.PHONY: matrix
matrix: $(VENV)/dev-ready ## Run the experiments against planted defects and the sound server, write docs/matrix.md (two hours)
	$(BIN)/python -m tests.matrix

.PHONY: torture
torture: $(VENV)/dev-ready ## Kill and stop everything at random moments, write the table of docs/safety.md (TRIES=210 SEED=1; an hour)
	$(BIN)/python -m tests.torture --tries $(or $(TRIES),210) --seed $(or $(SEED),1) | tee torture.txt
	$(BIN)/python -m tests.torture --table-of torture.txt

.PHONY: fuzz
fuzz: $(VENV)/dev-ready ## Try 10,000 and more inputs of all kinds: sentences, the right exit codes, nothing started (a quarter of an hour)
	FUZZ_TIMES=50 $(BIN)/pytest -q tests/fuzz

.PHONY: lock
lock: $(VENV)/dev-ready ## Pin the versions of all dependencies anew
	for kind in lab dev; do $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes --no-strip-extras \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --no-annotate \
		--extra $$kind --output-file requirements/$$kind.txt pyproject.toml requirements/build.in; done
	for name in mcp-1.30 snowflake-labs-mcp; do $(BIN)/uv pip compile --quiet --python-version 3.11 --upgrade --generate-hashes --no-strip-extras \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --no-annotate \
		--output-file requirements/servers/$$name.txt requirements/servers/$$name.in; done
	cd requirements/servers/node && npm install --package-lock-only --omit-lockfile-registry-resolved --silent

.PHONY: plotly
plotly: ## Take the plotly.js of the pages from npm anew (PLOTLY=version)
	npm pack --silent --pack-destination src/mcp_chaos/report/page plotly.js-cartesian-dist-min@$(or $(PLOTLY),latest)
	cd src/mcp_chaos/report/page && tar -xzf plotly.js-*.tgz && mv package/plotly-cartesian.min.js plotly.min.js \
		&& mv package/LICENSE plotly.LICENSE && rm -r package plotly.js-*.tgz

.PHONY: clean
clean: ## Remove what was set up or made here (runs are kept)
	rm -rf .venv .venv-* build dist .coverage* htmlcov .pytest_cache .mypy_cache .ruff_cache .import_linter_cache src/*.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; say which with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& apt-get update -q && apt-get install -qy python3-venv; } \
		|| { echo "Python's venv module is needed (on Debian: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# --no-build-isolation: the build backend is pinned among the requirements too.
define install
	@echo "Installing requirements/$(1).txt into $(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/$(1).txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/mcp-chaos toxiproxy install
	@touch $@
endef

$(VENV)/run-ready: $(VENV)/bin/python requirements/lab.txt pyproject.toml
	$(call install,lab)

$(VENV)/dev-ready: $(VENV)/bin/python requirements/dev.txt pyproject.toml
	@command -v chromium chromium-browser google-chrome >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& apt-get update -q && apt-get install -qy --no-install-recommends chromium; } \
		|| { echo "Chromium is needed for the tests of reports (on Debian: apt install chromium)" >&2; exit 1; }
	$(call install,dev)
