"""What `make test` does: chooses interpreters and environments, makes them, runs the tests in each, and reports.

Needs nothing but Python's standard library, since it is what brings the rest.
environments, interpreters <- tools <- session -> report
"""
