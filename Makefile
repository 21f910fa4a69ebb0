# Everything here can be interrupted and run again.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += --jobs=4 --no-print-directory
endif
.DEFAULT_GOAL := help

PYTHON := $(or $(PYTHON),$(shell command -v python3))
VENV := .venv
# RLapp's, in which what it runs with is newer than what Debian 12 gives videoapp.
RLAPP := $(VENV)/rlapp
STATE := $(or $(MEC_STATE),.mec)
# Python compiles what it imports: most of Ansible's collections are never imported here.
PIP := pip install -qq --disable-pip-version-check --no-compile
# Ansible and what it starts look for each other on the path, tests for what testbed/packages unpacked.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH):$(abspath $(STATE))/bin
export PYTHONPATH := $(CURDIR)/apps/ue:$(CURDIR)/benchmarks
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
LOGS := $(STATE)/logs
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mec-relocation
# The environment is kept like all that takes long to make: in the cache, by what it is made from.
REQUIREMENTS := requirements.txt requirements-dev.txt $(wildcard apps/*/requirements*.txt) testbed/helm testbed/helm.txt
ENVIRONMENT := $(CACHE)/environments/$(shell { $(PYTHON) --version; cat $(REQUIREMENTS); } | sha256sum | cut -c 1-12)
# Where instances run: docker or kubernetes; once a testbed is up, as it is.
PLATFORM ?= $(or $(shell cat $(STATE)/platform 2>/dev/null),docker)

REPETITIONS ?= 5
TRACE ?= benchmarks/traces/commute.csv
ROUNDS ?= 10
SWEEP ?= schemes
COUNT ?= 10

UNIT_TESTS := $(filter-out apps/rlapp/tests, \
	$(wildcard collections/ansible_collections/mec/relocation/tests/unit \
	apps/*/tests apps/ue/*/tests benchmarks/*/tests tests/unit))
TESTBED_TESTS := $(wildcard tests/integration tests/browser)

##@ Use
.PHONY: help up demo drive handoffs crowd evaluate replay bench chaos report down clean
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

up: platform ## Bring the testbed up, with the apps in it (PLATFORM=docker or kubernetes)
	@rm -f $(STATE)/up
	@$(MAKE) images venv $(if $(filter kubernetes,$(PLATFORM)),helm)
	@ansible-playbook playbooks/testbed.yml
	@$(RUNNING) >$(STATE)/up

demo: testbed ## Watch a video on the UE while it hands off to the other cell
	@python -m mec_ue.demo

handoffs: testbed ## Hand off 20 times under load, and summarise
	@benchmarks/handoffs.py

crowd: testbed ## Hand off plain HTTP servers under a crowd of clients (COUNT=10 of each)
	@benchmarks/crowd.py --count $(COUNT)

drive: testbed ## Have the UE drive between the cells, and see it in RLapp
	@python -m mec_ue.console

# The selective callback prints nothing but what a reader wants to know.
# The controller gives way to the hosts, which share this machine with it.
SELECTIVE := ANSIBLE_STDOUT_CALLBACK=community.general.selective nice -n 10 ansible-playbook

evaluate: testbed ## Repeat the paper's experiment, and report (REPETITIONS=5)
	@$(SELECTIVE) playbooks/evaluate.yml -e repetitions=$(REPETITIONS)

replay: testbed ## Replay a trace of handoffs with each policy, and report (TRACE=a file)
	@$(SELECTIVE) playbooks/replay.yml -e trace=$(abspath $(TRACE))

bench: testbed ## Compare with other ways to relocate, side by side (ROUNDS=10 SWEEP=schemes)
	@python -m mec_bench --rounds $(ROUNDS) --sweep $(SWEEP)

chaos: testbed ## Hand off with faults in between, and judge each run (COUNT=10 SEED=of one run)
	@python -m mec_chaos --platform $(PLATFORM) --count $(COUNT) $(if $(SEED),--seed $(SEED))

report: venv ## Report a results folder (RUN=its name, default: the newest) with tables and plots
	@python -m mec_report results/$(or $(RUN),latest)

down: ## Take the testbed down; images, keys and results stay
	@rm -f $(STATE)/up
	@if networks=$$(testbed/engine docker network ls --quiet --filter label=mec.relocation.testbed); \
	    [ -n "$$networks" ]; then $(MAKE) teardown; fi
	@testbed/engine stop
	@rm -f $(STATE)/platform

clean: down ## Remove everything that was made here, except results/
	@testbed/engine remove
	@rm -rf $(CACHE)/environments $(CACHE)/kubernetes $(CACHE)/rlapp
	@rmdir --ignore-fail-on-non-empty $(CACHE) 2>/dev/null || true
	@rm -rf $(VENV) $(STATE) .ansible .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './results/*' -prune -exec rm -rf {} +

##@ Check
.PHONY: test test-docker test-kubernetes test-fast lint unit unit-project unit-rlapp
test: ## Run all checks, on testbeds of both platforms that are taken down afterwards
	@mkdir -p $(LOGS); rm -f $(LOGS)/*.log; \
	trap 'code=$$?; $(MAKE) down; grep -hE "[0-9]+ (passed|failed|error)" $(LOGS)/*.log; exit $$code' EXIT; \
	$(MAKE) platform PLATFORM=docker; \
	$(MAKE) test-fast images kubernetes-image PLATFORM=docker; \
	$(MAKE) test-docker; \
	$(MAKE) test-kubernetes

# What is not of one platform alone, and not marked to be run on both, is run on docker.
SCENARIO_docker := default
SCENARIO_kubernetes := kubernetes
TESTS_docker := not kubernetes
TESTS_kubernetes := kubernetes or both
test-docker: ## Run the checks of the testbed that has engines alone
test-kubernetes: ## Run the checks of the testbed as a cluster
test-docker test-kubernetes: test-%: venv-dev
	@mkdir -p $(LOGS); \
	trap 'code=$$?; $(MAKE) down; exit $$code' EXIT; \
	$(MAKE) platform PLATFORM=$*; $(MAKE) images helm PLATFORM=$*; \
	molecule test --scenario-name $(SCENARIO_$*) --destroy=never 2>&1 | tee $(LOGS)/2-$*.log; \
	pytest -m "$(TESTS_$*)" $(TESTBED_TESTS) 2>&1 | tee $(LOGS)/3-$*.log

test-fast: lint unit ## Run what needs no testbed

lint: venv-dev ## Check style and types
	@ruff check --quiet .
	@ruff format --quiet --check .
	@mypy
	@$(RLAPP)/bin/mypy apps/rlapp
	@yamllint --strict .
	@ansible-lint -q

unit: unit-project unit-rlapp ## Run the unit tests

# RLapp's have what it runs with; at the same time as all others, as neither takes two processors.
unit-project: venv-dev helm test-packages
	@pytest --quiet $(UNIT_TESTS) 2>&1 | tee $(LOGS)/1-unit.log

unit-rlapp: venv-dev test-packages
	@$(RLAPP)/bin/pytest --quiet apps/rlapp/tests 2>&1 | tee $(LOGS)/1-rlapp.log

# What the targets above are made of.
.PHONY: test-packages engine platform venv venv-dev helm images machine-image host-image ue-image app-images kubernetes-image testbed \
	teardown
test-packages:
	@testbed/packages tests
	@mkdir -p $(LOGS)

engine:
	@testbed/packages
	@testbed/engine start

# What is whole has a file that says so.
venv: $(ENVIRONMENT)/runtime
	@[ "$$(readlink $(VENV))" = $(ENVIRONMENT) ] || { rm -rf $(VENV); ln -s $(ENVIRONMENT) $(VENV); }
$(ENVIRONMENT)/runtime:
	@echo "venv: installing what the testbed runs with"
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || testbed/packages
	@$(PYTHON) -m venv --clear $(ENVIRONMENT)
	@$(ENVIRONMENT)/bin/$(PIP) --requirement requirements.txt
	@touch $@

venv-dev: $(ENVIRONMENT)/development $(ENVIRONMENT)/rlapp/development
$(ENVIRONMENT)/development: | venv
	@echo "venv: installing what tests and checks run with"
	@$(ENVIRONMENT)/bin/$(PIP) --requirement requirements-dev.txt
	@touch $@

$(ENVIRONMENT)/rlapp/development: | venv
	@echo "venv: installing what RLapp runs and is tested with"
	@$(PYTHON) -m venv --clear $(ENVIRONMENT)/rlapp
	@$(ENVIRONMENT)/rlapp/bin/$(PIP) --requirement apps/rlapp/requirements-dev.txt
	@touch $@

# A testbed of another platform goes first.
platform: venv
	@case $(PLATFORM) in docker|kubernetes) ;; \
	    *) echo "PLATFORM=$(PLATFORM): it is docker or kubernetes" >&2; exit 1;; esac
	@mkdir -p $(STATE); \
	if [ -s $(STATE)/platform ] && [ "$$(cat $(STATE)/platform)" != $(PLATFORM) ]; then \
	    echo "testbed: from $$(cat $(STATE)/platform) to $(PLATFORM)"; $(MAKE) down; fi; \
	echo $(PLATFORM) >$(STATE)/platform

# Helm, where it is needed and none is installed.
helm: $(ENVIRONMENT)/bin/helm
$(ENVIRONMENT)/bin/helm: | venv
	@command -v helm >/dev/null && ln -sf "$$(command -v helm)" $@ || { echo "helm: installing"; \
	    $(ENVIRONMENT)/bin/python testbed/helm $@; }

images: host-image ue-image app-images $(if $(filter kubernetes,$(PLATFORM)),kubernetes-image)
machine-image: engine
	@testbed/image machine >/dev/null
host-image ue-image kubernetes-image: %-image: machine-image
	@testbed/image $* >/dev/null
app-images: machine-image venv
	@ansible-inventory --host localhost | testbed/image apps >/dev/null

# A testbed that is up, and that nothing has changed since, is used as it is.
RUNNING := testbed/engine docker ps --quiet --filter label=mec.relocation.testbed | sort
SOURCES := requirements.txt testbed inventories playbooks roles collections apps
testbed:
	@if [ -s $(STATE)/up ] && [ "$$(cat $(STATE)/platform)" = $(PLATFORM) ] && $(RUNNING) | cmp --silent - $(STATE)/up && \
	    [ -z "$$(find $(SOURCES) -newer $(STATE)/up -type f -not -name '*.pyc' -print -quit)" ]; \
	then echo "testbed: up, and nothing has changed since"; else $(MAKE) up; fi

teardown: venv
	@ansible-playbook playbooks/teardown.yml
