# People connector. `make demo` shows what it does; `make` lists the rest.
#
# Needs make, git and a Python of 3.13, 3.12 or 3.11; makes its environments itself and touches nothing outside.

PY := .venv/bin/python
CONTRACT ?= labels

SHORT ?=

.PHONY: help demo serve test exhaustive bench package check fmt beliefs reference lock clean venv

help:
	@echo 'make demo    some nights on a local tenant; reports are left in .demo/'
	@echo '             (CONTRACT=preview, here and for serve: what Microsoft'"'"'s first walkthrough sends)'
	@echo 'make serve   the same, but it stays up on http://127.0.0.1:7071 (Ctrl-C ends it)'
	@echo '             (MAPPING=workday HR=samples/workday-2026-11-20.csv: with a mapping and HR exports of'
	@echo '             your own; several files, or a folder, are one population. Settings go along:'
	@echo '             MAX_REJECT_PERCENT=90. All of them: .venv/bin/python -m tests.tenant serve --help)'
	@echo 'make test    the whole test suite'
	@echo 'make exhaustive  the tests that otherwise try a part: every death with every export,'
	@echo '             every two deaths in a row, every cut, 20,000 people, random nights; an hour or so'
	@echo 'make bench   how fast, in how much memory, beside the bars and the references (SHORT=1: a smoke test)'
	@echo 'make package the zip that is deployed, with compiled files: .package/people-connector.zip'
	@echo 'make check   what CI runs: format, lint, types, layers, tests with coverage'
	@echo 'make beliefs write docs/graph.md: what we believe about Microsoft Graph, from its tests'
	@echo 'make reference  write the tables of docs/mapping.md and mapping.schema.json, from the models'
	@echo 'make fmt     put the code into its format'
	@echo 'make lock    compile the requirements files again (UPGRADE=1: to newer versions)'
	@echo 'make clean   remove everything that was made'

venv:
	@python=$$(tools/python.sh) && "$$python" tools/environment.py .venv requirements-dev.txt

demo: venv
	@$(PY) -m tests.tenant demo --contract $(CONTRACT)

serve: venv
	@$(PY) -m tests.tenant serve --contract $(CONTRACT) $(if $(MAPPING),--mapping '$(MAPPING)') $(if $(HR),--hr $(HR))

test: venv
	@$(PY) -m pytest -rs $(ARGS)

exhaustive: venv
	@EXHAUSTIVE=1 $(PY) -m pytest -rs tests/flows/test_crashes.py tests/flows/test_deaths.py \
		tests/flows/test_zombies.py tests/flows/test_truncated.py tests/flows/test_large.py \
		tests/flows/test_random_nights.py tests/host/test_killed.py $(ARGS)

bench: venv
	@$(PY) -m tests.bench $(if $(SHORT),--short) $(ARGS)

package: venv
	@$(PY) tools/package.py .package/people-connector.zip

check: venv
	@tools/check.sh

fmt: venv
	@$(PY) -m ruff format && $(PY) -m ruff check --fix

beliefs: venv
	@$(PY) -m tests.beliefs

reference: venv
	@$(PY) -m tests.reference

lock:
	@tools/lock.sh

clean:
	rm -rf .venv .venv-* .demo .serve .bench .package .azurite .coverage* htmlcov
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
