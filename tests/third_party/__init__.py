"""Engines as a user would write them to pool a third party's: underneath ours (``_under``), and on top of ours (``_over``)."""
