"""The points of a sweep: all composed and checked before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.runs.plan import Point
from recsys_cli.search.checks import check_sweep
from recsys_cli.search.points import Space

sys.path.insert(0, str(Path(__file__).parents[1] / "offline"))

from logs import log_of

SEARCHES = sorted(path.stem for path in (conf_dir() / "search").glob("[!_]*.yaml"))
NEEDS = {"bohb", "optuna"}  # packages of their own
ALGORITHMS = sorted(path.stem for path in (conf_dir() / "algo").glob("[!_]*.yaml"))


def values(words: list[str]) -> list[dict[str, str]]:
    return [dict(point.values) for point in check_sweep(Space(words))]


def configs(words: list[str]) -> list[Point]:
    return check_sweep(Space(words))


def test_a_grid_holds_every_combination_once() -> None:
    points = configs(["algo.lr=1e-3,1e-4", "algo.discount=0.9,1.0", "env.slate_size=3"])
    assert [(point.config.algo.lr, point.config.algo.discount) for point in points] == [
        (lr, discount) for lr in (1e-3, 1e-4) for discount in (0.9, 1.0)
    ]
    assert {point.config.env.slate_size for point in points} == {3}
    assert [point.name for point in points] == ["p000", "p001", "p002", "p003"]


def test_a_grid_cuts_an_interval_into_points_with_both_ends() -> None:
    assert values(["algo.lr=tag(log,interval(1e-4,1e-2))", "search.interval_points=3"]) == [
        {"algo.lr": "0.0001"},
        {"algo.lr": "0.001"},
        {"algo.lr": "0.01"},
    ]


def test_a_key_that_only_one_algorithm_has_is_an_axis_of_that_alone() -> None:
    assert values(["algo=slateq,linucb,ppo", "algo.lr=1e-3,1e-4", "algo.alpha=0.5"]) == [
        {"algo": "slateq", "algo.lr": "0.001"},
        {"algo": "slateq", "algo.lr": "0.0001"},
        {"algo": "linucb"},
        {"algo": "ppo", "algo.lr": "0.001"},
        {"algo": "ppo", "algo.lr": "0.0001"},
    ]


def test_groups_are_axes_too() -> None:
    found = values(["env=glob(interest*)", "algo=slateq,linucb"])
    assert len(found) == 4 and found[0] == {"env": "interest_evolution", "algo": "slateq"}
    assert configs(["env=glob(*)"])[3].problem == "env=long_term_satisfaction"


def test_random_points_are_distinct_inside_and_the_same_for_the_same_seed() -> None:
    words = ["search=random", "search.trials=12", "algo.lr=tag(log,interval(1e-5,1e-2))", "algo.batch_size=64,128"]
    found = values(words)
    assert found == values(words) != values([*words, "search.seed=1"])
    assert len({tuple(point.items()) for point in found}) == 12
    assert all(1e-5 <= float(point["algo.lr"]) <= 1e-2 for point in found)
    below = sum(float(point["algo.lr"]) < 3.16e-4 for point in found)
    assert 2 <= below <= 10  # half of them by logarithm; a uniform draw would have none in 12


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small log, for algorithms that learn from nothing else."""
    return log_of(load("env", "interest_exploration", horizon=9), tmp_path_factory.mktemp("log") / "log")


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_an_algorithms_own_space_can_be_searched_where_it_has_one(algo: str, log: Path) -> None:
    has_one = "\nspace:" in (conf_dir() / "algo" / f"{algo}.yaml").read_text()
    source = [f"algo={algo}"] if "env" in load("algo", algo).learns_from else [f"algo={algo}", f"data={log}"]
    words = [*source, "env=interest_exploration", "search=random", "search.trials=3"]
    if not has_one:
        with pytest.raises(ConfigError, match="has no space of its own"):
            Space(words)
        return
    points = configs(words)
    assert len(points) == 3 and all(key.startswith("algo.") for point in points for key in point.values)
    assert len(Space([*source, "env=interest_exploration", "search=grid"]).branches[0].axes) >= 2


def test_own_spaces_and_words_go_together() -> None:
    space = Space(["algo=slateq", "algo.lr=1e-3,1e-4", "algo.discount=0.9", "space=true"])
    keys = [axis.key for axis in space.branches[0].axes]
    assert keys[0] == "algo.lr" and "algo.discount" not in keys and "algo.target_tau" in keys
    assert len(Space(["algo=slateq,ppo", "search=random"]).branches[1].axes) >= 2
    assert not Space(["algo=slateq,ppo"]).branches[0].axes  # a grid over algorithms compares them as they are


@pytest.mark.parametrize("search", [name for name in SEARCHES if name not in NEEDS])
def test_every_search_begins_with_points_that_compose(search: str) -> None:
    space = Space([f"search={search}", "algo.lr=interval(1e-4,1e-2)", "algo.discount=interval(0.9,1.0)"])
    points = check_sweep(space)
    assert points and space.base.search.name == search
    training = points[0].config
    unit = space.base.search.unit(training.steps)
    if unit is not None:
        assert training.report_every == training.evaluation.every == training.checkpoint.every == unit
        assert training.steps // unit > 1
    if search in ("hyperband", "asha"):
        assert training.steps == 27 * unit == 299_997  # rungs at 1, 3, 9 and 27 units, the last at the very end


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["algo=random"], "nothing to search: give a key several values"),
        (["algo.lr=1e-3,-1"], "point algo.lr=-1: algo.lr=-1.0 must be above 0"),
        (["algo.lrr=1,2"], "Did you mean 'algo.lr'?"),
        (["algo=slateq,linucb", "algo.lrr=1,2"], "algo.lrr is unknown"),
        (["algo.replay_ratio=3,3.0"], "algo.replay_ratio=3 and algo.replay_ratio=3.0 are the same training"),
        (["search=random", "algo.discount=0.9,1.0"], "the space has only 2 points; search=grid tries them all"),
        (["search=hyperband", "env=glob(*)"], "returns of different problems cannot be"),
        (["search=pbt", "env.slate_size=2,3"], "returns of different problems cannot be"),
        (["search=pbt", "algo=slateq,ppo"], "an axis over a group cannot"),
        (["search=pbt", "algo.network.hidden=[8],[16]"], "algo.network.hidden cannot change in a running training"),
        (["search=pbt", "algo.replay_capacity=10000,20000"], "Allowed: algo.lr, algo.discount"),
        (["search=pbt", "algo=linucb", "algo.alpha=1,2"], "Allowed: nothing"),
        (["search=pbt", "checkpoint.keep=1", "algo.lr=1,2"], "checkpoint.keep=1: search=pbt needs 2"),
        (["search=pb2", "algo.lr=1e-3,1e-4"], "search=pb2 takes intervals"),
        (["search=pb2", "algo.lr=tag(log,interval(1e-4,1e-2))"], "on a linear scale"),
        (["search=median_stopping", "algo=ppo", "steps=1000", "algo.lr=1,2"], "must be below steps=1000"),
        (["algo=ppo", "steps=1000", "algo.lr=1,2"], "would have none: set report_every=200 evaluation.every=200"),
        (["algo=ppo", "steps=1000", "report_every=100", "algo.lr=1,2"], "would have none: set evaluation.every=200"),
        (["evaluation.every=0", "algo.lr=1e-3,1e-4"], "evaluation.every=0"),
        (
            ["algo.lr=interval(1e-4,1e-3)", "algo.discount=range(0,1,0.001)", "search.interval_points=9"],
            "search=random",
        ),
        (["space=false"], "with space=false no algorithm's own space is searched"),
        *(
            (
                [f"search={search}", f"algo.batch_size={wrong}"],
                f"an integer is expected; integers are 'algo.batch_size={right}'",
            )
            for search in ("random", "optuna")
            for wrong, right in (
                ("interval(64,1024)", "int(interval(64,1024))"),
                ("tag(log,interval(64,1024))", "tag(log,int(interval(64,1024)))"),
            )
        ),
        (["from=a/best", "algo.lr=1,2"], "recsys train from=<sweep>"),
        (["search.metric=train/regret", "algo=linucb,slateq"], "algo=slateq reports no such metric"),
        (["search=hyperband", "search.min_steps=200000", "algo.lr=1,2"], "at most 100000 does"),
        (["search=asha", "report_every=5", "algo.lr=1,2"], "report_every=5: search=asha sets it"),
        (["search.metric=eval/retrun", "algo.lr=1,2"], "Did you mean 'eval/return'?"),
        (["search.metric=train/regret", "algo.lr=1,2"], "algo=slateq reports no such metric"),
        (["search.mode=most", "algo.lr=1,2"], "one of max, min is expected"),
        (["search.seeds_per_point=0", "algo.lr=1,2"], "search.seeds_per_point=0 must be at least 1"),
        (["seeds=3", "algo.lr=1,2"], "search.seeds_per_point"),
        (["search=hyperbnd", "algo.lr=1,2"], "Did you mean 'hyperband'?"),
        (["search.trial=3", "search=random", "algo.lr=1,2"], "Did you mean 'search.trials'?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_sweep(Space(words))
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_bohb_takes_no_axis_over_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(ConfigError, match="search=bohb takes no axis over a group"):
        check_sweep(Space(["search=bohb", "algo=slateq,ppo", "algo.lr=1e-3,1e-4"]))


def test_a_search_whose_package_is_missing_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="needs optuna, not installed: pip install optuna"):
        Space(["search=optuna", "algo.lr=1,2"])
