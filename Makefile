# A thin front: meson does the work. `make demo` and `make test` install what is missing (Debian's packages) first.

BUILD ?= build
JOBS  ?= $(shell nproc)

.PHONY: all demo demo-servers test bench install deb docs format clean

all: $(BUILD)/build.ninja
	meson compile -C $(BUILD) -j $(JOBS)

$(BUILD)/build.ninja:
	./packaging/install-deps.sh build
	meson setup $(BUILD) --buildtype=release -Db_ndebug=true -Dtests=disabled

# The main job on the embedded default: four tasks, a chord, the ranking.
demo: all
	./examples/hotwords/demo.sh $(BUILD)

# The same on private RabbitMQ and Redis servers, with the dispatcher.
demo-servers: all
	./packaging/install-deps.sh servers
	./examples/hotwords/demo-servers.sh $(BUILD)

# All tests: under AddressSanitizer and UBSan, the threads under ThreadSanitizer, and both compilers without a warning.
test:
	./packaging/install-deps.sh test
	./tests/tools/run-all.sh

bench: all
	./bench/run.sh $(BUILD)

install: all
	meson install -C $(BUILD)

# Debian packages, into build-deb/packages.
deb:
	./packaging/install-deps.sh build
	test -e build-deb/build.ninja || meson setup build-deb --prefix=/usr --sysconfdir=/etc --buildtype=release -Db_ndebug=true -Dtests=disabled -Detc=true
	meson compile -C build-deb -j $(JOBS)
	./packaging/deb/build.sh build-deb build-deb/packages

docs: all
	./docs/build.sh $(BUILD)

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build build-*
