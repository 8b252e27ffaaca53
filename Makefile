# Front door; meson and ninja do the work. `make help` lists what there is.

BUILD  ?= build
PYTHON ?= /usr/bin/python3

MESON_FLAGS ?=
DEMO_FLAGS  ?=
FUZZ_SECONDS ?= 10

C_FILES = $(shell git ls-files '*.c' '*.h')
NINJA   = ninja -C $(BUILD)

# Steps follow one another; ninja runs in parallel what can.
.NOTPARALLEL:

.PHONY: all
all: setup-build configure ## Set up what is missing, build $(BUILD)/nsp
	@$(NINJA)

.PHONY: demo
demo: setup-build configure ## Build, then shape live traffic between three hosts in namespaces
	@$(NINJA) --quiet nsp
	@$(BUILD)/nsp demo $(DEMO_FLAGS)

.PHONY: check
check: setup-check configure-tests ## Build and run all tests
	@$(NINJA) --quiet
	@$(PYTHON) tools/run-tests.py --build $(BUILD) $(CHECK_FLAGS)

# Filters for each of the random tests: 64 packets each in the first.
LONG_FILTERS     ?= 160000
LONG_PROGRAMS    ?= 40000
LONG_KERNEL_RUNS ?= 1000

# Of each measurement of 'nsp verify'.
LONG_PACKETS     ?= 1000000

.PHONY: check-long
check-long: setup-check configure-tests ## Ten million random matches of filters, all effects and profiles; minutes
	@$(NINJA) --quiet
	NSP_TEST_FILTERS=$(LONG_FILTERS) $(BUILD)/tests/unit/test_filter_random
	NSP_TEST_FILTERS=$(LONG_PROGRAMS) $(BUILD)/tests/unit/test_cbpf
	NSP_TEST_FILTERS=$(LONG_KERNEL_RUNS) $(BUILD)/tests/functional/test_bpf_kernel
	$(PYTHON) tests/repo/verify-effects.py --profiles --packets $(LONG_PACKETS) \
	    $(BUILD)/nsp docs/man/nsp-effects.7.scd

.PHONY: bench
bench: setup-bench configure-bench ## Measure, beside a peer in the same run
	@$(NINJA) --quiet
	@$(PYTHON) bench/run.py --build $(BUILD) $(BENCH_FLAGS)

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZ_SECONDS with libFuzzer (clang)
	@tools/setup.sh build ci
	@tools/run-fuzz.sh $(BUILD)-fuzz $(FUZZ_SECONDS)

.PHONY: pictures
pictures: setup-build configure ## Draw docs/pictures anew, one of each effect
	@$(NINJA) --quiet nsp
	@$(PYTHON) docs/pictures/draw.py $(BUILD)/nsp docs/pictures

.PHONY: install
install: configure ## Install to PREFIX given to meson; DESTDIR is honoured
	@$(NINJA) --quiet
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --quiet

.PHONY: format
format: ## Lay out the source as .clang-format says
	@clang-format-14 -i $(C_FILES)

.PHONY: lint
lint: configure ## Layout, layers, sizes, clang-tidy, cppcheck
	@tools/setup.sh build check ci
	@tools/lint.sh $(BUILD)

.PHONY: clean
clean: ## Remove the build directory
	@rm -rf $(BUILD)

.PHONY: help
help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | \
	    sed 's|$$(BUILD)|$(BUILD)|' | expand -t 18

# --- What the above need --------------------------------------------------

.PHONY: setup-build setup-check setup-bench
setup-build:
	@tools/setup.sh build
setup-check:
	@tools/setup.sh build check
setup-bench:
	@tools/setup.sh build check bench

# Before anything is set up, so that no half-made directory is left.
.PHONY: writable
writable:
	@mkdir -p $(BUILD) 2>/dev/null && test -w $(BUILD) && \
	    { test ! -e $(BUILD)/build.ninja || test -w $(BUILD)/build.ninja; } || \
	    { echo "make: $(BUILD) cannot be written by $$(id -un):" \
	           "choose another place with BUILD=DIR" >&2; exit 1; }

.PHONY: configure
configure: writable
	@test -e $(BUILD)/build.ninja || \
	    { meson setup $(MESON_FLAGS) $(BUILD) >$(BUILD)/setup.log 2>&1 || \
	      { cat $(BUILD)/setup.log >&2; exit 1; }; }

# Tests are built where cmocka is found; here they are required.
.PHONY: configure-tests
configure-tests: configure
	@grep -q '"name": "tests", "value": "enabled"' \
	    $(BUILD)/meson-info/intro-buildoptions.json || \
	    meson configure -Dtests=enabled $(BUILD)

# A build made before the peers were installed has no benches beside them.
.PHONY: configure-bench
configure-bench: configure
	@grep -q '"name": "libdpdk"' $(BUILD)/meson-info/intro-dependencies.json || \
	    meson setup --reconfigure $(BUILD) >/dev/null
