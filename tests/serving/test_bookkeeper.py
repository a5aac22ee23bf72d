"""The bookkeeper: what counts, once, in whatever order it comes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving.bookkept import Books, activated, decided, live, rewarded

from recsys_cli.config.structured import load
from recsys_cli.serving.log.records import EpochRecord, Record
from recsys_cli.serving.router import bookkeeper
from recsys_cli.serving.router.replay import replay_epochs
from recsys_cli.serving.router.settling import Rules

LIVE = live(a="1", b="1")


@pytest.fixture(autouse=True)
def nothing_is_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def books(path: Path, *records: Record, **changes: Any) -> Books:
    made = Books(path / "service", **changes)
    made.write(LIVE, *records)
    return made


def test_a_session_counts_once_it_is_over_with_the_sum_of_its_rewards(tmp_path: Path) -> None:
    made = books(tmp_path, decided("1", "s"), decided("2", "s", step=1), rewarded("1", 2.0))
    made.after(10)
    assert made.told() == {}
    made.write(rewarded("2", 3.0, final=True))
    made.after(10)
    assert made.told() == {"a": (1, 5.0)}
    made.after(300)
    assert made.told() == {"a": (1, 5.0)}


def test_that_a_session_is_over_takes_no_report_s_place(tmp_path: Path) -> None:
    made = books(tmp_path, decided("1"), rewarded("1", final=True), rewarded("1", 4.0, time_ms=1))
    made.after(10)
    assert made.told() == {"a": (1, 4.0)}


def test_a_silent_session_counts_with_default_rewards(tmp_path: Path) -> None:
    made = books(tmp_path, decided("1", "s"), decided("2", "s", step=1), rewarded("2", 3.0), default_reward=-1.0)
    made.after(10, 99)
    assert made.told() == {}  # seen in the period that ended after 10 seconds
    made.after(10)
    assert made.told() == {"a": (1, 2.0)} and made.counters()["defaulted"] == 1


def test_reports_keep_a_session_alive(tmp_path: Path) -> None:
    made = books(tmp_path, decided("1", "s"))
    made.after(10, 60)
    made.write(rewarded("1", 1.0))
    made.after(10, 90)
    assert made.told() == {}
    made.after(20)
    assert made.told() == {"a": (1, 1.0)}


def test_a_decision_counts_with_its_reward_or_after_the_wait(tmp_path: Path) -> None:
    made = books(tmp_path, decided("1"), decided("2", policy="b"), rewarded("1", 4.0), unit="decision")
    made.after(10)
    assert made.told() == {"a": (1, 4.0)}
    made.after(49)
    assert made.told() == {"a": (1, 4.0)}
    made.after(10)
    assert made.told() == {"a": (1, 4.0), "b": (1, 0.0)}
    made.write(rewarded("2", 9.0))
    made.after(10)
    assert made.told()["b"] == (1, 0.0) and made.counters()["late"] == 1


def test_clicks_are_rewards(tmp_path: Path) -> None:
    clicks = [rewarded("1", clicked="z"), rewarded("2", clicked="y")]
    made = books(tmp_path, decided("1"), decided("2"), *clicks, unit="decision")
    made.after(10, 60)
    assert made.told() == {"a": (2, 0.5)}  # y was not shown


def test_the_same_event_and_the_same_report_count_once(tmp_path: Path) -> None:
    twice = [decided("1", "s"), rewarded("1", 2.0, time_ms=5, final=True), rewarded("1", 7.0, time_ms=3)]
    made = books(tmp_path, *twice)
    made.write(*twice, segment="1")
    made.after(10)
    assert made.told() == {"a": (1, 7.0)}  # the earlier of the two
    made.write(*twice, segment="2")
    made.after(10, 110)
    assert made.told() == {"a": (1, 7.0)}


def test_several_reports_of_one_decision_are_summed_after_the_wait(tmp_path: Path) -> None:
    parts = [rewarded("1", 2.0, reward_id="p"), rewarded("1", 3.0, time_ms=1, reward_id="q")]
    made = books(tmp_path, decided("1"), *parts, unit="decision")
    made.after(10, 40)
    assert made.told() == {}
    made.after(10)
    assert made.told() == {"a": (1, 5.0)}
    first = books(tmp_path / "other", decided("1"), *parts, unit="decision", aggregation="earliest")
    first.after(10)
    assert first.told() == {"a": (1, 2.0)}


def test_a_report_may_come_before_its_decision_or_belong_to_none(tmp_path: Path) -> None:
    made = books(tmp_path, rewarded("1", 2.0, final=True), rewarded("lost", 1.0))
    made.after(30)
    made.write(decided("1"))
    made.after(10)
    assert made.told() == {"a": (1, 2.0)}
    made.after(60)
    assert made.counters()["orphans"] == 1


def test_deferred_decisions_count_once_activated(tmp_path: Path) -> None:
    made = books(tmp_path, decided("1", active=False), rewarded("1", 2.0), decided("2", active=False), unit="decision")
    made.after(20)
    assert made.told() == {}
    made.write(activated("1"))
    made.after(10)
    assert made.told() == {"a": (1, 2.0)}
    made.after(60)
    assert made.told() == {"a": (1, 2.0)} and made.counters()["unactivated"] == 1


def test_a_session_belongs_to_the_policy_that_began_it(tmp_path: Path) -> None:
    made = books(tmp_path, decided("2", "s", policy="b", step=1), decided("1", "s"), rewarded("2", 5.0, final=True))
    made.after(10, 50)
    assert made.told() == {"a": (1, 5.0)}


def test_a_new_version_begins_anew(tmp_path: Path) -> None:
    made = books(tmp_path, decided("1"), rewarded("1", 5.0, final=True))
    made.after(10)
    assert made.published()["report"]["policies"]["a"]["count"] == 1
    made.write(live(time_ms=-5, a="2", b="1"))  # a later period goes before a clock that went back
    made.after(10)
    assert made.published()["versions"] == {"a": "2", "b": "1"}
    assert made.published()["report"]["policies"]["a"]["count"] == 0


def test_agreement_with_the_caller_is_reported(tmp_path: Path) -> None:
    made = books(tmp_path, decided("1", policy="caller", version=""), router="apprentice")
    made.write(decided("2", policy="caller", version="", by_policy={"a": 0.0, "b": None}))
    made.after(10)
    agreement = made.published()["report"]["agreement"]
    assert (agreement["a"]["count"], agreement["a"]["mean"]) == (2, 0.5)
    assert (agreement["b"]["count"], agreement["b"]["mean"]) == (1, 0.25)


@pytest.mark.parametrize("jump", [-7_200_000, 7_200_000])
def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, jump: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for jumped in (0, jump):
        made = books(tmp_path / str(jumped), decided("1", time_ms=1000), decided("2", time_ms=1001), unit="decision")
        made.after(10)
        monkeypatch.setattr("time.time", lambda jumped=jumped: 1000 + jumped / 1000)
        made.write(decided("3", time_ms=2000 + jumped), rewarded("1", 3.0, time_ms=2000 + jumped))
        found.append([made.after(10), made.after(30), made.after(30), made.counters()])
    assert found[0] == found[1]
    assert [arms["a", "1"].count for arms in found[1][:3]] == [1, 1, 3]


def test_hours_in_which_the_service_is_down_default_nothing(tmp_path: Path) -> None:
    made = books(tmp_path, decided("1"), unit="decision")
    made.after(20)
    made.bookkeeper.close()
    made.now += 36_000
    made.start()
    made.write(rewarded("1", 2.0))
    made.after(10)
    assert made.told() == {"a": (1, 2.0)}


def test_what_was_logged_while_the_bookkeeper_hung_is_joined_before_anything_is_defaulted(tmp_path: Path) -> None:
    made = books(tmp_path, decided("1"), unit="decision")
    made.after(20)
    made.write(rewarded("1", 2.0))
    made.now += 36_000
    made.bookkeeper.step()
    assert made.told() == {"a": (1, 2.0)}


def test_a_log_that_grows_while_it_is_read_holds_no_epoch_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, original = books(tmp_path, decided("1"), rewarded("1", 2.0, final=True)), bookkeeper.fold

    def fold(*arguments: Any) -> None:
        assert len(written) < 9
        original(*arguments)
        written.append(decided(f"more {len(written)}"))
        made.write(written[-1])

    written: list[Record] = []
    monkeypatch.setattr(bookkeeper, "fold", fold)
    made.after(10)
    assert made.told() == {"a": (1, 2.0)} and made.published()["epoch"] == 1


def test_only_one_bookkeeper_of_a_folder_works(tmp_path: Path) -> None:
    made = books(tmp_path, decided("1"), rewarded("1", 2.0, final=True))
    other = Books(tmp_path / "service")
    other.after(20)
    assert other.arms() == {}
    made.after(10)
    assert made.told() == {"a": (1, 2.0)}
    made.bookkeeper.close()
    other.after(10, 10)
    assert other.published()["epoch"] == 2


def test_a_lost_database_is_rebuilt_from_the_log(tmp_path: Path) -> None:
    made = books(tmp_path, *(decided(f"{n}") for n in range(6)), router="linucb")
    for n in range(6):
        made.write(rewarded(f"{n}", n * 0.1, final=True))
        made.after(10)
    before, arms = made.published(), made.arms()
    made.bookkeeper.close()
    for file in made.folder.path.glob("state.db*"):
        file.unlink()
    made.folder.router.unlink()
    made.start()
    assert made.published() == before
    rebuilt = made.arms()
    assert {key: (arm.count, arm.total, arm.squares) for key, arm in rebuilt.items()} == {
        key: (arm.count, arm.total, arm.squares) for key, arm in arms.items()
    }
    made.after(10)
    assert made.published()["epoch"] == before["epoch"] + 1


def test_the_numbers_of_epochs_go_on_if_the_log_s_beginning_was_removed(tmp_path: Path) -> None:
    made = books(tmp_path, decided("1"), rewarded("1", 1.0, final=True))
    made.after(10, 10)
    state = made.published() | {"clock_ms": 70_000}
    made.bookkeeper.close()
    for file in made.folder.log.glob("*-*.jsonl"):  # the bookkeeper's
        file.unlink()
    made.write(
        EpochRecord(time_ms=5, epoch=7, state={name: state[name] for name in state if name != "epoch"}, offsets={})
    )
    made.start()
    assert made.published() == state | {"epoch": 7}
    made.after(10)
    assert made.published()["epoch"] == 8 and made.published()["clock_ms"] == 80_000
    assert made.told() == {"a": (1, 1.0)}


@pytest.mark.parametrize("router", ["thompson", "linucb", "ab_test", "shadow"])
def test_a_replay_computes_the_same_epochs(tmp_path: Path, router: str) -> None:
    made = books(tmp_path, router=router)
    for n in range(60):
        made.write(decided(f"{n}", policy="ab"[n % 2], time_ms=n), rewarded(f"{n}", 0.1 * n), segment=str(n % 3))
        if n % 12 == 0:
            made.after(10)
    made.after(10, 110)
    replayed = replay_epochs(made.folder.log, made.rules)
    assert replayed.different == [] and len(replayed.epochs) == made.published()["epoch"] == 7
    assert replayed.arms.keys() == made.arms().keys()
    for key, arm in made.arms().items():
        assert arm.count and (arm.total, arm.squares) == (replayed.arms[key].total, replayed.arms[key].squares)
    changed = replay_epochs(
        made.folder.log,
        Rules(load("router", router, wait_seconds=51.0, epoch_seconds=10.0, unit="decision"), "click", 100.0),
    )
    assert changed.different


EVENTS = st.lists(
    st.one_of(
        st.builds(decided, st.sampled_from("123"), st.sampled_from("st"), st.sampled_from("ab"), st.integers(0, 3)),
        st.builds(
            rewarded, st.sampled_from("123"), st.sampled_from([None, 0.1, 0.2]), st.integers(0, 3), final=st.booleans()
        ),
        st.builds(activated, st.sampled_from("123")),
    ),
    max_size=12,
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, data=st.data(), unit=st.sampled_from(["session", "decision"]))
def test_the_order_of_records_between_segments_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, events: list[Record], data: st.DataObject, unit: str
) -> None:
    shuffled = data.draw(st.permutations(events))
    found = []
    for order in (events, shuffled):
        made = books(tmp_path_factory.mktemp("order"), unit=unit)
        for n, record in enumerate(order):
            made.write(record, segment=str(n))
        made.after(10)
        early = made.arms()
        found.append((early, made.after(60, 60), made.counters()))
        made.bookkeeper.close()
    assert found[0] == found[1]
