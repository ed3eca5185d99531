"""`make bench`: what a request through the pool costs, against every other way that Django has to a database.

    __main__       the command: python -m benchmarks [--smoke] [--only NAME] [--output FOLDER]
    environments   the virtual environments that the arms run in
    servers        PostgreSQL, MariaDB, PostgreSQL behind TLS, PgBouncer
    arms           the ways to a database that are compared, as Django settings
    worker         a process that measures, and how it is asked
    measured/      what runs inside such a process, or inside gunicorn
    load           sends HTTP requests
    lab            all of that together, for one session
    experiments/   what is measured: checkout, http, contention, churn, footprint, growth
    figures        the samples, and what may be said of them
    tables, plots  the results for people; svg draws

Three rules. Arms are interleaved: every round takes one sample of each, in an order of its own, so that a machine that
slows down slows all of them down. Ratios are taken within a round, and reported as their median with the
quartiles. CPU time is preferred to wall time, since a busy neighbour takes the one and not the other.

The parent process needs nothing but Python's standard library; it measures nothing itself.
"""
