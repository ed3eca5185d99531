"""A site of several tenants, each in a schema of its own; story.py is what happens on it."""
