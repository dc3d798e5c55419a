# The commands of the README; meson does the work.
BUILD ?= build

.PHONY: all run check unit bench install uninstall format clean deps

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD)

# Installs what a build needs on Debian 12 or 13 (nothing where it is there already).
deps:
	tests/deps.sh build

run: deps
	$(MAKE) --no-print-directory all
	conf/examples/run.sh $(BUILD)

# Everything: sanitizers, gcc and clang, fuzzers, the checks of the sources, and the real thing in virtual machines.
check:
	tests/deps.sh check
	tests/run.sh

# What takes seconds: the unprivileged tests alone.
unit: all
	meson test -C $(BUILD) --print-errorlogs

bench: all
	meson test -C $(BUILD) --benchmark --verbose

install: all
	meson install -C $(BUILD) --no-rebuild

uninstall:
	ninja -C $(BUILD) uninstall

format:
	git ls-files '*.[ch]' | xargs clang-format -i

clean:
	rm -rf $(BUILD) build-*
