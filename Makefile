PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# tests mostly wait for servers, so use twice the cores of a small machine
JOBS ?= 4
PYTEST = $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadscope --no-loadscope-reorder
# each process of the tests would compile every module again
unexport PYTHONDONTWRITEBYTECODE
OPERATOR := deploy/kubernetes/components/prometheus-operator

.DEFAULT_GOAL := help
.PHONY: brand lock help demo test unit test-under-load lowest fuzz compare losses faults audit check fmt lint type docs site pictures bench soak healthy clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .make/demo ## Run the exporter on an embedded Valkey with live BullMQ traffic
	$(BIN)/bullmq-exporter demo $(ARGS)

test: .make/dev ## Run the tests (ARGS="-k name" selects, JOBS=0 uses one process)
	$(PYTEST) $(ARGS)

unit: .make/dev ## Run only the unit and integration tests
	$(PYTEST) tests/unit tests/integration $(ARGS)

test-under-load: .make/dev ## Run the tests under CPU and disk load (RUNS=5)
	bash .ci/under-load $(or $(RUNS),5)

fuzz: .make/dev ## Fuzz every parser with 200,000 inputs (FUZZ_INPUTS=n, ARGS="-k name" selects)
	FUZZ_INPUTS=$(or $(FUZZ_INPUTS),200000) $(BIN)/python -m pytest -q --numprocesses $(JOBS) \
	  --dist load tests/fuzz $(ARGS)

compare: .make/dev ## Compare a long-lived poller with new ones after random changes (SEEDS=1000)
	SEEDS=$(or $(SEEDS),1000) $(BIN)/python -m pytest -q --numprocesses $(JOBS) --dist load \
	  -k new_exporter_shows tests/integration $(ARGS)

losses: .make/dev ## Look for lost jobs in random operations of BullMQ (OPERATIONS=10000, SEEDS=1)
	OPERATIONS=$(or $(OPERATIONS),10000) SEEDS=$(or $(SEEDS),1) $(BIN)/python -m pytest -q \
	  --numprocesses $(JOBS) --dist load tests/e2e/test_lost_jobs.py $(ARGS)

faults: .make/dev ## Inject every fault and print what was measured
	FAULT_REPORT=1 $(PYTEST) -q tests/faults $(ARGS)

lowest: .make/dev ## Run unit and integration tests with the lowest allowed versions
	$(BIN)/uv pip compile --quiet --no-header --resolution lowest-direct --python $(PYTHON) \
	  --extra fast --output-file .make/lowest.txt pyproject.toml
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) .make/lowest
	# newer versions of check-jsonschema need a newer click than they declare
	$(BIN)/uv pip install --quiet --python .make/lowest/bin/python \
	  --requirement .make/lowest.txt --editable '.[dev]' 'check-jsonschema<0.34'
	.make/lowest/bin/python -m pytest --numprocesses $(JOBS) --dist loadscope tests/unit tests/integration

audit: .make/dev ## Check installed packages for known vulnerabilities (ARGS=--required fails offline)
	$(BIN)/python .ci/audit.py $(ARGS)

check: fmt-check lint type docs-check audit test ## Run everything that CI requires

fmt: .make/dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: fmt-check docs-check
fmt-check: .make/dev
	$(BIN)/ruff format --check .

lint: .make/dev ## Lint the code
	$(BIN)/ruff check .

type: .make/dev ## Check the types
	$(BIN)/mypy

docs: .make/dev ## Generate documentation, dashboards and alert rules
	$(BIN)/python -m exporter.config > docs/configuration.md
	$(BIN)/python -m docs.metrics_page > docs/metrics.md
	$(BIN)/python -m exporter.cli > docs/cli.md
	$(BIN)/python -m docs.generated
	$(BIN)/python -m grafana
	$(BIN)/bullmq-exporter rules > prometheus/bullmq.rules.yml
	$(BIN)/bullmq-exporter rules --format prometheusrule > $(OPERATOR)/prometheusrule.yaml
	$(BIN)/python -m docs.chart

docs-check: .make/dev
	@for page in cli:exporter.cli configuration:exporter.config metrics:docs.metrics_page; do \
	  $(BIN)/python -m $${page#*:} | diff -u docs/$${page%:*}.md - || \
	  { echo "docs/$${page%:*}.md is out of date: run make docs" >&2; exit 1; }; \
	done

site: .make/dev ## Build the documentation site in build/site (needs the Node libraries)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

pictures: .make/dev ## Regenerate the screenshots of the status page (needs chromium)
	$(BIN)/python -m tests.support.pictures

bench: .make/dev ## Measure the cost of a poll and of a scrape (needs redis-server)
	$(BIN)/python -m benchmarks $(ARGS)

soak: .make/dev ## Run an hour of traffic with random faults (ARGS="--minutes 5")
	$(BIN)/python -m tests.soak $(ARGS)

healthy: .make/dev ## Watch an hour of healthy traffic with restricted users (ARGS="--minutes 5")
	$(BIN)/python -m tests.soak.healthy $(ARGS)

lock: .make/dev ## Pin what the image and a release install (ARGS=--upgrade takes the newest)
	$(BIN)/python .ci/lock.py $(ARGS)
	npm install --prefix tests/e2e/node --package-lock-only

brand: ## Set the owner of the repository in every address (OWNER=acme)
	@$(PYTHON) .ci/brand.py $(OWNER)

clean: ## Remove everything that make created
	rm -rf $(VENV) .make build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is required; select one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

.make/demo: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[demo,fast]'
	@mkdir -p .make && touch $@

# uv takes a fifth of pip's time, but does not read pip's configuration; where it fails, pip follows
.make/dev: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[dev]' || \
	  $(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@mkdir -p .make && touch $@ .make/demo
