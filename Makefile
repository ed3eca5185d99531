# make demo                              the example site under load, on Django's own engine and on the pool, side by side,
#                                        on a PostgreSQL of its own; then it serves the site until Ctrl-C
# make demo ARGS=--once                  ends after the table; also --seconds S, --cities N
# make demo DATABASE_URL=mysql://user:password@host:port/    on a server of yours (or postgres://), in a database of its own
# make test                              the newest and the oldest corner of the matrix, on real servers; types, lint, coverage
# make test ARGS="tests/test_x.py -k y"  a quick run: the newest corner only, these arguments to pytest
# make matrix                            every environment of setup.cfg's matrix that finds its interpreter
# make soak ARGS="--minutes 5 --seed 7"  all faults at random, for so long with each pair of drivers; --only mysql for one server
# make django-suite                      Django's own test suite on our engines and on Django's, compared test by test: hours; quick:
#                                        ARGS="--quick --django 6.1 --engine postgresql-psycopg", or --modules backends transactions
# make bench                             the pool beside its peers: tables, ratios and plots; ARGS=--smoke for a look in seconds
# make lint                              ruff and mypy only
# make clean                             all that the targets above have made

PYTHON ?= python3
ARGS ?=

.PHONY: demo test matrix soak django-suite bench lint clean python

demo: python
	@cd example_project && exec $(PYTHON) -m demo $(ARGS)

test: python
	@$(PYTHON) -m tests.matrix test $(ARGS)

matrix: python
	@$(PYTHON) -m tests.matrix all

soak: python
	@$(PYTHON) -m tests.matrix soak $(ARGS)

django-suite: python
	@$(PYTHON) -m tests.django_suite $(ARGS)

bench: python
	@$(PYTHON) -m benchmarks $(ARGS)

lint: python
	@$(PYTHON) -m tests.matrix lint

clean:
	rm -rf .work build dist *.egg-info .coverage* .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) in PATH; on Debian: apt-get install python3 python3-venv, or make PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, and $(PYTHON) is " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
