# Everything that a person types. `make up` and `make test` need only Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FOREIGN := .venv-foreign
MODEL ?= report_scorer

.PHONY: up test test-long check docs audit fmt train requirements images test-compose test-faults test-foreign dist soak bench bench-peers clean help
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 22

up: $(VENV)/local ## run everything on this machine: http://127.0.0.1:8081 (ENGINE=pool: no Redis, no workers)
	@exec $(BIN)/millrace up

test: $(VENV)/dev ## the tests, on real Postgres, Redis and workers; with ARGS, what they choose of the long ones too
	@# Both halves run, whatever becomes of the first; 5 is pytest's word that ARGS has chosen nothing in one of them.
	@$(BIN)/pytest -n 3 --dist loadfile -m "not alone$(if $(ARGS),, and not long)" $(ARGS); beside=$$?; \
	$(BIN)/pytest -m alone $(ARGS); alone=$$?; \
	case $$beside,$$alone in 0,0 | 0,5 | 5,0) ;; *) exit 1 ;; esac

# What pages install is there before: two tests that install at once would be in each other's way.
test-long: $(VENV)/dev $(VENV)/local $(VENV)/train ## the long tests: platforms of their own, your own models, every page typed
	$(BIN)/pytest -n 3 --dist loadfile -m long

check: $(VENV)/dev ## format, lint, types, import floors, Dockerfile, workflows, schema
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --quiet --offline .github/workflows
	$(BIN)/python -m tests.schema_check

docs: $(VENV)/dev $(VENV)/docs ## the documentation as a site in build/site, its reference from the code; a dead link fails
	$(BIN)/python -m docs.generate
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -c docs . build/site

fmt: $(VENV)/dev ## format and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

train: $(VENV)/dev ## train a model anew (MODEL=report_scorer)
	$(BIN)/python -m models.$(MODEL).train $(ARGS)

test-compose: $(VENV)/dev ## bring docker-compose.yml up and use it (needs a Docker engine)
	$(BIN)/pytest -m compose --timeout 900 tests/e2e $(ARGS)

# What was installed, without asking anybody: CycloneDX. And what is known against it, which needs the network.
audit: $(VENV)/dev ## a bill of materials for each image in sbom/, and known vulnerabilities
	@$(BIN)/python -m tests.audit $(IMAGES)

IMAGES := handler migrate rescue export flower pool worker worker-xgboost worker-onnx worker-ctranslate2 worker-lightgbm worker-catboost code-model
TAG ?= latest
images: ## build every image as millrace-<target>:TAG
	@for target in $(IMAGES); do \
		docker build --target $$target --tag millrace-$$target:$(TAG) \
			--label org.opencontainers.image.version=$(TAG) \
			--label org.opencontainers.image.revision=$$(git rev-parse HEAD 2>/dev/null) . || exit 1; done

# The same commit gives the same wheel. TAG, when given, must be the version of server and client.
dist: $(VENV)/dev ## the client's wheel and source archive in dist/ (TAG=v0.1.0)
	@$(BIN)/python -m tests.release_tag "$(TAG)"
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/uv build --quiet --no-build-isolation --clear --out-dir dist client

test-faults: $(VENV)/dev ## the long fault suite: FAULT_SEED, FAULT_SECONDS
	$(BIN)/pytest -s -m faults --timeout 3600 tests/faults $(ARGS)

test-foreign: $(VENV)/dev ## other people's clients, generators and servers, as far as they can be installed
	@$(MAKE) --no-print-directory $(FOREIGN)/npm \
		|| echo "The clients and generators cannot be installed here, so the tests that need them skip." >&2
	$(BIN)/pytest -m foreign tests/foreign $(ARGS)

soak: $(VENV)/dev ## 26 minutes of load, and whether a program's memory grows: SOAK_SECONDS, SOAK_RATE
	@$(BIN)/python -m tests.soak

PROGRAMS := handler migrate rescue pool worker worker-xgboost worker-onnx worker-ctranslate2 worker-lightgbm worker-catboost \
	worker-ctranslate2-gpu buckets flower client export train local bench convert docs
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --quiet --no-emit-index-url \
	--no-emit-find-links --no-header $(ARGS)
requirements: $(VENV)/dev ## compile requirements/*.in with hashes
	cd requirements && ../$(BIN)/$(COMPILE) dev.in -o dev.txt
	cd requirements && for program in $(PROGRAMS); do \
		../$(BIN)/$(COMPILE) -c dev.txt $$program.in -o $$program.txt || exit 1; done
	cd requirements && ../$(BIN)/$(COMPILE) foreign.in -o foreign.txt

bench: $(VENV)/bench ## Millrace beside the plain design: how many times better, in under 10 minutes
	@$(BIN)/millrace bench yardstick $(ARGS)

bench-peers: $(VENV)/bench ## the same beside BentoML tasks, which get an environment of their own
	@$(BIN)/millrace bench peers $(ARGS)

clean: ## remove the virtual environments; data in .millrace stays
	rm -rf $(VENV) $(FOREIGN)

# A stamp a requirements file: installed once, and again when the file changes.
$(VENV)/%: requirements/%.txt pyproject.toml | $(BIN)/python
	@echo "Installing requirements/$*.txt …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@# One by one: an older Millrace, when it goes, takes the script `millrace` along, which is the client's now.
	@for one in . ./client; do \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable $$one || exit 1; done
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Millrace needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)

# In an environment of its own: what is tested there pins versions of what the platform is made of.
$(FOREIGN)/pip: requirements/foreign.txt
	@echo "Installing requirements/foreign.txt …"
	@$(PYTHON) -m venv $(FOREIGN)
	@$(FOREIGN)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(FOREIGN)/npm: tests/foreign/package-lock.json $(FOREIGN)/pip
	@echo "Installing tests/foreign/package-lock.json …"
	@cd tests/foreign && PATH="$(CURDIR)/$(FOREIGN)/bin:$$PATH" npm ci --silent
	@touch $@
