"""How the connections of one pool are opened: by Django's own methods, on a wrapper made for it.

It owns what a wrapper has to know before and after; the pool owns the connections.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

from .drivers import Driver, driver_class
from .reconnect import state_of
from .registry import copied

__all__ = ["WrapperOpener", "is_unpooled", "unpooled"]

_is_unpooled: contextvars.ContextVar[bool] = contextvars.ContextVar("django_sqla_pool_is_unpooled", default=False)


@contextlib.contextmanager
def unpooled() -> Iterator[None]:
    """Let the wrappers that are made inside connect by themselves, now and later."""
    token = _is_unpooled.set(True)
    try:
        yield
    finally:
        _is_unpooled.reset(token)


def is_unpooled() -> bool:
    """Tell whether a wrapper that is made now is to connect by itself."""
    return _is_unpooled.get()


class WrapperOpener:
    """Opens the connections of one pool by Django's own methods, each on a wrapper of its own.

    Never on a request's wrapper: a method that needs a cursor would check out a connection to open a connection.
    """

    def __init__(self, wrapper_class: type[Any], settings: dict[str, Any], alias: str, is_restoring: bool) -> None:
        self._wrapper_class = wrapper_class
        self._settings: dict[str, Any] = copied(settings)  # as they are now: if they change, there will be another pool
        self._alias = alias
        self._is_restoring = is_restoring  # restore() will be called
        self._driver_class = driver_class(wrapper_class.Database)
        self.facts: dict[str, Any] = {}

    def open(self) -> Driver:
        configurator = self._make_configurator()
        parameters = configurator.get_connection_params()
        connection = configurator.get_new_connection(parameters)
        try:
            _connect(configurator, connection)
            configurator.set_autocommit(self._settings["AUTOCOMMIT"])
            configurator.init_connection_state()
            driver = self._driver_class(connection, self._settings["AUTOCOMMIT"], parameters)
            if self._is_restoring:
                driver.remember_session()
                driver.see_all_cursors()
        except BaseException:
            with contextlib.suppress(Exception):
                connection.close()
            raise
        finally:
            configurator.connection = None
        state = vars(configurator)
        driver.wrapper_state = {name: state[name] for name in driver.wrapper_attributes if name in state}
        driver.reconnected_state = {**driver.wrapper_state, **state_of(connection, driver.autocommit)}
        self.facts.update({name: state[name] for name in driver.facts if name in state})
        return driver

    def restore(self, driver: Driver) -> None:
        driver.reset_session()
        configurator = self._make_configurator()
        vars(configurator).update(driver.wrapper_state)
        _connect(configurator, driver.connection)
        configurator.autocommit = self._settings["AUTOCOMMIT"]
        try:
            configurator.init_connection_state()
        finally:
            configurator.connection = None
            driver.see_all_cursors()

    def is_refusal(self, error: BaseException) -> bool:
        return self._driver_class.is_refusal(error)

    def _make_configurator(self) -> Any:
        with unpooled():
            configurator = self._wrapper_class(self._settings, self._alias)
        vars(configurator).update(self.facts)
        return configurator


def _connect(configurator: Any, connection: Any) -> None:
    configurator.connection = connection
    # Its cursors ask for one. What somebody has put in the place of Django's own, for all wrappers, may connect a request's.
    vars(configurator)["ensure_connection"] = _be_connected


def _be_connected() -> None:
    """It is, as long as anybody uses it."""
