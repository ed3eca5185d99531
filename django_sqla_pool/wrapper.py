"""The factory: Django's DatabaseWrapper, with its connections from a pool.

It owns the way between Django's life cycle of a connection and the pool's leases. Django keeps the driver's own connection
object in ``self.connection``; the lease is kept beside it.
"""

from __future__ import annotations

import contextlib
import time
from asyncio import _get_running_loop
from collections.abc import Iterator
from threading import get_ident
from types import ModuleType
from typing import Any, TypeGuard, TypeVar
from weakref import ref

from django.conf import settings as django_settings
from django.db.backends.base.base import NO_DB_ALIAS, BaseDatabaseWrapper
from django.db.utils import DatabaseErrorWrapper, Error
from django.utils.functional import cached_property

from . import known, reconnect, registry
from .creation import pooled_creation
from .cursors import looking_cursors
from .drivers import driver_class
from .lease import Lease
from .opener import WrapperOpener, is_unpooled, unpooled
from .options import PoolOptions
from .pool import Pool
from .process import mark
from .registry import Lookup
from .semaphore import Closed

__all__ = ["is_pooled", "pooled"]

Wrapper = TypeVar("Wrapper", bound=type[BaseDatabaseWrapper])


def pooled(base: Wrapper) -> Wrapper:
    """Make a DatabaseWrapper whose connections come from a pool.

    ``base``: the DatabaseWrapper of an engine for PostgreSQL, MySQL or MariaDB: Django's own, or a third party's built on
    it. The result is a subclass of it, and may be subclassed in turn. A whole engine is a module ``base.py`` with::

        from some.engine.base import DatabaseWrapper as Unpooled
        from django_sqla_pool import pooled

        DatabaseWrapper = pooled(Unpooled)

    Raises: TypeError - the engine's driver is none of those that can be pooled.
    """
    driver = driver_class(base.Database)  # type: ignore[attr-defined]
    mixin = _Pooled
    if hasattr(base, "mysql_server_data"):
        mixin = _PooledMySQL
    elif hasattr(base, "register_geometry_adapters"):
        mixin = _PooledPostGIS
    namespace = {
        "__doc__": f"{base.__module__}.{base.__qualname__}, with its connections from a pool.",
        "__module__": base.__module__,
        "__qualname__": "DatabaseWrapper",
        "creation_class": pooled_creation(base.creation_class),  # type: ignore[arg-type]
        **looking_cursors(base, driver.holding_word),
    }
    return type("DatabaseWrapper", (mixin, base), namespace)  # type: ignore[return-value]


# The methods of Django's connect() in which an engine opens and sets up a connection. The last one tells whether any is hidden.
_HIDDEN = ("get_connection_params", "get_new_connection", "set_autocommit", "init_connection_state")

_ensure_connection = BaseDatabaseWrapper.ensure_connection  # whatever is put there later


class _Unknown:
    """Has none of Django's methods: see ``known.py``."""

    connect = ensure_connection = close = cursor = _cursor = _prepare_cursor = validate_thread_sharing = timezone_name = None


class _Pooled(BaseDatabaseWrapper):
    """What a pooled wrapper does otherwise than the one it is made from."""

    # Django has these; its type stubs have not.
    Database: ModuleType
    health_check_enabled: bool
    health_check_done: bool
    _thread_ident: int

    _lease: Lease | None
    _previous: Lease | None  # the lease before, and
    _lookup: Lookup  # what it was found by
    _is_pooled: bool  # not until __init__ is through: an engine may query in there
    _uses_tz: bool  # noted when the name of the time zone is
    # The class whose methods super() finds here; _Unknown, if they are of several. To ask it whether they are Django's own takes
    # a third of the steps that it takes to ask super().
    _behind: type[Any]
    _is_plain = False  # true: what is done here in Django's stead is what Django would do, for all that the class says
    _are_cursors_wrapped = False  # by create_cursor(), of which
    _cursor_makers: tuple[Any, Any]  # these are the method of the class and what is behind its guard; None, if that is not known
    _ensures_behind = 0  # the thread in which somebody's own ensure_connection() is running

    def __new__(cls, *args: Any, **kwargs: Any) -> _Pooled:
        # Not on the class as well: what both have is looked for in both, at each use. Nor in __init__, which an engine may leave
        # out, in calling that of Django's engine by its name: then it is not pooled.
        new: Any = super().__new__
        self: _Pooled = new(cls) if new is object.__new__ else new(cls, *args, **kwargs)  # an engine may have its own
        self._lease = self._previous = None
        self._uses_tz = self._is_pooled = False
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_pooled = self.alias != NO_DB_ALIAS and not is_unpooled()

    def __init_subclass__(cls, **details: Any) -> None:
        super().__init_subclass__(**details)
        behind = cls.__mro__[cls.__mro__.index(_Pooled) + 1 :]
        cls._behind = behind[0] if behind[0].__mro__ == behind else _Unknown
        cls._is_plain = (
            reconnect.is_plain(cls)
            and cls.validate_thread_sharing is _Pooled.validate_thread_sharing
            and cls._behind.validate_thread_sharing is known.validate_thread_sharing
        )
        create_cursor = known.unguarded(cls.create_cursor)
        cls._cursor_makers = (create_cursor and cls.create_cursor, create_cursor)

    def find_pool(self) -> Pool | None:
        """Return the pool for the settings as they are now; None if this wrapper connects by itself."""
        lookup = self._look_up()
        return None if lookup is None else lookup.pool

    def _look_up(self) -> Lookup | None:
        settings = self.settings_dict
        if not self._is_pooled or settings["NAME"] is None:
            return None
        if self.vendor == "postgresql" and settings["OPTIONS"].get("pool"):
            return None  # Django's own pool: it was asked for by name
        name = self.timezone_name  # before the other one, which it may change
        return registry.look_up(type(self), settings, (self._uses_tz, name), self.alias, self._make_pool)

    @cached_property
    def timezone_name(self) -> str:
        """As Django says; noted beside it is whether USE_TZ is on, since Django has this made anew when either changes."""
        self._uses_tz = uses_tz = django_settings.USE_TZ  # noted: to ask the settings costs as much as finding the pool
        if uses_tz and self._behind.timezone_name is known.timezone_name:
            name = self.settings_dict["TIME_ZONE"]
            return "UTC" if name is None else name  # as Django's would say, who would ask the settings again
        return super().timezone_name

    def _make_pool(self, options: PoolOptions) -> Pool:
        settings = self.settings_dict
        host = ":".join(str(part) for part in (settings["HOST"] or "localhost", settings["PORT"]) if part)
        user = f"{settings['USER']}@" if settings["USER"] else ""
        name = f"{self.vendor}://{user}{host}/{settings['NAME']}"
        return Pool(name, options, WrapperOpener(type(self), settings, self.alias, options.reset == "session"))

    # ---------------------------------------------------------------------------------------- connecting and closing

    def connect(self) -> None:
        """Connect as Django does, but with a connection from the pool: the one before, by the lease before, if that may be."""
        if self._lease is not None:  # somebody set self.connection to None without closing it
            self._give_back("abandoned")
        try:
            # What Django's own connect() does to a wrapper is done here, and it would refuse nothing: it need not be called.
            is_spared = (
                self._is_plain
                and self._behind.connect is known.connect
                and self.__class__.check_settings is known.check_settings
                and "check_settings" not in self.__dict__
                and (self.settings_dict["TIME_ZONE"] is None or django_settings.USE_TZ)
                and _get_running_loop() is None
            )
            previous = self._previous
            # A copy.copy() of a wrapper shares it, but only the original may go on with it.
            if previous is not None and previous.owner() is self:
                if not mark[0]:
                    registry.notice_fork()
                lookup, time_zone = self._lookup, self.timezone_name
                if (
                    is_spared
                    and not previous.pool.line  # before what takes longer: as long as somebody waits, nobody resumes
                    and lookup.copy == self.settings_dict
                    and lookup.time_zone == (self._uses_tz, time_zone)
                    and previous.pool.resume(previous)
                ):
                    self._lease = previous
                    reconnect.reconnect(self, previous.physical.driver.reconnected_state, previous.since)
                    return
                previous.close()  # there will be another; and an interrupt may have lost this one just after it was resumed
            found = self._look_up()
            if found is not None and is_spared:
                try:
                    lease = self._check_out(found)
                except BaseException:
                    # With this Django's begins.
                    self.__dict__.update(reconnect.state_of(None, self.autocommit), savepoint_ids=[], atomic_blocks=[])
                    raise
                reconnect.reconnect(self, lease.physical.driver.reconnected_state, lease.since)
                return
            if found is not None:
                self._connect_from(found)
                return
        except BaseException:
            # Django would keep a half-prepared connection; the pool wants it back, even if it was only just resumed.
            self.connection = None
            self._lease = self._lease or self._previous
            self._give_back(None)
            raise
        super().connect()

    def _connect_from(self, lookup: Lookup) -> None:
        """Call Django's connect().

        While it runs, the methods in which an engine opens and sets up a connection are hidden: they have been run when the
        pool opened this one, including what a subclass has made of them.
        """
        attributes = self.__dict__
        try:
            # Django calls it last, before connection_created is sent: its receivers find the wrapper as it is.
            attributes["init_connection_state"] = self._unhide
            attributes["get_connection_params"] = lambda: lookup
            attributes["get_new_connection"] = self._get_pooled_connection
            # The pool lends connections with autocommit as the settings want it.
            attributes["set_autocommit"] = self.note_autocommit
            super().connect()
        finally:
            if "init_connection_state" in attributes:  # it has failed, or was interrupted
                self._unhide()

    def ensure_connection(self) -> None:
        """As Django does, but that an event loop is looked for without the exception that says that there is none."""
        if self._behind.ensure_connection is not known.ensure_connection and self._ensures_behind != get_ident():
            # Somebody's own. If it calls what it has found in its place, it comes here again, and Django's is meant.
            try:
                self._ensures_behind = get_ident()
                super().ensure_connection()
            finally:
                self._ensures_behind = 0
        elif _get_running_loop() is not None or (self.connection is None and self.in_atomic_block):
            _ensure_connection(self)  # which may refuse
        elif self.connection is None:
            try:
                self.connect()
            except BaseException:
                with self.wrap_database_errors:
                    raise

    def close(self) -> None:
        """As Django does; where its close() has nothing to refuse, its last step is taken alone."""
        if (
            self._lease is None
            or self.connection is None
            or not self._is_plain
            or self.in_atomic_block
            or self._thread_ident != get_ident()
            or _get_running_loop() is not None
            or self._behind.close is not known.close
        ):
            super().close()
        else:
            self.run_on_commit = []
            self._close()

    def note_autocommit(self, autocommit: bool) -> None:
        """Do what Django's set_autocommit() does while it connects, but for asking the driver, which costs psycopg 3 2 µs."""
        self.autocommit = autocommit
        if autocommit and self.run_commit_hooks_on_set_autocommit_on:
            self.run_and_clear_commit_hooks()
            self.run_commit_hooks_on_set_autocommit_on = False

    def set_autocommit(self, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        """Set autocommit as Django does; without a connection, note what the next one will be lent with."""
        if self.connection is None and self._is_pooled and autocommit == self.settings_dict["AUTOCOMMIT"]:
            # atomic() does this when it has lost its connection. A checkout would have a request that has failed wait for the
            # server, and then hide its error behind that of connecting.
            self.validate_no_atomic_block()
            self.note_autocommit(autocommit)
        else:
            super().set_autocommit(autocommit, *args, **kwargs)

    def _unhide(self) -> None:
        attributes = self.__dict__
        for name in _HIDDEN:
            attributes.pop(name, None)

    def _get_pooled_connection(self, lookup: Lookup) -> Any:
        lease = self._check_out(lookup)
        self.__dict__.update(lease.physical.driver.wrapper_state)
        return lease.connection

    def _check_out(self, lookup: Lookup | None) -> Lease:
        lease = None
        while lease is None:
            assert lookup is not None
            self._lookup = lookup
            try:
                lease = self._lease = lookup.pool.checkout(self, self._previous.physical if self._previous is not None else None)
            except Closed:  # retired since we looked it up
                lookup = self._look_up()
        return lease

    def _close(self) -> None:
        lease = self._lease
        if lease is None:
            super()._close()  # type: ignore[misc]
            return
        # At once, even inside atomic(), where Django keeps it: it will be somebody else's in a moment.
        self.connection = None
        if lease.is_ordinary and lease.owner() is self and mark[0]:  # as _give_back() does, with two steps less
            self._previous = lease
            self._lease = None
            lease.pool.checkin(lease)
        else:
            self._give_back(None)

    def _give_back(self, reason: str | None) -> None:
        if not mark[0]:
            registry.notice_fork()
        lease, self._lease = self._lease, None
        # A copy.copy() of a wrapper shares its lease, but only the original may end it.
        if lease is not None and lease.owner() is self:
            self._previous = lease
            if reason is not None:
                lease.end(reason)
            lease.pause()

    def forget_lease(self) -> None:
        """The connection is the parent's, in a forked child, or closed, at the end of the process: connect again if need be."""
        self._lease = self.connection = None
        if self.in_atomic_block:
            # As after close() inside atomic(): the transaction is not ours either.
            self.closed_in_transaction = True
            self.needs_rollback = True

    def close_pool(self) -> None:
        """Close the connections of this wrapper's pool: the idle ones now, those in use when they come back."""
        if self._lease is not None:
            # It may be of another pool than the settings lead to now: Django calls this when the time zone has changed,
            # and then changes that of the connection.
            self._lease.end("disposed")
        pool = self.find_pool()
        if pool is not None:
            pool.dispose()
        elif close_pool := getattr(super(), "close_pool", None):
            close_pool()

    @contextlib.contextmanager
    def _nodb_cursor(self) -> Iterator[Any]:
        with contextlib.ExitStack() as stack:
            # A connection for CREATE DATABASE and the like must not linger in a pool.
            with unpooled():
                cursor = stack.enter_context(super()._nodb_cursor())
            yield cursor

    # --------------------------------------------------------------------------------------------- what the lease learns

    def cursor(self) -> Any:
        """As Django does, but for the exception, as in ``ensure_connection()``."""
        if self._behind.cursor is known.cursor and _get_running_loop() is None:
            return self._cursor()
        return super().cursor()

    def _cursor(self, name: str | None = None) -> Any:
        """As Django does, for each cursor, with five calls less: what they make sure of is so already, and few fail."""
        if self._behind._cursor is not known.take_cursor:
            return super()._cursor(name)  # type: ignore[misc]
        self.close_if_health_check_failed()
        connects = self.connection is None
        if (
            self.__class__.ensure_connection is not _Pooled.ensure_connection  # it may do something in any case
            or self._behind.ensure_connection is not known.ensure_connection
            or "ensure_connection" in self.__dict__
            or (connects and self.in_atomic_block)  # it may refuse
        ):
            self.ensure_connection()
            connects = False
        try:
            if connects:
                self.connect()
            guarded, create_cursor = self._cursor_makers
            if (
                self.__class__.create_cursor is guarded
                and "create_cursor" not in self.__dict__
                and _get_running_loop() is None
            ):
                cursor = create_cursor(self, name)
            else:
                cursor = self.create_cursor(name)
            return self._prepare_cursor(cursor)
        except BaseException:
            with self.wrap_database_errors:
                raise

    def validate_thread_sharing(self) -> None:
        """As Django does, for each cursor; but who is in the wrapper's own thread need not ask under a lock if others may be."""
        if self._thread_ident != get_ident() or self._behind.validate_thread_sharing is not known.validate_thread_sharing:
            super().validate_thread_sharing()

    def _prepare_cursor(self, cursor: Any) -> Any:
        # Here, where every cursor passes: engines built on this one make theirs in ways of their own.
        lease = self._lease
        if lease is not None:
            cursors = lease.cursors
            if self._are_cursors_wrapped:
                # By Django, and it is the driver's that must not live on. None has a name.
                cursors.append(ref(getattr(cursor, "cursor", cursor)))
                lease.physical.driver.cursors_seen += 1
            elif getattr(cursor, "name", None):
                lease.add_named_cursor(cursor)
            else:
                cursors.append(ref(cursor))
            if len(cursors) >= lease.prune_at:
                lease.prune_cursors()
        if self._behind._prepare_cursor is not known.prepare_cursor:
            return super()._prepare_cursor(cursor)  # type: ignore[misc]
        self.validate_thread_sharing()
        return self.make_debug_cursor(cursor) if self.queries_logged else self.make_cursor(cursor)

    def _note_statement(self, statement: str) -> None:
        """Note, for the end of the lease, a statement that may leave a cursor open which outlives its transaction."""
        lease = self._lease
        if lease is not None and lease.physical.driver.may_hold(statement):
            lease.may_hold_cursors, lease.is_ordinary = True, False

    def is_usable(self) -> bool:
        if self.connection is None:
            return False
        is_usable = super().is_usable()
        if not is_usable and self._lease is not None:
            self._lease.end("dead")
        return is_usable

    def close_if_health_check_failed(self) -> None:
        if not mark[0]:  # here, since Django calls this before anything that uses the connection
            registry.notice_fork()
        if self.connection is None or not self.health_check_enabled or self.health_check_done:
            return
        if not self.is_usable():
            if self._lease is not None:
                self._lease.end("dead")  # whoever has said that it is not usable: it is not to be lent again
            self.close()
        self.health_check_done = True

    def close_if_unusable_or_obsolete(self) -> None:
        lease = self._lease
        if lease is None:
            if self.connection is not None:
                super().close_if_unusable_or_obsolete()
        # With a CONN_MAX_AGE of 0 it is obsolete from the first, and no clock is asked.
        elif (close_at := self.close_at) is None or (close_at != lease.since and time.monotonic() < close_at):
            super().close_if_unusable_or_obsolete()
        else:
            # It is given back in any case, and verified before it is lent again: Django need not look at its autocommit, nor ping
            # it after an error.
            self.close()

    @cached_property
    def wrap_database_errors(self) -> DatabaseErrorWrapper:
        return _ErrorWrapper(self)

    def _note_error(self, error: BaseException) -> None:
        lease = self._lease
        if lease is not None:
            lease.had_errors, lease.is_ordinary = True, False
            driver = lease.physical.driver
            if driver.is_disconnect(error):
                lease.end("dead")
            elif driver.is_demotion(error):
                lease.end("disposed")
                lease.pool.leave(lease.physical, error)


def is_pooled(wrapper: BaseDatabaseWrapper) -> TypeGuard[_Pooled]:
    """Tell whether a wrapper's engine is a pooled one."""
    return isinstance(wrapper, _Pooled)


class _PooledMySQL(_Pooled):
    _are_cursors_wrapped = True

    @cached_property
    def mysql_server_data(self) -> Any:
        """What Django asks the server once per wrapper is asked once per pool: under ASGI every request has its own."""
        pool = self.find_pool()
        if pool is None:
            return super().mysql_server_data  # type: ignore[misc]
        facts = pool.opener.facts
        if "mysql_server_data" not in facts:
            facts["mysql_server_data"] = super().mysql_server_data  # type: ignore[misc]
        return facts["mysql_server_data"]


class _PooledPostGIS(_Pooled):
    def register_geometry_adapters(self, pg_connection: Any, clear_caches: bool = False) -> None:
        """Register PostGIS' types with psycopg 3, as Django does for each new connection."""
        super().register_geometry_adapters(pg_connection, clear_caches)  # type: ignore[misc]
        if clear_caches:
            # The extension has just been created: connections that were opened before do not know its types.
            self.close_pool()


class _ErrorWrapper(DatabaseErrorWrapper):
    """Django's translation of the driver's errors, which tells the lease of each."""

    wrapper: _Pooled

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if exc_type is None:
            return
        # Django's own as well: its MySQL engine turns some of the driver's errors into them before they come here.
        if issubclass(exc_type, (self.wrapper.Database.Error, Error)):
            self.wrapper._note_error(exc_value)
        super().__exit__(exc_type, exc_value, traceback)
