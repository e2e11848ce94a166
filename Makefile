# Everything bootstraps itself into .venv; Python 3.11+ is all that must be there.
.DEFAULT_GOAL := help
.PHONY: help demo test check lint k8s-check k8s-live k8s-tools image-check test-kafka rollout chaos bench bench-peers lock screenshots panels dashboards manifests docs clean

PY := .venv/bin/python
# Tests that share nothing run on every core; of those with a database and a broker, which wait more than they work, two at a time.
SIDE_BY_SIDE := -n auto --dist loadfile
TWO_AT_A_TIME := -n 2 --dist loadfile
READY := .venv/.ready

help:  ## list these targets
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:[^#]*##/\t/' | expand -t 14

$(READY): requirements.lock pyproject.toml scripts/bootstrap.sh
	@sh scripts/bootstrap.sh

demo: $(READY)  ## play a day of the business end to end (MODELS=offline|wire|real BROKER=apache REPLICAS=closer=2 KEEP=1)
	@$(PY) -m viox demo $(if $(MODELS),--models $(MODELS)) $(if $(BROKER),--broker $(BROKER)) \
	$(if $(REPLICAS),--replicas $(REPLICAS)) $(if $(KEEP),--keep)

test: $(READY)  ## all tests that need no Java
	@$(PY) -m pytest $(SIDE_BY_SIDE) tests/unit tests/contract
	@$(PY) -m pytest $(TWO_AT_A_TIME) tests/integration
	@$(PY) -m pytest tests/journeys

check: lint  ## format, lint, types, import rules, generated files, unit tests
	@$(PY) -m pytest $(SIDE_BY_SIDE) tests/unit

lint: $(READY)  ## check without the unit tests
	@.venv/bin/ruff format --check -q . && .venv/bin/ruff check -q .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PY) -m viox.docs --check
	@$(PY) deploy/monitoring/dashboards.py --check
	@$(PY) -m viox.deploy --check

k8s-check: $(READY)  ## manifests against the schemas of their kinds and our own rules (ARGS=--rules-only without schemas)
	@$(PY) -m tests.k8s.check $(ARGS)

k8s-live: $(READY)  ## apply the manifests to a real API server: start, rollouts, drains, rights, policies (needs k8s-tools)
	@$(PY) -m tests.k8s.live $(ARGS)

k8s-tools: $(READY)  ## build the programs that check manifests, once (needs Go 1.26, Java 21 and Maven for what k8s-check fetches)
	@$(PY) -m tests.k8s.tools $(TOOLS)

image-check: $(READY)  ## carry out the image's steps in a folder and start every service of it as its user (needs root)
	@$(PY) -m tests.k8s.image

test-kafka: $(READY)  ## integration tests and a short chaos pass on Apache Kafka (needs Java 17 and Maven)
	@$(PY) -c "from sandbox.broker import resolve; resolve()"
	@VIOX_TEST_BROKER=apache $(PY) -m pytest tests/integration tests/journeys
	@$(PY) -m tests.chaos.sweep --broker apache --kills 6 --runs 60
	@$(PY) -m tests.chaos.crowd --broker apache --replicas 2 --conversations 100 --long 2

rollout: $(READY)  ## upgrade from the version before, scale out and in under load, on Apache Kafka (needs Java 17, Maven, git's history)
	@$(PY) -m tests.chaos.rollout

chaos: $(READY)  ## SIGKILL sweep over every named moment while vendors fail; 300 conversations at once; 200 kills at refunds
	@$(PY) -m tests.chaos.sweep
	@$(PY) -m tests.chaos.crowd
	@$(PY) -m tests.chaos.refunds

bench: $(READY)  ## measure latency, throughput, bytes and memory (ARGS=--peers, ARGS=--help)
	@$(PY) -m benchmarks.bench $(ARGS)

bench-peers: $(READY)  ## the same, then next to calfkit and LangGraph on the same broker (fetches them once)
	@$(PY) -m benchmarks.bench --peers $(ARGS)

lock:  ## resolve dependencies anew into requirements.lock
	@.venv/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --extra dev --extra embedded pyproject.toml -o requirements.lock
	@.venv/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header -c requirements.lock pyproject.toml -o deploy/image/requirements.lock
	@.venv/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 benchmarks/peers/requirements.in -o benchmarks/peers/requirements.lock

screenshots: $(READY)  ## take the documentation's pictures of the console anew, after `make demo KEEP=1` (needs Chromium)
	@$(PY) -m scripts.screenshots --docs docs/pictures

panels: $(READY)  ## draw every panel of the dashboards from a Prometheus at 127.0.0.1:9090 into panels/
	@$(PY) -m scripts.panels

dashboards: $(READY)  ## write the Grafana dashboards anew
	@$(PY) deploy/monitoring/dashboards.py

manifests: $(READY)  ## write the Kubernetes manifests and the files for Docker Compose anew
	@$(PY) -m viox.deploy

docs: $(READY)  ## regenerate reference pages, AsyncAPI and JSON Schemas
	@$(PY) -m viox.docs

clean:  ## remove what bootstrapping installed
	rm -rf .venv .venv-peers
