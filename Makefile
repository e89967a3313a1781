# Thin front of CMake: `cmake --list-presets` shows what lies behind it.
JOBS ?= $(shell nproc)
prefix ?= /usr/local
IMPL ?= build/tests/own-ipc
.PHONY: all demo check lint fuzz tsan valgrind coverage bench asan clang soak conformance format install clean needs-build needs-test

all: needs-build
	cmake --preset default >/dev/null
	cmake --build build -j$(JOBS)
demo: all
	scripts/needs demo
	scripts/demo
check: needs-test
	cmake --preset check >/dev/null
	cmake --build build -j$(JOBS)
	ctest --test-dir build --output-on-failure -j$(JOBS)
# Any bytes into whatever reads bytes, SECONDS_EACH for each target.
fuzz: needs-test
	scripts/fuzz $(or $(SECONDS_EACH),60)
# Threads as processes over one mapping: a race has an address.
tsan: needs-test
	cmake --preset tsan >/dev/null
	cmake --build build-tsan -j$(JOBS) --target test_race without-sysv
	build-tsan/tests/without-sysv build-tsan/tests/test_race 20
valgrind: needs-test
	scripts/valgrind
coverage: needs-test
	JOBS=$(JOBS) scripts/coverage
# Without the tests that start foreign programs: those load no sanitizer.
asan clang: needs-test
	cmake --preset $@ >/dev/null
	cmake --build build-$@ -j$(JOBS)
	ctest --test-dir build-$@ --output-on-failure -j$(JOBS) -L '^(unit|conformance|mapping|posix)$$'
lint: needs-test
	scripts/lint
bench: needs-test
	cmake --preset check >/dev/null
	cmake --build build -j$(JOBS)
	build/ushm-bench
	build/ushm-bench-recovery
	build/ushm-bench-mapping
	bench/filemap
# The suite on another implementation: doc/conformance.md
conformance: needs-test
	cmake --preset check >/dev/null
	cmake --build build -j$(JOBS) --target conformance-plain own-ipc without-sysv
	$(IMPL) build/tests/conformance-plain $(CASES)
soak: check
	scripts/soak
format:
	find include src tests bench -name '*.[ch]' | xargs clang-format -i
install: all
	cmake -DCMAKE_INSTALL_PREFIX=$(prefix) build >/dev/null
	DESTDIR=$(DESTDIR) cmake --install build
needs-build:
	@scripts/needs build
needs-test:
	@scripts/needs test
clean:
	rm -rf build build-*
