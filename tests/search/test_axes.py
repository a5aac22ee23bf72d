"""Words that stand for several values: what they mean, and which are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_cli.config.errors import ConfigError
from recsys_cli.search.axes import Choices, Interval, split, value_of

GROUPS = ["env", "algo"]


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("algo.lr=1e-3,3e-4", (0.001, 0.0003)),
        ("algo.lr=choice(1,2)", (1, 2)),
        ("algo.n=range(1,8,3)", (1, 4, 7)),
        ("algo.x=range(0.1,0.6,0.2)", (0.1, 0.3, 0.5)),
        ("algo.x=null,0.5", (None, 0.5)),
        ("algo.network.hidden=[32,32],[64]", ([32, 32], [64])),
        ("algo.loss=squared,huber", ("squared", "huber")),
        ("algo.x='a,b','c=d'", ("a,b", "c=d")),
        ("algo.x=true,false", (True, False)),
    ],
)
def test_lists_and_ranges_are_choices(word: str, values: tuple[object, ...]) -> None:
    plain, (axis,) = split([word], GROUPS)
    assert plain == [] and isinstance(axis, Choices)
    assert tuple(value_of(axis.key, text) for text in axis.values) == values


def test_glob_takes_the_options_of_a_group() -> None:
    _, (axis,) = split(["env=glob([interest*,long*],exclude=*exploration)"], GROUPS)
    assert axis == Choices("env", ("interest_evolution", "long_term_satisfaction"))


@pytest.mark.parametrize(
    ("word", "axis"),
    [
        ("algo.lr=interval(0,1)", Interval("algo.lr", 0.0, 1.0, log=False, integer=False)),
        ("algo.lr=tag(log,interval(1e-5,1e-2))", Interval("algo.lr", 1e-5, 1e-2, log=True, integer=False)),
        ("algo.n=int(interval(1,100))", Interval("algo.n", 1.0, 100.0, log=False, integer=True)),
        ("algo.n=tag(log,int(interval(1,100)))", Interval("algo.n", 1.0, 100.0, log=True, integer=True)),
    ],
)
def test_intervals(word: str, axis: Interval) -> None:
    assert split([word, "seed=3"], GROUPS) == (["seed=3"], [axis])


@given(
    low=st.floats(1e-6, 1e3),
    factor=st.floats(1.001, 1e6),
    fraction=st.floats(0, 1),
    log=st.booleans(),
    integer=st.booleans(),
)
def test_values_of_an_interval_lie_inside_and_rise(
    low: float, factor: float, fraction: float, log: bool, integer: bool
) -> None:
    if integer:
        low = float(round(low) + 1)
        factor = float(max(2, round(factor)))
    axis = Interval("x", low, low * factor, log, integer)
    value = float(axis.at(fraction))
    assert axis.low <= value <= axis.high
    assert float(axis.at(0.0)) <= value <= float(axis.at(1.0))
    assert not integer or value == int(value)


def test_a_log_interval_is_halved_by_its_geometric_mean() -> None:
    assert float(Interval("x", 1e-4, 1e-2, log=True, integer=False).at(0.5)) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["algo.lr=interval(1e-2,1e-5)"], "the interval is empty, its start 0.01 must be below its end 1e-05"),
        (["algo.lr=interval(1,1)"], "the interval is empty"),
        (["algo.lr=tag(log,interval(0,1))"], "a log interval must start above 0"),
        (["algo.lr=tag(logg,interval(1,2))"], "logg is not a tag of a sweep; allowed: log"),
        (["algo.n=range(10,1)"], "holds no value"),
        (["algo.n=choice()"], "empty choice is not legal"),
        (["algo.n=range(1,3,0)"], "a range of 1 to 1,000 values is expected"),
        (["algo.n=range(0,1,1e-9)"], "a range of 1 to 1,000 values is expected"),
        (["algo.n=interval(1)"], "several values are written a,b or choice(a,b)"),
        (["algo.n=choice(1"], "several values are written a,b or choice(a,b)"),
        (["algo.n=log(1,2)"], "several values are written a,b or choice(a,b)"),
        (["algo.n=tag(log,choice(1,2))"], "tags are for intervals"),
        (["algo.n=interval(0,inf)"], "the ends of an interval must be finite"),
        (["experiment=glob(*)"], "the same for all points"),
        (["algo.lr=1,1"], "1 is listed twice"),
        (["algo.lr=1,2", "algo.lr=3,4"], "algo.lr is given values twice"),
        (["algo.lr=1,2", "algo.lr=3"], "algo.lr is given values twice"),
        (["env=glob(x*)"], "matches none of groups, interest_evolution"),
        (["algo.lr=glob(*)"], "glob chooses among the options of a group; groups: env, algo"),
        (["seed=1,2"], "search.seeds_per_point=3"),
        (["resources.env_runners=1,2"], "the same for all points"),
        (["tracking=off,mlflow"], "the same for all points"),
    ],
)
def test_axes_that_make_no_sense_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        split(words, GROUPS)
    assert message in str(refused.value) and words[-1].partition("=")[0] in str(refused.value)
    assert "\n" not in str(refused.value)
