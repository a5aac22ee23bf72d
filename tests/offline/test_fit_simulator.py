"""A simulator learned from the log of users whose laws are known: the laws come back, and differences are found."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.envs.learned_files import Model, save
from recsys_cli.envs.learned_laws import chance
from recsys_cli.envs.learned_session import Context
from recsys_cli.offline.recording import play_round
from recsys_cli.offline.simulator.check import check, problem_of
from recsys_cli.offline.simulator.fit import Fitted, fit_simulator
from recsys_cli.offline.simulator.log import Log
from recsys_cli.offline.simulator.statistics import compare, statistics
from recsys_cli.offline.steps import Steps
from recsys_cli.policies.base import GreedyPolicy, Observation
from recsys_cli.policies.uniform import UniformPolicy
from recsys_cli.rollouts.episodes import play

sys.path.insert(0, str(Path(__file__).parents[1] / "envs"))

import learned_users


def logged(problem: Any, sessions: int, seed: int = 1) -> Steps:
    return play_round(UniformPolicy(problem.slate_size), problem, sessions, seed, 0)


@pytest.fixture(scope="module")
def steps() -> Steps:
    return logged(learned_users.problem(), 1_000)


@pytest.fixture(scope="module")
def fitted(steps: Steps) -> Fitted:
    return fit_simulator(steps, learned_users.spec())


def chosen(fitted: Fitted, law: str) -> list[str]:
    return [form.name for form in fitted.forms if form.law == law and form.chosen]


def test_the_choice_comes_back(fitted: Fitted) -> None:
    assert "position" in chosen(fitted, "choice") and "tastes" in chosen(fitted, "choice")
    assert not any("classes" in name for name in chosen(fitted, "choice"))
    law, truth = fitted.model.choice, learned_users.model().choice
    rng = np.random.default_rng(0)
    user = rng.uniform(-1, 1, (2_000, learned_users.TOPICS))
    doc = np.eye(learned_users.TOPICS)[rng.integers(learned_users.TOPICS, size=(2_000, 3))]
    context = Context(user, doc, fitted.model.basis.restart(2_000))
    kinds = np.zeros(2_000, int)
    scores = law.scored(fitted.model.basis, context, kinds)[1]
    expected = truth.scored(learned_users.model().basis, context, kinds)[1]
    assert np.abs(scores - expected).mean() < 0.1
    bias = scores.mean(0) - scores.mean()
    assert bias == pytest.approx(np.array([0.7, 0.0, -0.7]), abs=0.1)


def test_responses_come_back(fitted: Fitted) -> None:
    fields = {field.name: field for field in fitted.model.fields}
    assert (fields["topic"].of, fields["minutes"].of, fields["liked"].of) == ("topic", "clicked", "clicked")
    minutes, basis = fields["minutes"].amount, fitted.model.basis
    assert minutes is not None and minutes.mean is not None and minutes.spread is not None
    assert minutes.values.tolist() == [1.0]
    docs = np.eye(learned_users.TOPICS)[:, None]
    context = Context(np.zeros((4, 4)), docs, basis.restart(4), np.zeros((4, 1, 2)))
    expected = learned_users.MINUTES[0] + learned_users.MINUTES[1:]
    assert minutes.mean.of(basis, context)[:, 0] == pytest.approx(expected, abs=0.03)
    assert np.exp(minutes.spread.of(basis, context)) == pytest.approx(0.2, rel=0.1)
    assert chance(minutes.switches[0].of(basis, context)) == pytest.approx(
        np.full((4, 1), chance(np.array(-2.0))), abs=0.02
    )
    assert fitted.model.reward.field == "minutes"


def test_the_end_comes_back(fitted: Fitted) -> None:
    hazard, basis = fitted.model.ending.hazard, fitted.model.basis
    assert hazard is not None and hazard.blocks == ("one", "totals")
    session = basis.restart(20)
    session[:, 0], session[:, 1], session[:, 2] = 12, 6, np.linspace(5, 15, 20)
    context = Context(np.zeros((20, 4)), np.zeros((20, 1, 4)), session)
    expected = chance(learned_users.END[0] + learned_users.END[3] * session[:, 2])
    assert chance(hazard.of(basis, context)[:, 0]) == pytest.approx(expected, abs=0.06)


def test_the_drift_comes_back(fitted: Fitted) -> None:
    x = np.tile(np.linspace(-0.9, 0.9, 7), 4_000)
    change = fitted.model.drift.draw(x, np.zeros((len(x), 2)), np.random.default_rng(0)).reshape(-1, 7)
    up = chance(1.5 * x[:7])
    size = 0.1 - 0.05 * np.abs(x[:7])
    assert (change > 0).mean(0) == pytest.approx(up, abs=0.1)
    assert np.abs(change).mean(0) == pytest.approx(size, abs=0.01)  # bounds cut a few steps short


def test_sessions_are_recomputed_as_the_simulator_plays_them() -> None:
    steps = logged(learned_users.problem(), 40, seed=3)
    log = Log.of(steps, learned_users.spec())
    assert (log.before[log.steps.starts] == 0).all()
    assert log.after[:, 0] == pytest.approx(log.steps.step + 1)
    minutes = np.zeros(len(log))
    minutes[log.clicks] = log.values[:, 0]
    for start, length in zip(log.steps.starts, log.steps.lengths, strict=True):
        rows = slice(start, start + length)
        assert log.after[rows, 2] == pytest.approx(np.cumsum(minutes[rows]))


def test_the_simulated_are_the_logged(fitted: Fitted) -> None:
    for behaviour in (None, UniformPolicy(learned_users.SLATE)):
        checked = check(fitted, behaviour, sessions=1_000, seed=0)
        assert all(each.equal for each in checked.checks), checked.checks
        assert "no difference found" in checked.verdict[0]


@pytest.mark.parametrize(
    ("part", "differs"),
    [
        ({"drift": None}, "user's change"),
        ({"choice": "first"}, "position of clicks"),
        ({"ending": "early"}, "steps"),
    ],
)
def test_wrong_users_are_found_out(fitted: Fitted, part: dict[str, Any], differs: str) -> None:
    model = fitted.trained
    hazard = model.ending.hazard
    assert model.choice.logit is not None and hazard is not None
    wrong = {
        "first": dataclasses.replace(
            model.choice, logit=dataclasses.replace(model.choice.logit, weights=2 * model.choice.logit.weights)
        ),
        "early": dataclasses.replace(
            model.ending, hazard=dataclasses.replace(hazard, weights=hazard.weights + 1.0 * (np.arange(5) == 0))
        ),
    }
    changes = {name: wrong.get(str(value)) for name, value in part.items()}
    other = dataclasses.replace(fitted, trained=dataclasses.replace(model, **changes))
    checked = check(other, UniformPolicy(learned_users.SLATE), sessions=1_500, seed=0)
    assert differs in [each.name for each in checked.checks if not each.equal]
    assert any("not the log's users" in line for line in checked.verdict)


def test_hidden_tastes_are_found_as_classes_of_users() -> None:
    means = [[0.1, 1.5], [1.5, 0.1]]
    problem = load("env", "interest_exploration", user_document_mean_affinity_matrix=means, horizon=30)
    steps = logged(problem, 200)
    fitted = fit_simulator(steps, problem.spec)
    assert "2 classes of users" in chosen(fitted, "choice")
    assert sorted(fitted.model.choice.shares) == pytest.approx([0.3, 0.7], abs=0.08)
    one = dataclasses.replace(fitted, trained=dataclasses.replace(fitted.trained, choice=_one_class(fitted)), forms=[])
    names = [each.name for each in check(one, UniformPolicy(2), sessions=400, seed=0).checks if not each.equal]
    assert "lasting tastes" in names
    assert not [
        each
        for each in check(fitted, None, sessions=400, seed=0).checks
        if each.name == "lasting tastes" and not each.equal
    ]


def _one_class(fitted: Fitted) -> Any:
    from recsys_cli.offline.simulator.choice import ChoicePlan, fit_choice

    logit = fitted.trained.choice.logit
    assert logit is not None
    return fit_choice(fitted.train, ChoicePlan(known=False, blocks=logit.blocks))


def test_sessions_of_a_fixed_length_and_a_reward_beyond_its_field() -> None:
    problem = load("env", "long_term_satisfaction", time_budget=20)
    fitted = fit_simulator(logged(problem, 200), problem.spec)
    assert fitted.model.ending.length == 20 and fitted.model.reward.field is None
    assert [field.of for field in fitted.model.fields] == ["reward"]
    assert all(each.equal for each in check(fitted, None, sessions=500, seed=0).checks)


def test_a_hidden_state_that_clicks_drive_is_followed_beyond_the_log(tmp_path: Path) -> None:
    problem = load("env", "long_term_satisfaction", num_candidates=20, sensitivity=0.2)  # random 967, kale 1320
    model = fit_simulator(logged(problem, 200), problem.spec).model
    path = tmp_path / "users.safetensors"
    users = problem_of(model, "users", path, save(model, path))
    kale = play(LeastClickbait(2), users, 500, 0).returns.mean()
    assert kale > 1.15 * play(UniformPolicy(2), users, 500, 0).returns.mean()


class LeastClickbait(GreedyPolicy):
    def __init__(self, slate_size: int) -> None:
        self.slate_size = slate_size

    def slates(self, observation: Observation) -> np.ndarray:
        return np.argsort(observation["doc"][..., 0], axis=1)[:, : self.slate_size]


def test_users_that_change_in_every_feature(steps: Steps) -> None:
    drifting = dataclasses.replace(steps, user=steps.user.copy())
    for row in range(1, len(steps)):  # everything fades by a tenth at every step
        if steps.episode[row] == steps.episode[row - 1]:
            drifting.user[row] = 0.9 * drifting.user[row - 1]
    fitted = fit_simulator(drifting.episodes(np.arange(200)), learned_users.spec())
    assert chosen(fitted, "drift") == ["linear, of all features"]
    user = np.full((5, 4), 0.5, np.float32)
    law = fitted.model.drift
    change = law.draw(law.features(user, np.zeros(5), np.zeros((5, 4)), np.zeros((5, 2))), np.random.default_rng(0))
    assert change == pytest.approx(-0.05, abs=1e-3)


def test_refusals(steps: Steps) -> None:
    spec = learned_users.spec()
    with pytest.raises(ConfigError, match="3 sessions are too few"):
        fit_simulator(steps.episodes(np.arange(3)), spec)
    several = dataclasses.replace(steps, response={**steps.response, "click": np.ones((len(steps), 3), int)})
    with pytest.raises(ConfigError, match="several clicks"):
        fit_simulator(several, spec)
    without = dataclasses.replace(steps, response={})
    with pytest.raises(ConfigError, match="no response minutes, liked, topic"):
        fit_simulator(without, spec)


def test_a_file_that_is_gone_or_another_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"env.tensors=nowhere.safetensors: env=learned_users was learned"):
        learned_users.problem(tensors="nowhere.safetensors")
    with pytest.raises(ConfigError, match="it was fitted again, or is damaged"):
        learned_users.problem(digest="0" * 16)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no tensors")
    from recsys_cli.envs.learned_files import digest

    with pytest.raises(ConfigError, match="is not a learned simulator"):
        learned_users.problem(tensors=str(broken), digest=digest(broken))


def test_a_model_comes_back_from_its_file(fitted: Fitted, tmp_path: Path) -> None:
    model: Model = fitted.model
    path = tmp_path / "users.safetensors"
    problem = problem_of(model, "users", path, save(model, path))
    first, again = (logged(problem, 50, seed=4) for _ in range(2))
    assert (first.reward == again.reward).all()
    log = Log.of(first, model.spec, model.basis)
    assert all(each.equal for each in compare(statistics(log, model), statistics(log, problem.model)))
