"""The bookkeeping's database: transactions that survive, SQLite and PostgreSQL."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving.bookkept import Books, decided, live, rewarded
from serving.postgres import Server, running

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.serving.log.records import Record
from recsys_cli.serving.log.segments import Segment
from recsys_cli.serving.messages import RouterChange
from recsys_cli.serving.router import bookkeeper, store
from recsys_cli.serving.router.replay import replay_epochs
from recsys_cli.serving.router.view import RouterView

pytestmark = pytest.mark.xdist_group("postgres")
LIVE = live(a="1", b="1")
Statistics = dict[Any, Any]


@pytest.fixture(autouse=True)
def nothing_is_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as found:
        yield found


def day(sessions: int = 30) -> list[list[Record]]:
    """A log in parts."""
    parts: list[list[Record]] = [[LIVE]]
    for n in range(sessions):
        begun = [decided(f"{n}.{step}", f"s{n}", "ab"[n % 2], step=step) for step in range(2)]
        parts.append([*begun, rewarded(f"{n}.0", 0.1 * n), rewarded(f"{n}.1", 0.3, final=True)])
    return parts


def counted(books: Books) -> Statistics:
    return {key: (arm.count, arm.total, arm.squares) for key, arm in books.arms().items()}


def undisturbed(path: Path) -> Statistics:
    books = Books(path)
    books.write(*(record for part in day() for record in part))
    books.after(10)
    return counted(books)


def view(books: Books) -> RouterView:
    return RouterView(books.folder.path, books.rules.router, ["a", "b"])


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_both_databases_keep_the_same(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    file = f"sqlite:///{tmp_path / 'state.db'}"
    state = file if kind == "sqlite" else request.getfixturevalue("server").database("same")
    books = Books(tmp_path / "service", state=state)
    for n, part in enumerate(day()):
        books.write(*part, segment=str(n % 3))
        if n % 10 == 0:
            books.after(10)
            books.bookkeeper.close()
            books.start()
    books.after(10, 100)
    assert counted(books) == undisturbed(tmp_path / "other")
    assert replay_epochs(books.folder.log, books.rules).different == []
    books.bookkeeper.close()


def test_machines_share_a_server(tmp_path: Path, server: Server) -> None:
    state = server.database("shared")
    first = Books(tmp_path / "1" / "service", state=state)
    second = Books(tmp_path / "2" / "service", state=state)
    first.write(LIVE, *(decided(f"{n}") for n in range(4)), segment="first")
    second.write(*(rewarded(f"{n}", 1.5, final=True) for n in range(4)), segment="second")
    second.after(10, 10)
    assert second.arms() == {} and second.published() == {}  # the first ends epochs
    first.after(10)
    second.bookkeeper.step()
    assert first.told() == {"a": (4, 1.5)} and first.published() == second.published()
    assert first.published()["epoch"] == 1
    view(first).change(RouterChange(disable=["b"]))
    first.bookkeeper.step()
    second.bookkeeper.step()
    assert view(second).now.switches.disabled == {"b"}
    first.bookkeeper.close()  # and the other takes over
    second.after(10, 10)
    assert second.published()["epoch"] == 2
    second.bookkeeper.close()
    with pytest.raises(ConfigError, match="the service service, and this one is other"):
        next(iter(store.Store(state, "other").transaction().gen))


def test_decisions_go_on_while_the_server_is_away(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SECONDS", 1)
    books = Books(tmp_path / "service", state=server.database("away"))
    books.write(LIVE, *(decided(f"{n}") for n in range(3)))
    books.after(10)
    server.stop()
    books.write(*(rewarded(f"{n}", 2.0, final=True) for n in range(3)))
    books.now += 1000
    books.bookkeeper.step()
    assert books.bookkeeper.problem and "\n" not in books.bookkeeper.problem
    found = view(books)
    assert found.epoch == 1 and found.weights(np.zeros((1, 1))).sum() == pytest.approx(1)
    server.start()
    books.after(10)
    assert books.bookkeeper.problem is None and books.told() == {"a": (3, 2.0)}
    books.bookkeeper.close()


def test_a_locked_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SECONDS", 0.05)
    books = Books(tmp_path / "service", state=None)
    books.write(LIVE, decided("1"))
    books.after(10)
    other = sqlite3.connect(books.folder.state, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    books.write(rewarded("1", 2.0, final=True))
    books.now += 1000
    books.bookkeeper.step()
    assert books.bookkeeper.problem == "database is locked"
    view(books).change(RouterChange(only_control=True))
    assert list(view(books).weights(np.zeros((1, 1)))[0]) == [1, 0]
    other.execute("ROLLBACK")
    books.after(10)
    assert books.bookkeeper.problem is None and books.told() == {"a": (1, 2.0)}


def test_it_is_said_how_far_the_books_are(tmp_path: Path) -> None:
    books = Books(tmp_path / "service")
    lag = view(books).lag_seconds()
    assert lag is not None and lag < 60
    assert RouterView(tmp_path, books.rules.router, ["a"]).lag_seconds() is None


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("mysql://me:secret@host/db", r"router.state is .* allowed: sqlite:///<file>, postgresql://"),
        ("state.db", r"allowed: sqlite:///<file>"),
        ("postgresql://me:secret@host:port/db", r"is not the URL of a database"),
    ],
)
def test_what_is_no_database_is_refused_without_its_password(tmp_path: Path, state: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        store.Store(store.url_of(load("router", "thompson", state=state).state, tmp_path / "x"), "service")
    assert "secret" not in str(refused.value)


def killed(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def child(path: Path, prepare: Callable[[], None]) -> None:
    """Keep books in this process until it is killed, an epoch every 10 steps."""
    prepare()
    books = Books(path, state=None)
    while True:
        books.now += 1.0
        books.bookkeeper.step()


def stopped_at(monkeypatch: pytest.MonkeyPatch, moment: str) -> Callable[[], None]:
    """Let a bookkeeper be killed at some moment of an epoch's end."""
    places: dict[str, tuple[Any, str]] = {
        "folding": (bookkeeper, "fold"),
        "ending": (bookkeeper, "end_epoch"),
        "logging": (Segment, "write"),
        "publishing": (bookkeeper, "write_json"),
    }
    where, name = places[moment]

    def after(*arguments: Any, **options: Any) -> None:
        original(*arguments, **options)
        killed()

    original = getattr(where, name)
    return lambda: monkeypatch.setattr(where, name, killed if moment == "publishing" else after)


@pytest.mark.parametrize("moment", ["folding", "ending", "logging", "publishing"])
def test_a_bookkeeper_killed_at_any_moment_loses_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    books = Books(tmp_path / "service", state=None)
    books.bookkeeper.close()
    books.write(*(record for part in day() for record in part))
    forked = multiprocessing.get_context("fork")
    process = forked.Process(target=child, args=(books.folder.path, stopped_at(monkeypatch, moment)))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    books.start()
    books.after(10, 10)
    assert counted(books) == undisturbed(tmp_path / "other")
    replayed = replay_epochs(books.folder.log, books.rules)
    assert replayed.different == [] and max(replayed.epochs) == books.published()["epoch"]


def test_a_bookkeeper_killed_again_and_again_loses_and_repeats_nothing(tmp_path: Path) -> None:
    books = Books(tmp_path / "service", state=None)
    books.bookkeeper.close()
    forked = multiprocessing.get_context("fork")
    parts = day()
    rng = np.random.default_rng(0)
    for begin in range(0, len(parts), 8):
        process = forked.Process(target=child, args=(books.folder.path, lambda: None))
        process.start()
        for part in parts[begin : begin + 8]:
            books.write(*part)
            time.sleep(rng.uniform(0, 0.05))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join(60)
    books.start()
    books.after(10, 10)
    assert counted(books) == undisturbed(tmp_path / "other")
    assert replay_epochs(books.folder.log, books.rules).different == []
