"""The engines: each is Django's own, made by the factory in wrapper.py, and nothing else."""
