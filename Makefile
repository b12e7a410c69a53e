# Builds backfill against the PostgreSQL of PG_CONFIG:
#   make && make install           build and install
#   make installcheck              pg_regress and isolation tests on a running server that has it installed
#   make demo | check | bench      stand-alone: each builds a copy and runs its own throwaway server
#   make bench SIZE=full           the bench at another size than small (tiny, small, full)
#   make lint                      the house rules
#   make format                    lay the C++ out as .clang-format says
#   make TESTING=1                 with the functions that only tests call

EXTVERSION = 1.0dev
MODULE_big = backfill
EXTENSION = backfill

SOURCES = $(sort $(wildcard src/*/*.cpp) $(wildcard src/api.cpp src/testing.cpp))
OBJS = $(SOURCES:.cpp=.o)

# The extension's SQL is written in pieces; src/sql/order says how they are joined.
install_script = sql/backfill--$(EXTVERSION).sql
sql_pieces = $(addprefix src/sql/,$(shell cat src/sql/order 2>/dev/null))
DATA_built = $(install_script)
DATA = $(wildcard src/sql/upgrade/backfill--*--*.sql)

REGRESS = $(filter-out backfill--%,$(sort $(basename $(notdir $(wildcard sql/*.sql)))))
ISOLATION = $(sort $(basename $(notdir $(wildcard test/isolation/specs/*.spec))))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=output_iso --load-extension=backfill --load-extension=backfill_steps

PG_CONFIG ?= pg_config

# -isystem: the server's headers do not live up to our warnings.
PG_CPPFLAGS = -Isrc -isystem $(shell $(PG_CONFIG) --includedir-server) -isystem $(shell $(PG_CONFIG) --includedir)
PG_CXXFLAGS = -std=c++20 -Wall -Wextra -Werror -fvisibility-inlines-hidden -MMD -MP
ifdef TESTING
PG_CPPFLAGS += -DBACKFILL_TESTING
# An extension of functions that run a job step by step, for isolation specs.
DATA += $(wildcard test/modules/*.control test/modules/*.sql)
endif
SHLIB_LINK = -lyaml -lcurl $(libpq)

EXTRA_CLEAN = .built-with .built-of $(wildcard src/*/*.o src/*/*.d src/*.o src/*.d) output_iso

# No LLVM bitcode, and a C++ program links with the C++ compiler.
override with_llvm := no
override COMPILER = $(CXX) $(CXXFLAGS)

.PHONY: demo bench lint format FORCE

ifneq (,$(filter check,$(MAKECMDGOALS)))
# PGXS has a `check` of its own that only refuses; ours needs nothing from PGXS.
.PHONY: check
check:
	bash test/check.sh
.DEFAULT:
	$(MAKE) $@
else
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Objects of two kinds never meet in one library: other flags rebuild, other sources link again.
$(OBJS): .built-with
.built-with: stamp = $(PG_CONFIG) $(VERSION) $(CXX) $(CPPFLAGS) $(CXXFLAGS)
$(shlib): .built-of
.built-of: stamp = $(OBJS)
.built-with .built-of: FORCE
	@echo '$(stamp)' | cmp -s - $@ || echo '$(stamp)' > $@

-include $(OBJS:.o=.d)

$(install_script): src/sql/order $(sql_pieces) $(wildcard src/sql/*.sql)
	@for piece in src/sql/*.sql; do \
	  grep -qx "$${piece##*/}" src/sql/order || { echo "$$piece is missing from src/sql/order" >&2; exit 1; }; \
	done
	@mkdir -p $(@D)
	{ printf '%s\n' '\echo Use "CREATE EXTENSION $(EXTENSION)" to load this file. \quit'; cat $(sql_pieces); } > $@.tmp
	mv $@.tmp $@
endif

demo:
	bash test/demo.sh

SIZE ?= small
bench:
	bash test/bench/run.sh --size $(SIZE)

lint:
	bash test/check.sh lint

format:
	clang-format -i $$(find src test/unit -name '*.[ch]pp')
