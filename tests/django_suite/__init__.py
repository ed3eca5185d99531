"""Django's own test suite on our engines, compared test by test with the same run on Django's engines.

    python3 -m tests.django_suite [--django 6.1] [--engine postgresql-psycopg] [--modules backends transactions ...]

Needs nothing but Python's standard library, since it is what brings the rest.
inside/ is what runs in the suite's own process: its settings, and the runner that writes one line for each event.
results <- comparison; engines, provision <- suite <- __main__
"""
