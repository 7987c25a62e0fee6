# kist: one non-recursive Makefile. V=1 shows full commands. One object directory per variant.
VERSION := 0.1.0

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DESTDIR ?=
CROSS_COMPILE ?=
ifeq ($(origin CC),default)
CC := $(CROSS_COMPILE)gcc
endif
AR := $(CROSS_COMPILE)ar
NM := $(CROSS_COMPILE)nm
OBJCOPY := $(CROSS_COMPILE)objcopy
STRIP := $(CROSS_COMPILE)strip
PKG_CONFIG ?= $(CROSS_COMPILE)pkg-config
# The static file is for small devices: what it does is system calls and libraries, and size is what it has to spare.
comma := ,
# What the sanitizers add is not made faster by -O2, and the compilation is slower.
CFLAGS ?= $(if $(filter static,$(variant)),-Os,$(if $(filter asan,$(variant)),-O1,-O2)) -g
WERROR ?=

# Folder lists: <folder>-sources. Explicit, so that a stray file is never built.
folders := core/base ns cgroup net overlay hooks core cli
include $(foreach f,$(folders),$(f)/sources.mk)
# The marks around cli/ stand first and last: see cli/tables.h.
sources := $(foreach f,$(filter-out cli,$(folders)),$($(f)-sources)) \
	cli/tables_first.c $(cli-sources) cli/tables.c cli/tables_last.c
# libcurl, for registries: not in the static build, since it does not link that way. CURL=no leaves it out, CURL=yes insists.
CURL ?= $(shell $(PKG_CONFIG) --exists libcurl 2>/dev/null && echo yes)
curl := $(if $(filter static,$(VARIANT)),,$(filter yes,$(CURL)))
sources += $(if $(curl),$(core-registry-sources))

packages := libseccomp libcap json-c zlib libzstd nettle
warnings := -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wformat=2 -Wno-missing-field-initializers $(if $(WERROR),-Werror)
hardening := -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fPIE
common := -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DKIST_VERSION='"$(VERSION)"' -I. $(warnings)

# --- variants: build/ (shared libraries), build/static/, build/asan/, build/fuzz/ -----------------------------------
variant := $(or $(filter static asan fuzz,$(VARIANT)),dynamic)
out := $(if $(filter dynamic,$(variant)),build,build/$(variant))
obj := $(out)/obj

# pkg-config runs only when something is compiled.
no_packages = libraries are missing: run 'make deps' as root, or install: $(packages)
pkg_config = $(or $(shell $(PKG_CONFIG) $(1) $(packages)),$(error $(no_packages)))
pkg_cflags = $(eval pkg_cflags := $$(call pkg_config,--cflags))$(pkg_cflags)
pkg_libs = $(eval pkg_libs := $$(call pkg_config,$$(if $$(filter static,$(variant)),--static) --libs))$(pkg_libs)

# The library is linked of the same objects.
flags_dynamic := $(hardening) -fPIC -fno-semantic-interposition
flags_static := $(hardening) -DKIST_STATIC -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fno-unwind-tables
flags_asan := -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
# Library code does not call the fuzzer's main; it only gets its counters.
flags_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
link_dynamic := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
# cli/entry.c
entry = $(if $(findstring x86_64,$(shell $(CC) -dumpmachine)),-Wl$(comma)--entry=kist_entry)
link_static = -static-pie $(entry) -Wl,-z,relro,-z,now,-z,pack-relative-relocs -Wl,--gc-sections -Wl,-Map=$@.map
link_asan := -fsanitize=address,undefined

# The library itself is opened when it is needed (core/registry_http.c).
curl_flags := $(if $(curl),-DKIST_CURL $(shell $(PKG_CONFIG) --cflags libcurl 2>/dev/null))
compile = $(CC) $(common) $(pkg_cflags) $(curl_flags) $(flags_$(variant)) $(CFLAGS) $(CPPFLAGS) -MMD -MP
link = $(CC) $(flags_$(variant)) $(CFLAGS) $(link_$(variant)) $(LDFLAGS)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

objects := $(sources:%.c=$(obj)/%.o)

.PHONY: install-lib all static check check-unit check-e2e check-crash check-cycles check-race check-oci-suites check-asan check-vm install uninstall asan fuzz lint bench clean quickstart \
	format deps deps-test deps-lint deps-fuzz deps-bench deps-vm deps-suites objects unit fuzz-programs lint-headers lib FORCE
all: $(out)/kist lib

static:
	+$(Q)$(MAKE) --no-print-directory VARIANT=static build/static/kist
asan:
	+$(Q)$(MAKE) --no-print-directory VARIANT=asan build/asan/kist

objects: $(objects)

$(out)/kist: $(objects)
	$(call say,LINK,$@)
	$(Q)$(link) -o $@ $^ $(pkg_libs)
	$(if $(filter static,$(variant)),$(Q)cp $@ $@.debug && $(STRIP) $@)
	$(Q)ln -sf kist $(out)/kist-oci

# What an object depends on besides sources is kept in files that change only when it does.
keep = mkdir -p $(@D) && { echo '$(1)' | cmp -s - $@ || echo '$(1)' >$@; }
$(obj)/%.o: %.c $(if $(filter dynamic,$(variant)),$(out)/flags)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(compile) -c -o $@ $<
$(out)/flags: FORCE
	@$(call keep,$(flags_$(variant)))
# The one object that knows where the program is installed.
$(obj)/core/binary.o: CPPFLAGS += -DKIST_BINARY_PATH='"$(BINDIR)/kist"'
$(obj)/core/binary.o: $(out)/bindir
$(out)/bindir: FORCE
	@$(call keep,$(BINDIR))

# --- the library: libkist.so, and libkist.a of one object; both show what the public headers declare, and no more -----
soname := libkist.so.$(firstword $(subst ., ,$(VERSION)))
api_headers := $(wildcard core/kist*.h) core/oci.h $(patsubst %,core/base/%.h,base error spec str table)
lib_objects := $(filter-out $(obj)/cli/%,$(objects))
lib: $(out)/libkist.so.$(VERSION) $(out)/libkist.a $(out)/libkist.pc
$(out)/libkist.symbols: $(api_headers)
	@mkdir -p $(@D)
	$(Q)sed -nE 's/.*[ *](kist_[a-z0-9_]+)\(.*/\1/p; s/^extern .*[ *](kist_[a-z0-9_]+);.*/\1/p' $^ | sort -u >$@
$(out)/libkist.so.$(VERSION): $(lib_objects) $(out)/libkist.symbols
	$(call say,LINK,$@)
	$(Q){ echo 'LIBKIST_0 { global:'; sed 's/$$/;/' $(out)/libkist.symbols; echo 'local: *; };'; } >$(out)/libkist.map
	$(Q)$(CC) $(flags_$(variant)) $(CFLAGS) -shared -Wl,-soname,$(soname) -Wl,--version-script,$(out)/libkist.map \
		-Wl,-z,relro,-z,now,-z,defs -Wl,--as-needed $(LDFLAGS) -o $@ $(lib_objects) $(pkg_libs)
$(out)/libkist.a: $(lib_objects) $(out)/libkist.symbols
	$(call say,AR,$@)
	$(Q)$(CC) -r -nostdlib -o $(out)/libkist.o $(lib_objects)
	$(Q)$(OBJCOPY) --keep-global-symbols=$(out)/libkist.symbols $(out)/libkist.o
	$(Q)rm -f $@ && $(AR) rcs $@ $(out)/libkist.o && rm $(out)/libkist.o
$(out)/libkist.pc: contrib/libkist.pc.in Makefile
	$(Q)sed 's/@VERSION@/$(VERSION)/; s/@PACKAGES@/$(packages)/' $< >$@

# --- unit tests: test/unit/test_foo.c, each one program, linked with everything but cli/main.c ----------------------
unit_sources := $(wildcard test/unit/test_*.c)
unit_programs := $(unit_sources:test/unit/%.c=$(out)/unit/%)
$(out)/libkist-test.a: $(filter-out $(obj)/cli/main.o,$(objects))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(out)/unit/%: test/unit/%.c $(out)/libkist-test.a
	@mkdir -p $(@D)
	$(call say,TEST,$@)
	$(Q)$(compile) -MF $@.d $(link_$(variant)) $(LDFLAGS) -o $@ $< $(out)/libkist-test.a $(pkg_libs) -lcmocka

unit: $(unit_programs)
check-unit: unit
	$(Q)test/unit/run $(unit_programs)
check-asan:
	+$(Q)$(MAKE) --no-print-directory VARIANT=asan check-unit

# --- end-to-end tests: real containers, as root, with the static binary; KIST=PATH tests another -------------------
E2E ?=
check-e2e: all static build/bench/many
	$(Q)test/e2e/run $(E2E)

# Ends commands at every call that changes the disk, killed and by a power cut: minutes. The e2e suite takes a sample.
check-crash: static
	$(Q)export KIST_CRASH_ALL=1; \
	test/e2e/run -f '^killed' 240-power-cut & killed=$$!; \
	test/e2e/run -f '^power cut' 240-power-cut && wait $$killed

# A thousand ends and restarts of eight containers that crash-loop: minutes. The e2e suite has eighty.
check-cycles: static
	$(Q)KIST_TEST_CYCLES=125 test/e2e/run -f 'crash-loop' 025-restart

# Attacks that win by chance, a minute each, all at once.
check-race: static
	$(Q)test/e2e/races

# The suites of crun and runc against kist-oci: sources from Debian, minutes.
check-oci-suites: static
	$(Q)test/oci/suites

# A Debian kernel in QEMU, emulated, on an initramfs root: minutes, so not part of 'check'.
check-vm: static
	$(Q)test/vm/run

check:
	+$(Q)test/check

# --- fuzzing: test/fuzz/fuzz_*.c with clang's libFuzzer, FUZZ_SECONDS each ------------------------------------------
FUZZ_SECONDS ?= 20
fuzz_sources := $(wildcard test/fuzz/fuzz_*.c)
fuzz_programs := $(fuzz_sources:test/fuzz/%.c=$(out)/fuzz/%)
$(out)/fuzz/%: test/fuzz/%.c $(out)/libkist-test.a
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)$(compile) -MF $@.d -fsanitize=fuzzer $(LDFLAGS) -o $@ $< $(out)/libkist-test.a $(pkg_libs)
fuzz-programs: $(fuzz_programs)
fuzz:
	+$(Q)$(MAKE) --no-print-directory VARIANT=fuzz CC=clang fuzz-programs
	$(Q)test/fuzz/run $(FUZZ_SECONDS) build/fuzz/fuzz

# --- benchmark: prints a table, passes no judgement -----------------------------------------------------------------
build/bench/%: test/bench/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(common) $(CFLAGS) -static -o $@ $< $(LDFLAGS)
# Makes a store of thousands of containers, to measure 'ps' on: build/bench/many ROOT RUNROOT 10000.
# One end-to-end test counts calls in such a store.
build/bench/many: test/bench/many.c build/libkist-test.a
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(compile) -MF $@.d $(link_$(variant)) $(LDFLAGS) -o $@ $< build/libkist-test.a $(pkg_libs)
bench: build/bench/bare build/bench/timeit build/bench/dns build/bench/many
	+$(Q)$(MAKE) --no-print-directory static
	$(Q)test/bench/bench.sh
	$(Q)test/bench/oci.sh
	$(Q)test/bench/network.sh
	$(Q)test/bench/import.sh

# --- lint -----------------------------------------------------------------------------------------------------------
# What is ours and written in C, for the formatter and the linters.
all_c = $(sort $(sources) $(core-registry-sources)) $(wildcard test/*/*.c) contrib/example.c
all_h = $(wildcard $(foreach f,$(folders),$(f)/*.h) test/*/*.h)
lint:
	+$(Q)C_FILES='$(all_c)' H_FILES='$(all_h)' MAKE='$(MAKE)' NM='$(NM)' test/lint/run
# Each header compiles alone, so that no includer depends on an order.
lint-headers:
	$(Q)status=0; for header in $(all_h); do \
		$(compile) -MF /dev/null -Werror -fsyntax-only -x c $$header || status=1; done; exit $$status
format:
	$(Q)clang-format -i $(all_c) $(all_h)

# --- install --------------------------------------------------------------------------------------------------------
# Installs what was built: the static file if it is there, else the dynamic one. The program writes its own pages and
# completions; where it is built for another machine, HOST_KIST names one that runs here.
INSTALL ?= install
DATADIR ?= $(PREFIX)/share
DOCDIR ?= $(DATADIR)/doc/kist
built = $(firstword $(wildcard build/static/kist build/kist))
HOST_KIST ?= $(built)
documents := README.md LICENSE CHANGELOG.md SECURITY.md contrib/kist.conf contrib/example.c
services := $(shell find contrib/init -type f)
completions := bash-completion/completions/kist zsh/site-functions/_kist fish/vendor_completions.d/kist.fish
pages = $(notdir $(wildcard man/*.[1-9]) $(patsubst %.in,%,$(wildcard man/*.in)))
install:
	@test -n "$(built)" || { echo "nothing is built yet: run 'make static' or 'make' first" >&2; exit 1; }
	$(Q)$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(DOCDIR)
	$(Q)$(INSTALL) -m 0755 $(built) $(DESTDIR)$(BINDIR)/kist
	$(Q)ln -sf kist $(DESTDIR)$(BINDIR)/kist-oci
	$(Q)$(INSTALL) -m 0644 $(documents) $(DESTDIR)$(DOCDIR)
	$(Q)for file in $(services:contrib/%=%); do \
		$(INSTALL) -D -m "$$(stat -c %a contrib/$$file)" contrib/$$file $(DESTDIR)$(DOCDIR)/$$file || exit 1; done
	$(Q)contrib/docs '$(HOST_KIST)' '$(DESTDIR)$(MANDIR)' '$(DESTDIR)$(DATADIR)'
	$(if $(wildcard build/libkist.a),+$(Q)$(MAKE) --no-print-directory VARIANT=dynamic install-lib)
# The headers that kist.h is made of stand beside it; the bans of calls are for our own sources.
install-lib: lib
	$(Q)$(INSTALL) -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/kist
	$(Q)$(INSTALL) -m 0644 $(out)/libkist.a $(DESTDIR)$(LIBDIR)
	$(Q)$(INSTALL) -m 0755 $(out)/libkist.so.$(VERSION) $(DESTDIR)$(LIBDIR)
	$(Q)ln -sf libkist.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(soname) && ln -sf $(soname) $(DESTDIR)$(LIBDIR)/libkist.so
	$(Q)$(INSTALL) -m 0644 $(out)/libkist.pc $(DESTDIR)$(LIBDIR)/pkgconfig
	$(Q)for header in $(api_headers); do sed -E 's,#include "core/(base/)?(.*)",#include "\2",; /banned\.h/d' $$header \
		>$(DESTDIR)$(INCLUDEDIR)/kist/$${header##*/} || exit 1; done
uninstall:
	$(Q)rm -f $(DESTDIR)$(BINDIR)/kist $(DESTDIR)$(BINDIR)/kist-oci
	$(Q)rm -f $(DESTDIR)$(LIBDIR)/libkist.a $(DESTDIR)$(LIBDIR)/libkist.so* $(DESTDIR)$(LIBDIR)/pkgconfig/libkist.pc
	$(Q)rm -rf $(DESTDIR)$(INCLUDEDIR)/kist
	$(Q)for page in $(pages); do rm -f "$(DESTDIR)$(MANDIR)/man$${page##*.}/$$page"; done
	$(Q)rm -f $(completions:%=$(DESTDIR)$(DATADIR)/%) $(patsubst %,$(DESTDIR)$(DOCDIR)/%,$(notdir $(documents)))
	$(Q)rm -rf $(DESTDIR)$(DOCDIR)/init
	$(Q)! test -d $(DESTDIR)$(DOCDIR) || rmdir --ignore-fail-on-non-empty $(DESTDIR)$(DOCDIR)

# --- a machine with nothing but make: packages, then a first container ----------------------------------------------
deps deps-test deps-lint deps-fuzz deps-bench deps-vm deps-suites:
	$(Q)contrib/deps $(or $(patsubst deps-%,%,$(filter deps-%,$@)),build)
quickstart:
	$(Q)contrib/deps build run
	+$(Q)contrib/quickstart

# Only what this Makefile made; the e2e images in build/cache cost minutes, so 'clean' leaves them.
clean:
	$(Q)rm -rf build/obj build/unit build/static build/asan build/fuzz build/bench build/lint
	$(Q)rm -f build/kist build/kist-oci build/libkist* build/bindir build/flags

-include $(objects:.o=.d) $(unit_programs:%=%.d)
