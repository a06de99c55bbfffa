# The README's two commands are `make run` and `make test`; both may be repeated and are quick then.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(shell find src -name '*.pyx' -o -name '*.pxd')

.PHONY: run test soak bench fuzz sanitize clean

run: $(VENV)/.demo
	$(BIN)/hubbub demo

test: $(VENV)/.dev  # a worker that crashes ends the run: where it is replaced, pytest waits for ever
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cython-lint --max-line-length 100 src
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile --max-worker-restart 0 -m "not long"

soak: $(VENV)/.dev  # minutes, not seconds: crash rounds and large simulations
	$(BIN)/pytest -m long

bench: $(VENV)/.dev  # half an hour: hubbub beside the real systems, on this machine
	bash tools/peers.sh $(CURDIR)/$(BIN)/python
	$(BIN)/hubbub bench --report docs/BENCHMARKS.md --json docs/benchmarks.json

SANITIZED = bash tools/sanitize.sh $(BIN)/python build/sanitized

sanitize: $(VENV)/.dev  # some minutes: what needs no server process, instrumented
	$(SANITIZED) $(BIN)/python -m pytest -q -p no:cacheprovider --timeout 600 -m "not server and not long"

fuzz: $(VENV)/.dev  # an hour
	$(SANITIZED) bash -c 'for codec in nats redis kafka mqtt amqp batch; do $(BIN)/python tests/fuzz.py $$codec --seconds 600; done'

$(VENV)/.python:
	bash tools/prepare.sh $(PYTHON) $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml $(NATIVE)
	$(BIN)/pip install --quiet --editable '.[demo]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	bash tools/servers.sh
	$(BIN)/pip install --quiet --group dev
	touch $@

clean:
	rm -rf $(VENV) build src/*.egg-info
	find src -name '*.so' -o -name '*.c' | xargs rm -f
