# Every command a developer needs. `make demo` and `make test` are the README's first lines; both set the machine up.
PACKAGES = libopenmpi-dev openmpi-bin libpcre2-dev pkg-config
# What the tests of schedulers and other hosts need besides; without these packages they are skipped.
EXTRAS =
# One set of flags for every debug build, so that no target compiles again what another has built. Warnings
# are errors; SwiftPM takes -Werror for Swift's flag of that name, so clang gets its other spelling.
SWIFT_FLAGS = -Xcc -O2 -Xcc -Wall -Xcc -Wextra -Xcc --warn-error -Xswiftc -warnings-as-errors \
    --explicit-target-dependency-import-check error
# The version is fixed because each one formats differently.
CLANG_FORMAT = clang-format-14
C_SOURCES = find Sources Tests -name '*.[ch]' -o -name '*.inc'
SUDO := $(shell [ "$$(id -u)" -eq 0 ] || echo sudo)

.PHONY: all build-tests release demo test test-quick test-mutants test-ranks test-hosts test-slurm test-mpis soak \
    findings test-arm golden bench format lint check setup clean

all: setup
	swift build $(SWIFT_FLAGS)

build-tests: setup
	swift build --build-tests $(SWIFT_FLAGS)

release: setup
	swift build -c release --explicit-target-dependency-import-check error

# A story from the embedded model, on two ranks.
demo: release
	Launch/local.sh 2 .build/release/generate --model Models/tale-23m --prompt "Once upon a time" \
	    --max-tokens 200 --temperature 0.8 --top-k 40 --seed 3

# Everything, ranks included.
test: build-tests
	swift test --skip-build $(SWIFT_FLAGS)
	Launch/test-ranks.sh

# What needs no mpirun and no process of its own: under a minute.
QUICK = --skip CommandTests --skip RankTests --skip GoldenTests
test-quick: build-tests
	swift test --skip-build $(SWIFT_FLAGS) $(QUICK)

# Breaks chosen lines one at a time and shows that test-quick notices each: about an hour and a half. For some of them,
# call Tests/Mutants/run.py with words of their names.
test-mutants: setup
	Tests/Mutants/run.py

test-ranks: build-tests
	Launch/test-ranks.sh

# Several hosts, as network namespaces of this machine, also by ssh: needs root.
test-hosts: EXTRAS = iproute2 openssh-server
test-hosts: build-tests
	Launch/test-hosts.sh

# Jobs of a real Slurm with two nodes, which are network namespaces of this machine: needs root.
test-slurm: EXTRAS = iproute2 slurm-wlm munge
test-slurm: all
	Launch/test-slurm.sh

# Other MPI libraries than Debian's Open MPI, which are downloaded into .build/mpis.
test-mpis: EXTRAS = python3-venv
test-mpis: setup
	SWIFT_FLAGS="$(SWIFT_FLAGS)" Launch/test-mpis.sh

# A million random calls, and a hundred ranks stopped or killed at random moments: half an hour.
soak: release
	Launch/soak.sh

# What every fault that was once found does now, then a hundred losses of ranks: half an hour. See Tests/Findings for more.
findings: release
	Tests/Findings/run.sh
	PRODUCTS=$(CURDIR)/.build/release Tests/Findings/losses.sh

# Every golden checkpoint at every plan: those of the project's shared collection where it lies beside the repository, with
# a line for each that the runtime does not compute; elsewhere those of Tests/Golden.
GOLDEN = $(wildcard $(abspath ../shared/golden))
golden: build-tests
	$(if $(GOLDEN),TRIREME_GOLDEN=$(GOLDEN)) swift test --skip-build $(SWIFT_FLAGS) --filter 'Golden(Model)?Tests'

# The kernels for 64-bit Arm against the scalar ones, under qemu-user.
test-arm: PACKAGES += qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross
test-arm: setup
	Launch/test-arm.sh

# Decode and prefill against this machine's limits; figures also go to bench.jsonl. See Launch/bench.sh for less.
bench: release
	Launch/bench.sh

format: PACKAGES += $(CLANG_FORMAT)
format: setup
	swift format --in-place --recursive Sources Tests Package.swift
	$(CLANG_FORMAT) -i $$($(C_SOURCES))

# What `make format` would change is an error.
lint: PACKAGES += $(CLANG_FORMAT)
lint: setup
	swift format lint --strict --recursive Sources Tests Package.swift
	$(CLANG_FORMAT) --dry-run --Werror $$($(C_SOURCES))

# What must pass before a push: exactly what continuous integration runs.
check:
	.ci/run

# Compilers and libraries: says what it installs, and does nothing when all is there.
setup:
	@command -v swift >/dev/null || { echo "Swift 6 is needed: get it from https://www.swift.org/install/linux/ and put its bin folder on the PATH." >&2; exit 1; }
	@$(call install,$(PACKAGES))
	@$(call install,$(EXTRAS)) || echo "Not installed: tests that need these packages are skipped"

install = missing=""; for p in $(1); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "Installing$$missing"; $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends $$missing; fi

clean:
	swift package clean
