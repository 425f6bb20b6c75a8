# Short names for what the scripts and CMake do.
PREFIX ?= /usr/local

all:
	scripts/setup.sh
	scripts/build.sh

test:
	scripts/test.sh

demo:
	scripts/demo.sh

install: all
	cmake --install build --prefix $(DESTDIR)$(PREFIX)

style:
	scripts/check_style.sh

clean:
	rm -rf build build-*

.PHONY: all test demo install style clean
