"""What reports of a decision mean, in any order and sent any number of times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_cli.serving.log.records import RewardRecord
from recsys_cli.serving.log.rewards import outcome_of, response_of, value_of

SHOWN = ["a", "b"]


def report(**values) -> RewardRecord:
    return RewardRecord(**{"event_id": "e", "time_ms": 0, **values})


@pytest.mark.parametrize(
    ("values", "field", "expected"),
    [
        ({"reward": 3.0, "clicked": "a"}, "click", 3.0),
        ({"response": {"click": [0, 1], "watch_time": [5, 7]}}, "watch_time", 7.0),
        ({"clicked": "b", "response": {"watch_time": [5, 7]}}, "watch_time", 7.0),
        ({"response": {"click": [1, 1]}}, "click", 2.0),
        ({"response": {"click": [1, 0], "watch_time": [5, 7]}}, None, 1.0),
        ({"clicked": "a"}, "watch_time", 1.0),  # the time wasn't reported
        ({"response": {"click": [1]}}, "click", 1.0),
        ({"response": {"watch_time": [5, 7]}}, "watch_time", 0.0),
        ({"clicked": "elsewhere"}, "click", None),
        ({"final": True}, "click", None),
    ],
)
def test_value(values, field, expected):
    assert value_of(report(**values), SHOWN, field) == expected


def test_response_is_as_long_as_the_slate():
    found = response_of(report(clicked="a", response={"quality": [0.5, 1.0, 2.0]}), SHOWN)
    assert found == {"quality": [0.5, 1.0], "click": [1.0, 0.0]}


def test_each_reward_id_counts_once_and_those_without_are_one():
    reports = [report(time_ms=t, reward=float(t), reward_id=name) for t, name in enumerate(["x", None, "x", None, "y"])]
    assert outcome_of(reports, SHOWN, "click", "sum").value == 0 + 1 + 4
    assert outcome_of(reports[1:], SHOWN, "click", "earliest").value == 1


def test_a_reward_and_the_end_may_come_apart():
    reports = [
        report(final=True),
        report(time_ms=1, reward=2.0),
        report(time_ms=2, clicked="b", reward_id="c"),
    ]
    outcome = outcome_of(reports, SHOWN, "click", "earliest")
    assert (outcome.value, outcome.response, outcome.final) == (2.0, {"click": [0.0, 1.0]}, True)


REPORTS = st.builds(
    report,
    time_ms=st.integers(0, 3),
    reward=st.none() | st.floats(-10, 10),
    clicked=st.none() | st.sampled_from(["a", "b", "c"]),
    reward_id=st.none() | st.sampled_from(["x", "y"]),
    final=st.booleans(),
)


@given(st.lists(REPORTS, max_size=6), st.randoms(), st.sampled_from(["sum", "earliest"]))
def test_order_and_duplicates_do_not_matter(reports, random, aggregation):
    again = [*reports, *random.choices(reports, k=3)] if reports else []
    random.shuffle(again)
    assert outcome_of(again, SHOWN, "click", aggregation) == outcome_of(reports, SHOWN, "click", aggregation)
