# Synod. GNU make; everything is built below build/, one Makefile for the whole tree.
#
#   make help        what there is
#   BUILD=release    (default) -O2 -g; programs at build/synod, build/synod-bench, build/synod-sim
#   BUILD=debug      -O0 -g3; everything below build/debug/
#   BUILD=asan       address and undefined behaviour sanitizers; everything below build/asan/
#
# Sources are found by wildcard: a new .c file, .proto file, test or fuzz target needs no edit here.

BUILD ?= release
PREFIX ?= /usr/local
NODES ?= 3
ENGINE ?= raft
DETACH ?=
SECONDS ?= 600
FUZZ_ITERATIONS ?= 200000
WERROR ?= -Werror
PROTOC_C ?= protoc-c
PKG_CONFIG ?= pkg-config

OUT := build/$(BUILD)
OBJ := $(OUT)/obj
GEN := $(OUT)/gen
BIN := $(if $(filter release,$(BUILD)),build,$(OUT))

CFLAGS_release := -O2 -g
CFLAGS_debug := -O0 -g3
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
               -fno-omit-frame-pointer
CFLAGS_fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined \
               -fno-sanitize-recover=undefined -fno-omit-frame-pointer
ifeq ($(CFLAGS_$(BUILD)),)
$(error BUILD=$(BUILD) is unknown: use release, debug or asan)
endif
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_fuzz := -fsanitize=address,undefined

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes $(WERROR)
COMMON_FLAGS := -std=c11 -D_GNU_SOURCE -I. -pthread $(CFLAGS_$(BUILD))

# pkg-config runs at most once, and only when something is compiled: `make deps` works without it.
PACKAGES := libuv libprotobuf-c libnghttp2 openssl yaml-0.1 jansson
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell $(PKG_CONFIG) --cflags $(PACKAGES)))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell $(PKG_CONFIG) --libs $(PACKAGES)))$(PKG_LIBS)
CMOCKA_LIBS = $(eval CMOCKA_LIBS := $$(shell $(PKG_CONFIG) --libs cmocka))$(CMOCKA_LIBS)
LIBS = -Wl,--as-needed $(PKG_LIBS) -lleveldb -lm

# The flags of one source file. Only proto/ sees generated headers, and base/ and consensus/ see
# nothing but the C library.
flags_for = $(COMMON_FLAGS) $(WARNINGS) \
            $(if $(filter base/% consensus/%,$1),,$(PKG_CFLAGS)) \
            $(if $(filter proto/%,$1),-I$(GEN)) $(CPPFLAGS) $(CFLAGS)

# ---------------------------------------------------------------------------------------------
# What there is to build

FOLDERS := kv net proto consensus base
MAINS := $(wildcard kv/main.c kv/*_main.c)
PROTOS := $(wildcard proto/*.proto)
GEN_C := $(PROTOS:%.proto=$(GEN)/%.pb-c.c)
GEN_H := $(PROTOS:%.proto=$(GEN)/%.pb-c.h)

$(foreach f,$(FOLDERS),$(eval SRC_$f := $(filter-out $(MAINS),$(wildcard $f/*.c))))
$(foreach f,$(FOLDERS),$(eval OBJ_$f := $(SRC_$f:%.c=$(OBJ)/%.o)))
OBJ_proto += $(GEN_C:$(GEN)/%.c=$(OBJ)/gen/%.o)

# What tests/real preloads into the nodes it runs: a library of its own, without sanitizers.
SHIM_SRC := $(wildcard tests/real/shim_preload.c)
SHIM := $(if $(SHIM_SRC),$(OUT)/shim_preload.so)

# Helpers of the tests: every .c below tests/ that is neither a test, a main, a fuzz target nor
# part of the bench program.
TEST_SRC := $(wildcard tests/*/test_*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
SRC_testsupport := $(filter-out tests/fuzz/% tests/bench/% tests/%/main.c $(SHIM_SRC) $(TEST_SRC), \
                                $(wildcard tests/*/*.c))
OBJ_testsupport := $(SRC_testsupport:%.c=$(OBJ)/%.o)

# A library without sources is not built: any folder may be missing.
lib_if = $(if $(strip $(OBJ_$1)),$(OUT)/lib$1.a)
LIBRARIES := $(foreach f,$(FOLDERS),$(call lib_if,$f))
TEST_LIBRARIES := $(call lib_if,testsupport) $(LIBRARIES)

BENCH_SRC := $(wildcard kv/bench_main.c)
SIM_MAIN := $(wildcard tests/sim/main.c)
PROGRAMS := $(if $(wildcard kv/main.c),$(BIN)/synod) \
            $(if $(strip $(BENCH_SRC)),$(BIN)/synod-bench) \
            $(if $(SIM_MAIN),$(BIN)/synod-sim)

# Programs that scripts of tests/process start: tests/process/NAME/main.c is the program
# $(OUT)/tests/process/NAME/main.
HELPER_SRC := $(wildcard tests/process/*/main.c)

# Costs of single modules, each a program of its own: make benches, then run one.
COST_SRC := $(wildcard tests/bench/bench_*.c)

TESTS := $(TEST_SRC:%.c=$(OUT)/%)
HELPERS := $(HELPER_SRC:%.c=$(OUT)/%)
COSTS := $(COST_SRC:%.c=$(OUT)/%)
FUZZERS := $(FUZZ_SRC:%.c=$(OUT)/%)
HEADERS := $(wildcard $(addsuffix /*.h,$(FOLDERS)) tests/*/*.h)
HEADER_CHECKS := $(HEADERS:%=$(OUT)/headers/%.ok)

ALL_SRC := $(foreach f,$(FOLDERS) testsupport,$(SRC_$f)) $(SHIM_SRC) $(MAINS) $(BENCH_SRC) $(SIM_MAIN) \
           $(TEST_SRC) $(HELPER_SRC) $(COST_SRC) $(FUZZ_SRC) $(wildcard tests/fuzz/driver.c)
ALL_SRC := $(sort $(ALL_SRC))

# ---------------------------------------------------------------------------------------------
# Targets for people

.PHONY: all benches deps check test test-unit asan-test fuzz soak mutants compare figures cluster \
        cluster-down install \
        clean help FORCE
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

all: $(PROGRAMS) $(LIBRARIES) $(SHIM)

benches: $(COSTS)

deps:
	@scripts/install-deps

check: all $(TEST_LIBRARIES) $(TESTS) $(HELPERS) $(COSTS) $(FUZZERS) $(HEADER_CHECKS)

# A sub-make, because the packages that deps installs change what pkg-config answers. It uses every
# core unless -j says otherwise.
SUBMAKE = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

test:
	@$(MAKE) --no-print-directory deps
	@$(SUBMAKE) check
	@scripts/run-tests --build $(BUILD)

test-unit: check
	@scripts/run-tests --build $(BUILD) --only unit

asan-test:
	@$(SUBMAKE) BUILD=asan check
	@scripts/run-tests --build asan --only c,sim,process,fuzz

# With clang, libFuzzer under the sanitizers; otherwise the driver of tests/fuzz under them.
fuzz:
	@CC='$(CC)' MAKE='$(MAKE)' scripts/fuzz $(FUZZ_ITERATIONS)

soak: check
	@scripts/run-tests --build $(BUILD) --soak $(SECONDS)

# Every fault script on every engine; TRIALS of each in the simulator.
TRIALS ?= 6
compare:
	@$(MAKE) --no-print-directory deps
	@$(SUBMAKE) all
	@$(BIN)/synod-sim compare --trials $(TRIALS) --output $(BIN)/compare

# Published experiments, made again.
figures:
	@$(MAKE) --no-print-directory deps
	@$(SUBMAKE) all
	@$(BIN)/synod-sim figures --real --output $(BIN)/figures

# In copies of the tree: the simulator must find each broken rule.
mutants:
	@scripts/mutants

cluster:
	@$(MAKE) --no-print-directory deps
	@$(SUBMAKE) all
	@NODES='$(NODES)' ENGINE='$(ENGINE)' DETACH='$(DETACH)' scripts/cluster-demo up

cluster-down:
	@scripts/cluster-demo down

install: all
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/doc/synod'
	$(if $(strip $(PROGRAMS)),install -m 755 $(PROGRAMS) '$(DESTDIR)$(PREFIX)/bin')
	install -m 644 LICENSE $(wildcard README.md) '$(DESTDIR)$(PREFIX)/share/doc/synod'

clean:
	rm -rf build compile_commands.json

help:
	@echo 'make                    build the programs: $(strip $(notdir $(PROGRAMS)))'
	@echo 'make deps               install the Debian packages that are missing'
	@echo 'make check              build everything, tests too, and each header alone'
	@echo 'make test               deps, build, and all tests'
	@echo 'make test-unit          the C tests of unit, contract, paper, scenario'
	@echo 'make asan-test          C, simulator, process and fuzz tests under the sanitizers'
	@echo 'make fuzz [CC=clang]    longer fuzzing; FUZZ_ITERATIONS=$(FUZZ_ITERATIONS)'
	@echo 'make benches            costs of single modules: build/release/tests/bench/*'
	@echo 'make soak               simulator and other randomised tests with new seeds for SECONDS=$(SECONDS)'
	@echo 'make compare            every fault script on every engine, TRIALS=$(TRIALS) each: build/compare.html'
	@echo 'make figures            published experiments made again: build/figures.html'
	@echo 'make mutants            one broken rule at a time: does the simulator find it?'
	@echo 'make cluster            a local cluster; NODES=$(NODES) ENGINE=$(ENGINE) DETACH=$(DETACH)'
	@echo 'make cluster-down       stop it'
	@echo 'make install            to DESTDIR and PREFIX=$(PREFIX)'
	@echo 'make compile_commands.json   for editors'
	@echo 'make clean              remove build/'
	@echo 'BUILD=release|debug|asan     which build; now $(BUILD)'

# ---------------------------------------------------------------------------------------------
# Rules

# Holds the compiler and its flags; newer than the objects only if they changed.
$(OUT)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(COMMON_FLAGS) $(WARNINGS) $(CPPFLAGS) $(CFLAGS)' | cmp -s - $@ || \
	  echo '$(CC) $(COMMON_FLAGS) $(WARNINGS) $(CPPFLAGS) $(CFLAGS)' > $@

$(OBJ)/%.o: %.c $(OUT)/flags
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) $(call flags_for,$<) -MMD -MP -c -o $@ $<

# Generated code is not ours to keep warning-free.
$(OBJ)/gen/%.o: $(GEN)/%.c $(OUT)/flags
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) $(COMMON_FLAGS) $(PKG_CFLAGS) -I$(GEN) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(GEN)/%.pb-c.c $(GEN)/%.pb-c.h: %.proto
	@mkdir -p $(GEN)
	@echo '  PROTO $<'
	@$(PROTOC_C) -I. --c_out=$(GEN) $<

$(SRC_proto:%.c=$(OBJ)/%.o) $(GEN_C:$(GEN)/%.c=$(OBJ)/gen/%.o): | $(GEN_H)

# An archive holds exactly the objects in its list, also after a source was removed.
define library_rules
$(OUT)/lib$1.list: FORCE
	@mkdir -p $$(@D)
	@echo '$$(OBJ_$1)' | cmp -s - $$@ || echo '$$(OBJ_$1)' > $$@
$(OUT)/lib$1.a: $$(OBJ_$1) $(OUT)/lib$1.list
	@echo '  AR    $$@'
	@rm -f $$@
	@$$(AR) rcsD $$@ $$(OBJ_$1)
endef
$(foreach f,$(FOLDERS) testsupport,$(eval $(call library_rules,$f)))

LINK = $(CC) $(COMMON_FLAGS) $(LDFLAGS_$(BUILD)) $(CFLAGS) $(LDFLAGS)

$(BIN)/synod: $(OBJ)/kv/main.o $(LIBRARIES)
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	@$(LINK) -o $@ $^ $(LIBS)

$(BIN)/synod-bench: $(patsubst %.c,$(OBJ)/%.o,$(BENCH_SRC)) $(LIBRARIES)
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	@$(LINK) -o $@ $^ $(LIBS)

$(BIN)/synod-sim: $(SIM_MAIN:%.c=$(OBJ)/%.o) $(TEST_LIBRARIES)
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	@$(LINK) -o $@ $^ $(LIBS)

$(TESTS): $(OUT)/%: $(OBJ)/%.o $(TEST_LIBRARIES)
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	@$(LINK) -o $@ $^ $(CMOCKA_LIBS) $(LIBS)

$(HELPERS) $(COSTS): $(OUT)/%: $(OBJ)/%.o $(LIBRARIES)
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	@$(LINK) -o $@ $^ $(LIBS)

$(SHIM): $(SHIM_SRC) $(OUT)/flags
	@mkdir -p $(@D) $(OBJ)/$(dir $(SHIM_SRC))
	@echo '  LINK  $@'
	@$(CC) -std=c11 -D_GNU_SOURCE -I. -O2 -g -fPIC -shared -pthread $(WARNINGS) \
	  -MMD -MP -MF $(SHIM_SRC:%.c=$(OBJ)/%.d) -MT $@ -o $@ $<

# The tests of real processes start the program, with that library.
$(filter $(OUT)/tests/real/%,$(TESTS)): | $(SHIM) $(BIN)/synod

# libFuzzer brings a main of its own.
FUZZ_DRIVER := $(if $(filter fuzz,$(BUILD)),,$(OBJ)/tests/fuzz/driver.o)

$(FUZZERS): $(OUT)/%: $(OBJ)/%.o $(FUZZ_DRIVER) $(TEST_LIBRARIES)
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	@$(LINK) $(if $(filter fuzz,$(BUILD)),-fsanitize=fuzzer) -o $@ $^ $(LIBS)

# Each header compiles alone, seen through a source file that includes nothing else.
$(OUT)/headers/%.ok: % $(OUT)/flags
	@mkdir -p $(@D)
	@echo '#include "$<"' | $(CC) $(call flags_for,$<) -MMD -MP -MT $@ -MF $(@:.ok=.d) \
	  -fsyntax-only -x c -
	@touch $@

compile_commands.json: FORCE
	$(file >$@.tmp,[)
	$(foreach s,$(ALL_SRC),$(file >>$@.tmp,{"directory":"$(CURDIR)"$(COMMA)"file":"$s"$(COMMA) \
	  "command":"$(subst ",\",$(CC) $(call flags_for,$s) -c -o $(OBJ)/$(s:.c=.o) $s)"}$(if \
	  $(filter $s,$(lastword $(ALL_SRC))),,$(COMMA))))
	$(file >>$@.tmp,])
	@mv $@.tmp $@

COMMA := ,

-include $(patsubst %.c,$(OBJ)/%.d,$(ALL_SRC)) $(patsubst %.o,%.d,$(filter $(OBJ)/gen/%,$(OBJ_proto)))
-include $(HEADER_CHECKS:.ok=.d)
