"""`make demo`: the example site under load, on Django's own engine and on the pool, side by side.

__main__     checks Python, has `environment` prepared, and goes on as `run` inside it
run          the stages, in order
embedded     a PostgreSQL server of our own, from a wheel
server       the demo's database on a server, and what the server counts
site         the example project: its commands, its gunicorn
load         sends the requests, as a process of its own
table        the two results side by side
cleanup      everything that must not outlive the demo, and the signals that end it
options, progress, failure
"""
