# make test                              the newest and the oldest corner of the matrix, on real servers; types, lint, coverage
# make test ARGS="tests/test_x.py -k y"  a quick run: the newest corner only, these arguments to pytest
# make matrix                            every environment of setup.cfg's matrix that finds its interpreter
# make lint                              ruff and mypy only
# make clean                             all that the targets above have made

PYTHON ?= python3
ARGS ?=

.PHONY: test matrix lint clean python

test: python
	@$(PYTHON) -m tests.matrix test $(ARGS)

matrix: python
	@$(PYTHON) -m tests.matrix all

lint: python
	@$(PYTHON) -m tests.matrix lint

clean:
	rm -rf .work build dist *.egg-info .coverage* .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) in PATH; on Debian: apt-get install python3 python3-venv, or make PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, and $(PYTHON) is " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
