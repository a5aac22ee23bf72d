"""The database of a service's bookkeeping: what of the log was folded, what waits, and the policies' statistics.

Everything in it follows from the log. Every change is one transaction with the log's offsets, so each record counts
exactly once, however the bookkeeper dies. One service has one database; bookkeepers of several machines share one on
PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy import Boolean, Column, Connection, Engine, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from recsys_cli.config.errors import ConfigError

tables = MetaData()
Name = String(300).with_variant(postgresql.VARCHAR(300, collation="C"), "postgresql")  # sorted by bytes in both

segments = Table(  # of the log: the byte up to which it was folded, and the period in which it last grew
    "segments",
    tables,
    Column("name", Name, primary_key=True),
    Column("offset", sql.BigInteger, nullable=False),
    Column("seen", Integer, nullable=False),
)
decisions = Table(  # that wait, or have counted and are remembered for a while
    "decisions",
    tables,
    Column("event_id", Name, primary_key=True),
    Column("session", Name, nullable=False, index=True),
    Column("time_ms", sql.BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("seen", Integer, nullable=False, index=True),
    Column("settled", Integer, index=True),
)
reports = Table(  # of what came of decisions, also of those not seen yet
    "reports",
    tables,
    Column("event_id", Name, primary_key=True),
    Column("reward_id", Name, primary_key=True),
    Column("time_ms", sql.BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("seen", Integer, nullable=False, index=True),
)
endings = Table(  # of sessions, as a report of one of their decisions said
    "endings",
    tables,
    Column("event_id", Name, primary_key=True),
    Column("seen", Integer, nullable=False, index=True),
)
activations = Table(
    "activations",
    tables,
    Column("event_id", Name, primary_key=True),
    Column("seen", Integer, nullable=False),
)
sessions = Table(  # that are open: the period of their last sign of life, and whether they were said to be over
    "sessions",
    tables,
    Column("session", Name, primary_key=True),
    Column("seen", Integer, nullable=False, index=True),
    Column("final", Boolean, nullable=False),
)
arms = Table(  # statistics by what is observed, policy and version
    "arms",
    tables,
    Column("kind", Name, primary_key=True),
    Column("policy", Name, primary_key=True),
    Column("version", Name, primary_key=True),
    Column("count", sql.BigInteger, nullable=False),
    Column("total", Text, nullable=False),
    Column("squares", Text, nullable=False),
    Column("gram", LargeBinary),
    Column("moment", LargeBinary),
)
epochs = Table(  # that have ended: what the router knew then, as it is written to the log and to router.json
    "epochs",
    tables,
    Column("epoch", Integer, primary_key=True),
    Column("time_ms", sql.BigInteger, nullable=False),
    Column("clock_ms", sql.BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("offsets", Text, nullable=False),
    Column("logged", Boolean, nullable=False),
)
switches = Table(
    "switches",
    tables,
    Column("name", Name, primary_key=True),
    Column("on", Boolean, nullable=False),
    Column("changed_ms", sql.BigInteger, nullable=False),
)
facts = Table(  # single values: the service's name, the clock, the live policies, counters
    "facts",
    tables,
    Column("name", Name, primary_key=True),
    Column("value", Text, nullable=False),
)

CLOCK = "clock_ms"  # the fact that holds the bookkeeping's clock
LEADER, CHANGES = 7_350_211, 7_350_212  # advisory locks of PostgreSQL
SECONDS = 5  # to wait for a lock or a server


class Store:
    """A database and its transactions.

    Raises sqlalchemy.exc.SQLAlchemyError from all methods while it cannot be reached or is locked; nothing is changed
    then, and the same call may be repeated.
    """

    def __init__(self, url: str, service: str) -> None:
        """Name a database; nothing is opened yet.

        Args:
            url: `sqlite:///<file>`, `sqlite://` (in memory) or `postgresql://...`.
            service: that it must belong to.

        Raises:
            ConfigError: not such a URL.
        """
        self._engine, self._service = _engine(url), service
        self._ready = False
        self._leader: Connection | None = None

    @property
    def server(self) -> bool:
        """Whether other machines may use it too."""
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def transaction(self, exclusive: bool = False) -> Iterator[Connection]:
        """Yield a connection within a transaction; on leaving it is committed, after an exception undone.

        Args:
            exclusive: whether other bookkeepers must not fold meanwhile.

        Raises:
            ConfigError: the database belongs to another service.
        """
        with self._engine.begin() as connection:
            if self.server:
                shared = "" if exclusive or not self._ready else "_shared"
                connection.execute(sql.text(f"SELECT pg_advisory_xact_lock{shared}({CHANGES})"))
            if not self._ready:
                self._prepare(connection)
            yield connection
        self._ready = True

    def leads(self) -> bool:
        """Return whether this bookkeeper is the one that ends epochs; true from the first call until it dies."""
        if not self.server:
            return True
        try:
            if self._leader is None:
                self._leader = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            return bool(self._leader.scalar(sql.text(f"SELECT pg_try_advisory_lock({LEADER})")))
        except SQLAlchemyError:
            self._leave()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._leave()
        self._engine.dispose()

    def _leave(self) -> None:
        if self._leader is not None:
            self._leader.invalidate()
            self._leader.close()
            self._leader = None

    def _prepare(self, connection: Connection) -> None:
        tables.create_all(connection)
        known = fact(connection, "service")
        if known is None:
            put_fact(connection, "service", self._service)
        elif known != self._service:
            raise ConfigError(
                f"router.state names the database of the service {known}, and this one is {self._service}: each needs "
                "its own"
            )


def fact(connection: Connection, name: str) -> str | None:
    """Return a single value."""
    found: str | None = connection.scalar(sql.select(facts.c.value).where(facts.c.name == name))
    return found


def put_fact(connection: Connection, name: str, value: str) -> None:
    """Set a single value."""
    put(connection, facts, [{"name": name, "value": value}], ["value"])


def put(
    connection: Connection,
    table: Table,
    rows: Sequence[dict[str, Any]],
    update: Sequence[str] = (),
    if_smaller: Sequence[str] = (),
) -> None:
    """Insert rows; of a row that is there, change some columns.

    Args:
        connection: within a transaction.
        table: to write to.
        rows: with all columns.
        update: columns to change; none: the row that is there stays.
        if_smaller: columns that, compared in their order, must be smaller in the new row for a change.
    """
    if not rows:
        return
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
    if not update:
        connection.execute(insert.on_conflict_do_nothing(), list(rows))
        return
    smaller = None
    if if_smaller:
        smaller = sql.tuple_(*(insert.excluded[name] for name in if_smaller)) < sql.tuple_(
            *(table.c[n] for n in if_smaller)
        )
    change = insert.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={name: insert.excluded[name] for name in update}, where=smaller
    )
    connection.execute(change, list(rows))


def url_of(state: str | None, file: Path) -> str:
    """Return the URL of `router.state`, or that of the service's own file."""
    return state or f"sqlite:///{file}"


def _engine(url: str) -> Engine:
    try:
        parsed = sql.make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError(f"router.state={url.partition('://')[0]}://... is not the URL of a database") from None
    if parsed.drivername == "sqlite":
        return _sqlite(parsed)
    options = f"-c lock_timeout={SECONDS}s -c statement_timeout=60s"
    server = parsed.set(drivername="postgresql+psycopg")
    return sql.create_engine(server, connect_args={"connect_timeout": SECONDS, "options": options})


def _sqlite(url: sql.URL) -> Engine:
    """Return an engine whose transactions lock the file at once, and are on disk once they are over."""
    memory = url.database in (None, "", ":memory:")
    pool: dict[str, Any] = {"poolclass": sql.StaticPool} if memory else {}
    engine = sql.create_engine(url, connect_args={"timeout": SECONDS, "check_same_thread": False}, **pool)

    @sql.event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin as below, not by the driver
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @sql.event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
