"""Estimators side by side on played logs: weights, refusals, and what they say where the truth is known."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from logs import played

from recsys_cli.config.explore import Explore
from recsys_cli.config.structured import load
from recsys_cli.envs.spec import ChoiceSpec, ProblemSpec
from recsys_cli.offline.choice import known_choice
from recsys_cli.offline.estimators import cascade
from recsys_cli.offline.estimators.base import Estimate
from recsys_cli.offline.estimators.fqe import ValueModel
from recsys_cli.offline.estimators.session_comparison import SessionComparison
from recsys_cli.offline.estimators.step_comparison import StepComparison, known_wrong, refuted
from recsys_cli.offline.judging import Logged
from recsys_cli.offline.steps import Steps
from recsys_cli.offline.support import SupportCheck
from recsys_cli.policies import SlatePolicy, UniformPolicy
from recsys_cli.policies.exploration import ExploringPolicy
from recsys_cli.policies.myopic import MyopicPolicy
from recsys_cli.policies.value_features import ValueFeatures
from recsys_cli.rollouts.episodes import play
from recsys_cli.slates.distributions import PlackettLuceSlates
from recsys_cli.slates.enumeration import all_slates

ENV = load("env", "interest_evolution", slate_size=3, num_candidates=6, num_topics=6)
UNIFORM = UniformPolicy(3)
UNIFORM_DRAWS = ExploringPolicy(UNIFORM, Explore("epsilon", 1.0))
ASSUMING = (
    "DM",
    "independent IPS",
    "independent SNIPS",
    "RIPS",
    "RIPS, normalised",
    "cascade-DR",
    "PI",
    "PI, normalised",
)


def soft(temperature: float) -> SlatePolicy:
    return ExploringPolicy(MyopicPolicy(ENV.spec, 1.0), Explore("plackett_luce", temperature))


@cache
def log(behaviour: SlatePolicy = UNIFORM, rows: int = 1_000) -> Steps:
    """Steps as episodes of one step each, rewarded by quality."""
    steps = played(ENV, 60, seed=3, policy=behaviour)
    steps = steps.take(np.flatnonzero(steps.valid)[:rows])
    at = np.minimum(steps.clicked, 2)[:, None]
    quality = np.take_along_axis(steps.response["quality"], at, axis=1)[:, 0] + 3
    reward = np.where(steps.clicked < 3, quality, 0).astype(np.float32)
    numbers, done = np.arange(len(steps)), np.ones(len(steps), bool)
    return dataclasses.replace(steps, episode=numbers, step=0 * numbers, reward=reward, terminated=done)


def steps_by_name(
    target: SlatePolicy, steps: Steps, behaviour: SlatePolicy | None, check: SupportCheck | None = None
) -> dict[str, Estimate]:
    """Return the estimates as for a log of which nobody says how its users choose."""
    spec = dataclasses.replace(ENV.spec, choice=ChoiceSpec())
    comparison = StepComparison(spec, check or SupportCheck(3))
    comparison.add(Logged.of(steps, known_choice(ENV.spec), behaviour).judge(target))
    return {each.name: each for each in comparison.estimates()}


def test_the_policy_that_logged_earns_what_was_logged() -> None:
    steps = log()
    for name, estimate in steps_by_name(UNIFORM_DRAWS, steps, UNIFORM).items():
        assert estimate.refusal is None, name
        exact = 0.1 if name in {"DM", "DR", "SNDR", "Switch-DR", "DRos", "MRDR", "cascade-DR"} else 1e-5
        assert estimate.value == pytest.approx(steps.reward.mean(), rel=exact), name
        assert estimate.per == "step" and estimate.low < steps.reward.mean() < estimate.high


def test_intervals_hold_the_truth_or_are_refused() -> None:
    """The truth is the mean over the choice model, in the states of the log; positions compete for the click."""
    steps, target = log(rows=3_000), soft(0.4)
    judged = Logged.of(steps, known_choice(ENV.spec), UNIFORM).judge(target)
    quality = np.array(
        [
            steps.response["quality"][(topics := np.take_along_axis(steps.doc, steps.slate, 1)) == t].mean()
            for t in range(6)
        ]
    )
    truth = float((judged.target_clicks[:, :-1] * (quality[steps.doc] + 3)).sum(1).mean())
    assert topics.shape == steps.slate.shape
    found = steps_by_name(target, steps, UNIFORM)
    for name, estimate in found.items():
        if estimate.refusal is None:
            half = max(estimate.high - estimate.value, estimate.value - estimate.low)
            assert abs(estimate.value - truth) < 2 * half, name
    assert "differs from click-DR" in str(found["independent IPS"].refusal)
    for name in ("IPS", "SNIPS", "DR", "MRDR", "DRos"):
        assert found[name].refusal is None
    assert found["DR"].error < found["IPS"].error
    bounds = found["IPS"].diagnostics
    assert 0 <= bounds["bound_low"] < truth < bounds["bound_high"] < 120 * 100  # 120 slates, a reward of up to 100
    assert bounds["bound_low"] < found["IPS"].low and found["IPS"].high < bounds["bound_high"]


def test_uniform_propensities_say_as_much_as_the_policy_that_logged() -> None:
    target = soft(0.4)
    known, seen = (steps_by_name(target, log(), behaviour) for behaviour in (UNIFORM, None))
    for name in ("IPS", "independent IPS", "PI"):
        assert seen[name].value == pytest.approx(known[name].value, rel=1e-6)


def test_a_behaviour_that_is_not_uniform_has_pseudo_inverse_weights_too() -> None:
    behaviour = soft(1.0)
    found = steps_by_name(behaviour, log(behaviour), behaviour)
    for name in ("IPS", "independent IPS", "PI"):
        assert found[name].value == pytest.approx(log(behaviour).reward.mean(), rel=1e-4), name
    blind = steps_by_name(behaviour, log(behaviour), None)
    assert blind["IPS"].refusal is None
    assert "is unknown" in str(blind["independent IPS"].refusal) and "is unknown" in str(blind["PI"].refusal)


def test_without_propensities_only_models_and_known_marginals_are_left() -> None:
    found = steps_by_name(soft(0.4), dataclasses.replace(log(), log_propensity=None), None)
    assert found["DM"].refusal is None and found["DM"].low < found["DM"].value < found["DM"].high
    for name in ("IPS", "DR", "Switch-DR", "RIPS", "cascade-DR"):
        assert found[name].refusal == "the log has no propensities" and np.isnan(found[name].value)


def test_propensities_that_are_none_are_not_divided_by() -> None:
    steps, target = log(), soft(0.4)
    wrong = dataclasses.replace(steps, log_propensity=steps.log_propensity * 2)
    found = steps_by_name(target, wrong, UNIFORM)
    assert "too small" in str(found["IPS"].refusal) and "too small" in str(found["RIPS"].refusal)
    found = steps_by_name(target, dataclasses.replace(steps, log_propensity=-steps.log_propensity), UNIFORM)
    assert "1,000 of 1,000 logged propensities are no probabilities" in str(found["DR"].refusal)
    whole = steps_by_name(target, steps, UNIFORM, SupportCheck(3, whole=True))
    assert whole["IPS"].refusal is None and "whole slates only" in str(whole["RIPS"].refusal)


def test_what_the_log_never_shows_is_refused() -> None:
    """A log of one certain slate in each state says nothing about other slates, whatever a model makes of it."""
    behaviour = MyopicPolicy(ENV.spec, 1.0)
    for name, estimate in steps_by_name(UNIFORM_DRAWS, log(behaviour), behaviour).items():
        assert "no support" in str(estimate.refusal) and np.isnan(estimate.low), name


def test_sharp_targets_are_refused() -> None:
    for name, estimate in steps_by_name(soft(0.02), log().take(slice(300)), UNIFORM).items():
        if name not in ASSUMING:
            assert "importance weights amount to" in str(estimate.refusal) and np.isnan(estimate.low), name


def test_refuted_by_an_estimate_that_assumes_less() -> None:
    noise = np.random.default_rng(0).normal(size=100)
    reference = Estimate("reference", 1.0, influence=noise)
    near, far = (Estimate("one", value, 0.0, 9.0, influence=noise + 0.1 * noise[::-1]) for value in (1.02, 1.05))
    assert refuted(near, reference) == near and refuted(far, None) == far
    assert "differs from reference by +0.05 ± 0.0097" in str(refuted(far, reference).refusal)
    assert np.isnan(refuted(far, reference).low)


def test_what_the_problem_contradicts_is_refused() -> None:
    assert set(known_wrong(ENV.spec)) == {
        "independent IPS",
        "independent SNIPS",
        "RIPS",
        "RIPS, normalised",
        "cascade-DR",
    }
    cascading = dataclasses.replace(ENV.spec.choice, kind="exponential_cascade")
    assert set(known_wrong(dataclasses.replace(ENV.spec, choice=cascading))) == {"independent IPS", "independent SNIPS"}
    for choice in (ChoiceSpec(), ChoiceSpec("first_position", attended=1)):
        assert known_wrong(dataclasses.replace(ENV.spec, choice=choice)) == {}
    comparison = StepComparison(ENV.spec, SupportCheck(3))
    comparison.add(Logged.of(log(), known_choice(ENV.spec), UNIFORM).judge(soft(0.4)))
    found = {each.name: each.refusal for each in comparison.estimates()}
    assert found["RIPS"] == known_wrong(ENV.spec)["RIPS"] and found["IPS"] is None and found["PI"] is None


def test_next_probs_agree_with_enumeration() -> None:
    rng = np.random.default_rng(0)
    law, shown = PlackettLuceSlates(rng.normal(size=(6, 4)), 2), all_slates(4, 2, True).numpy()[::2]
    p = cascade.next_probs(law, shown)
    np.testing.assert_allclose(p.sum(-1), 1)
    np.testing.assert_allclose(p[:, 0], law.position_probs()[:, 0])
    logged = np.take_along_axis(p, shown[:, :, None], axis=2)[..., 0]
    np.testing.assert_allclose(np.log(logged), law.position_log_prob(shown), atol=1e-9)


def sessions_by_name(
    spec: ProblemSpec, target: SlatePolicy, steps: Steps, model: ValueModel | None = None
) -> dict[str, Estimate]:
    model, behaviour = model or ValueModel.of(spec, steps), UniformPolicy(spec.slate_size)
    comparison = SessionComparison(model, SupportCheck(spec.slate_size))
    comparison.add(Logged.of(model.remembering(steps), known_choice(spec), behaviour).judge(target))
    return {each.name: each for each in comparison.estimates()}


def test_long_sessions_are_refused() -> None:
    steps = played(ENV, 60, seed=1)
    found = sessions_by_name(ENV.spec, soft(0.4), steps)
    assert len(found) == 12
    for name, estimate in found.items():
        assert "they last for" in str(estimate.refusal) and np.isnan(estimate.low), name
        assert estimate.diagnostics["usable_steps"] < steps.lengths.max()
    none = sessions_by_name(ENV.spec, soft(0.4), dataclasses.replace(steps, log_propensity=None))
    assert none["PDIS, slate weights"].refusal == "the log has no propensities"
    assert "they last for" in str(none["PDIS, click weights"].refusal)


def test_short_sessions_hold_the_truth() -> None:
    """A few steps: every estimator answers, and what is normalised or has a model is the more exact."""
    env = dataclasses.replace(ENV, time_budget=8.0, step_penalty=4.0)
    target = soft(1.2)
    truth = float(play(target, env, 4_000, 99).returns.mean())
    found = sessions_by_name(env.spec, target, played(env, 2_000, seed=2))
    for name, estimate in found.items():
        assert estimate.refusal is None, name
        half = max(estimate.high - estimate.value, estimate.value - estimate.low)
        assert abs(estimate.value - truth) < 2 * half + 0.1, name
    assert found["DR, click weights"].error < found["PDIS, click weights"].error < found["IS, slate weights"].error


def test_nothing_is_earned_behind_a_problems_horizon() -> None:
    """Sessions are cut there: their last observation is logged, and worth nothing whatever the model says of it."""
    env = load("env", "long_term_satisfaction", time_budget=3, num_candidates=4)
    ended = played(env, 200, seed=2, policy=UniformPolicy(env.slate_size))
    steps = ended.take(np.sort(np.concatenate([np.arange(len(ended)), np.flatnonzero(ended.terminated)])))
    observed = np.concatenate([[False], steps.terminated[:-1] & steps.terminated[1:]])
    last = np.concatenate([observed[1:], [False]])
    steps = dataclasses.replace(
        steps, valid=~observed, truncated=last, terminated=np.zeros(len(steps), bool), step=steps.step + observed
    )
    spec = dataclasses.replace(env.spec, truncation=3)
    target = ExploringPolicy(UniformPolicy(env.slate_size), Explore("epsilon", 1.0))
    model = ValueModel(spec, "none", ValueFeatures(spec, 0))
    found = sessions_by_name(spec, target, steps, model)
    for name, estimate in found.items():
        assert estimate.low < ended.returns().mean() < estimate.high, name
