# kist: one non-recursive Makefile. V=1 shows full commands. One object directory per variant.
VERSION := 0.1.0

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
DESTDIR ?=
CROSS_COMPILE ?=
ifeq ($(origin CC),default)
CC := $(CROSS_COMPILE)gcc
endif
AR := $(CROSS_COMPILE)ar
NM := $(CROSS_COMPILE)nm
STRIP := $(CROSS_COMPILE)strip
PKG_CONFIG ?= $(CROSS_COMPILE)pkg-config
CFLAGS ?= -O2 -g
WERROR ?=

# Folder lists: <folder>-sources. Explicit, so that a stray file is never built.
folders := core/base ns cgroup net overlay hooks core cli
include $(foreach f,$(folders),$(f)/sources.mk)
sources := $(foreach f,$(folders),$($(f)-sources))

packages := libseccomp libcap libapparmor libnl-3.0 libnl-route-3.0 json-c zlib libzstd nettle
warnings := -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wformat=2 -Wno-missing-field-initializers $(if $(WERROR),-Werror)
hardening := -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fPIE
common := -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DKIST_VERSION='"$(VERSION)"' -I. $(warnings)

# --- variants: build/ (shared libraries), build/static/, build/asan/ ------------------------------------------------
variant := $(if $(filter static,$(VARIANT)),static,$(if $(filter asan,$(VARIANT)),asan,dynamic))
out := $(if $(filter dynamic,$(variant)),build,build/$(variant))
obj := $(out)/obj

# pkg-config runs only when something is compiled.
pkg_cflags = $(eval pkg_cflags := $(shell $(PKG_CONFIG) --cflags $(packages)))$(pkg_cflags)
pkg_libs = $(eval pkg_libs := $(shell $(PKG_CONFIG) $(if $(filter static,$(variant)),--static) --libs $(packages)))$(pkg_libs)

flags_dynamic := $(hardening)
flags_static := $(hardening) -DKIST_STATIC -ffunction-sections -fdata-sections
flags_asan := -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
link_dynamic := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
link_static := -static-pie -Wl,-z,relro,-z,now -Wl,--gc-sections
link_asan := -fsanitize=address,undefined

compile = $(CC) $(common) $(pkg_cflags) $(flags_$(variant)) $(CFLAGS) $(CPPFLAGS) -MMD -MP
link = $(CC) $(flags_$(variant)) $(CFLAGS) $(link_$(variant)) $(LDFLAGS)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

objects := $(sources:%.c=$(obj)/%.o)
library_objects := $(filter-out $(obj)/cli/%,$(objects))

.PHONY: all static check check-unit check-e2e check-vm install uninstall asan fuzz lint bench clean quickstart format \
	deps deps-test check-asan objects
all: $(out)/kist

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

$(obj)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(compile) -c -o $@ $<

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
	$(Q)test/unit/run $(out)/unit

-include $(objects:.o=.d) $(unit_programs:%=%.d)
