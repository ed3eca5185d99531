"""The errors of the package. It owns their names; what they say is written where they are raised.

Every one of them is a ``django.db.OperationalError``, so what a project catches today catches it still. SQLAlchemy's own
exceptions never leave the package, save as ``__cause__``.
"""

from django.db.utils import OperationalError

__all__ = ["PoolTimeout"]


class PoolTimeout(OperationalError):
    """No connection became free within TIMEOUT seconds.

    What to do: raise POOL_SIZE or MAX_OVERFLOW if the server can take more connections, or find what holds them: the
    message names the oldest lease and its thread.
    """
