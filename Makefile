# make run    build, start a broker and one box on loopback, print its links
# make test   install what the tests need, run every test
# make test-arm  cross-build, boot the emulated board, run its scenarios (SCENARIOS="capture unplug": only these)
# make bench  the figures of benches/README.md
# make fuzz   every fuzz target for FUZZ_SECONDS (TARGETS="session sdp": only these)
# make install  what `make release` has built, units, user, folders, manual pages and completions to their places
#               (DESTDIR=, BIN=; ROOMCTL= one that runs here, for programs of another architecture)
# make check  formatting, lints, licences: what a change must pass besides the tests

PARTS ?= $(or $(ROOMD_TEST_PARTS),$(HOME)/.cache/roomd-test)

.PHONY: run test test-arm fuzz bench check web release deny install

FUZZ_SECONDS ?= 60

BIN ?= $(or $(CARGO_TARGET_DIR),target)/release
ROOMCTL ?= $(BIN)/roomctl

release: web
	cargo build --release --locked

install:
	install -D -m 755 -t "$(DESTDIR)/usr/bin" "$(BIN)/roomd" "$(BIN)/roomctl"
	@"$(ROOMCTL)" --version >/dev/null 2>&1 || echo "$(ROOMCTL) does not run here: no manual pages, no completions (ROOMCTL=)"
	@if "$(ROOMCTL)" --version >/dev/null 2>&1; then \
	  "$(ROOMCTL)" man "$(DESTDIR)/usr/share/man/man1" && \
	  for shell in bash:bash-completion/completions/roomctl zsh:zsh/vendor-completions/_roomctl fish:fish/vendor_completions.d/roomctl.fish; do \
	    mkdir -p "$(DESTDIR)/usr/share/$$(dirname $${shell#*:})" && \
	    "$(ROOMCTL)" completions $${shell%%:*} > "$(DESTDIR)/usr/share/$${shell#*:}" || exit 1; \
	  done; fi
	install -D -m 644 -t "$(DESTDIR)/usr/lib/systemd/system" systemd/*.service systemd/*.path
	install -D -m 644 -t "$(DESTDIR)/usr/lib/sysusers.d" systemd/sysusers.d/roomd.conf
	install -D -m 644 -t "$(DESTDIR)/usr/lib/tmpfiles.d" systemd/tmpfiles.d/roomd.conf

run:
	scripts/install.sh run
	$(MAKE) release
	scripts/run.sh

web:
	scripts/install.sh build
	cd web && npm run --silent build

test:
	scripts/install.sh test
	cd web && npm run --silent check && npm test --silent && npm run --silent build
	ROOMD_TEST_PYTHON=$(PARTS)/venv/bin/python \
	ROOMD_TEST_LIVEKIT_SERVER=$(PARTS)/livekit-server-1.13.5 \
	ROOMD_TEST_NODE_MODULES=$(PARTS)/browser/node_modules \
	ROOMD_TEST_FILM=$(PARTS)/bigbuckbunny.mp4 \
	cargo test --locked -- $(TESTARGS)

test-arm: web
	scripts/install.sh arm
	tests/arm/run.sh $(SCENARIOS)

check:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

deny:
	cargo deny --locked check licenses bans sources

fuzz:
	scripts/install.sh build
	fuzz/run.sh $(FUZZ_SECONDS) $(TARGETS)

bench:
	scripts/install.sh bench
	benches/run.sh
