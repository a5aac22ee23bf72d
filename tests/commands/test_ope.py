"""`recsys ope`: judges what a log can judge, refuses what it cannot, and recommends in words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recsys_cli.cli import main
from recsys_cli.evaluation.ranking import Ranking
from recsys_cli.offline.estimators.base import Estimate, from_influence

SMALL = ["env.slate_size=3", "env.time_budget=40", "progress=off"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Logs: of random slates; of the myopic policy without exploration; of hidden tastes."""
    folder = tmp_path_factory.mktemp("data")
    for words in (
        ["name=random", "episodes=150", *SMALL],
        ["name=certain", "algo=myopic", "episodes=60", *SMALL],
        ["name=hidden", "env=interest_exploration", "episodes=40", "env.horizon=30", "progress=off"],
    ):
        assert main(["record", f"data_dir={folder}", *words]) == 0
    return folder


def judged(data: Path, capsys, *words: str) -> tuple[dict, str]:
    output = data / "result.json"
    request = ["ope", f"data_dir={data}", f"output={output}", "progress=off", "tracking=off", "log=false", *words]
    assert main(request) == 0
    return json.loads(output.read_text()), capsys.readouterr().out


def test_policies_are_ranked_with_intervals(data: Path, capsys) -> None:
    myopic = data / "certain" / "behaviour"
    results, out = judged(data, capsys, "data=random", f"checkpoint={myopic}", "explore=[none,epsilon:0.5]")
    assert results["choice"]["held_out"] > results["choice"]["constant"]
    names = [str(myopic), f"{myopic} epsilon:0.5", "random", "myopic"]
    assert list(results["policies"]) == names
    found = {name: {each["estimator"]: each for each in results["policies"][name]} for name in names}
    for each in found.values():
        assert list(each) == ["FQE", "click-IPS", "click-SNIPS", "click-DR"]
        assert all(one["refusal"] is None and one["low"] < one["value"] < one["high"] for one in each.values())
    assert found[names[0]] == found["myopic"]  # the baseline is the same policy
    own, log = found["random"]["FQE"], results["logged"]
    assert own["low"] < log["high"] and own["high"] > log["low"]
    assert (
        found[names[0]]["click-DR"]["value"]
        > found[names[1]]["click-DR"]["value"]
        > found["random"]["click-DR"]["value"]
    )
    assert set(results["ranking"]["order"]) == set(names)
    assert "the log itself" in out and results["ranking"]["recommendation"] in out
    assert (data / "result.svg").read_text().count("<svg") == 1


def test_all_other_estimators_stand_beside_them(data: Path, capsys) -> None:
    results, out = judged(data, capsys, "data=random", "estimators=[fqe,clicks,steps,sessions]", "baselines=[myopic]")
    found = {each["estimator"]: each for each in results["policies"]["myopic"]}
    assert {"DM", "IPS", "SNIPS", "DR", "PI", "RIPS", "IS, slate weights", "WDR, click weights"} <= found.keys()
    assert found["IS, slate weights"]["refusal"] and found["IS, slate weights"]["low"] is None
    assert "in parentheses" in out


def test_a_log_without_support_is_refused_in_words(data: Path, capsys) -> None:
    results, out = judged(data, capsys, "data=certain")
    assert set(results["ranking"]["refused"]) == {"random"}  # but what it shows itself, it can judge
    assert "no support" in out and results["ranking"]["order"] == ["myopic"]


def test_a_hidden_choice_is_learned_from_the_log(data: Path, capsys) -> None:
    results, _ = judged(data, capsys, "data=hidden")
    assert results["choice"]["source"].startswith("learned")
    own, log = results["policies"]["random"][0], results["logged"]
    assert own["estimator"] == "FQE" and own["low"] < log["high"] and own["high"] > log["low"]
    # What is not known of the clicks' rates is in the interval.
    assert own["high"] - own["low"] > 0.8 * (log["high"] - log["low"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=randon"], "Did you mean 'random'"),
        (["data=random", "baselines=[]"], "nothing to judge"),
        (["data=hidden", "choice=known"], "choice=known"),
        (["data=random", "explore=epsilon:2"], "explore=epsilon:2"),
        (["data=random", "estimators=[fqe,ips]"], "estimators"),
        (["data=random", "checkpoint=nowhere"], "nowhere"),
        (["data=hidden", "checkpoint={data}/certain/behaviour"], "behaviour"),
    ],
)
def test_bad_requests_are_refused_in_one_line(data: Path, capsys, words: list[str], said: str) -> None:
    words = [word.format(data=data) for word in words]
    assert main(["ope", f"data_dir={data}", "tracking=off", "progress=off", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and "Traceback" not in error
    assert len(error.splitlines()) == 1


def test_the_recommendation_says_what_is_known() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=200)

    def estimate(value: float, spread: np.ndarray) -> Estimate:
        return from_influence("FQE", value, spread)

    logged = estimate(10.0, noise)
    better, close = estimate(12.0, noise + 0.1 * rng.normal(size=200)), estimate(11.99, noise + rng.normal(size=200))
    refused = from_influence("FQE", 99.0, noise, refusal="no support")
    ranking = Ranking.of({"a": better, "b": estimate(9.0, noise), "c": refused}, logged)
    assert ranking.order == ["a", "b"] and ranking.refused == {"c": "no support"}
    assert ranking.over_logged["a"].better > 0.99 > 0.01 > ranking.over_logged["b"].better
    assert ranking.recommendation().startswith("choose a: better than b")
    assert "better than what was logged: +2.0" in ranking.recommendation()
    assert Ranking.of({"a": better, "b": close}, logged).recommendation().startswith("a and b cannot be told apart")
    assert "not shown to be better" in Ranking.of({"b": estimate(9.0, noise)}, logged).recommendation()
    assert "every estimate was refused" in Ranking.of({"c": refused}, logged).recommendation()
