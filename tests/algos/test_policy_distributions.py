"""What every algorithm's policy answers: distributions, scores and propensities; and the README's table of these."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bandits import NAMES, PROBLEMS, fits, one_each

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.explore import Explore
from recsys_cli.config.structured import load
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.base import deferred
from recsys_cli.policies.exploration import ExploringPolicy, Rule, explored
from recsys_cli.rollouts.collector import OBSERVED, Collector
from recsys_cli.rollouts.episodes import play
from recsys_cli.slates.counting import count_slates
from recsys_cli.slates.distributions import Deferred, DrawnOnly, EnumeratedSoftmax, SlateDistribution

USERS, C, K = 12, 5, 3
# An oracle knows its problem; the others see none but its observations.
PAIRS = one_each(
    [(name, problem) for name in NAMES for problem in PROBLEMS if fits(name, problem)], "oracle", "slateq", "tabular_q"
)


class Played:
    """An algorithm's policy after some steps of learning, and the users that it is about to act on."""

    def __init__(self, name: str, problem: str, **settings: Any) -> None:
        self.env = load("env", problem, num_candidates=C, slate_size=K)
        self.algo = load("algo", name, **settings)
        self.policy: SlatePolicy = self.algo.make_policy(self.env.spec, seed=1)
        self.collector, self.rng = Collector(self.env, USERS, seed=1), np.random.default_rng(1)
        self.collector.remember(self.policy.new_memory(USERS))
        self.policy.watch(self.collector.env)
        learn: Callable[..., Any] = getattr(self.policy, "learn", lambda transitions: None)
        for _ in range(3 if name != "tabular_q" else 0):
            learn(self.collector.collect(1, self.policy.behaviour, self.rng).transitions())
        self.observation = self.collector.newest()

    def rule(self) -> Rule:
        """What runners show: random slates at first where the algorithm's settings have an epsilon for them."""
        explore = Explore("epsilon", 0.3) if hasattr(self.algo, "epsilon_initial") else Explore()
        return explored(explore, self.policy, partial(deferred, self.policy.behaviour, K))


def every(law: SlateDistribution) -> np.ndarray:
    """The probabilities `[N, M]` of all ordered slates."""
    slates = np.array(list(permutations(range(C), K)))
    return np.exp(np.stack([law.log_prob(np.tile(slate, (USERS, 1))) for slate in slates], axis=1))


@pytest.mark.parametrize(("name", "problem"), PAIRS)
def test_what_is_drawn_is_possible_and_the_mode_is_most_probable(name: str, problem: str) -> None:
    played = Played(name, problem)
    for law in (played.policy.distribution(played.observation), played.policy.behaviour(played.observation)):
        drawn, mode = law.sample(played.rng), law.mode()
        assert drawn.shape == mode.shape == (USERS, K) and drawn.dtype == np.int64
        p = every(law)
        np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
        assert not law.exact or np.isfinite(law.log_prob(drawn)).all()
        np.testing.assert_allclose(np.exp(law.log_prob(mode)), p.max(1), rtol=1e-5)
        np.testing.assert_allclose(law.position_log_prob(mode).sum(1), law.log_prob(mode), atol=1e-5)
        np.testing.assert_allclose(law.item_probs().sum(1), K, rtol=1e-5)
        rows = np.array([3, 1])
        if law.exact and name != "oracle":
            np.testing.assert_allclose(law.take(rows).log_prob(mode[rows]), law.log_prob(mode)[rows], atol=1e-5)
    served = played.policy.served(played.observation)
    assert played.policy.served_by_draws or (served.log_prob(served.sample(played.rng)) == 0).all()


@pytest.mark.parametrize(("name", "problem"), PAIRS)
def test_softened_it_may_show_anything_and_likes_best_what_it_serves(name: str, problem: str) -> None:
    played = Played(name, problem)
    if name == "random":
        with pytest.raises(ConfigError, match=r"explore=plackett_luce needs scores of items.*allowed: none, epsilon"):
            played.policy.softened(played.observation, 1.0)
        return
    best = played.policy.distribution(played.observation).mode()
    for temperature in (0.5, 20.0):
        law = played.policy.softened(played.observation, temperature)
        p = every(law)
        np.testing.assert_allclose(p.sum(1), 1)
        count = count_slates(C, played.env.spec.attended, played.env.spec.order_matters)
        many = count if isinstance(law, EnumeratedSoftmax) else count_slates(C, K, ordered=True)
        assert (np.isfinite(law.log_prob(best)).all() and temperature < 1) or ((p > 0).sum(1) == many).all()
        np.testing.assert_allclose(np.exp(law.log_prob(best)), p.max(1), rtol=1e-6)


@pytest.mark.parametrize(("name", "problem"), PAIRS)
def test_logged_propensities_are_those_of_the_slates_shown(name: str, problem: str) -> None:
    played = Played(name, problem)
    rule = played.rule()
    chunk = played.collector.collect(4, rule, played.rng, propensities=True)
    assert chunk.log_propensity is not None and chunk.log_propensity.shape == (4, USERS)
    if name == "oracle":  # what it knew is gone
        assert (chunk.log_propensity == 0).all()
        return
    for t in range(4):
        law = rule({name: of[t] for name, of in chunk.arrays() if name in OBSERVED})
        expected = law.log_prob(chunk.slate[t]) if law.exact else np.full(USERS, np.nan)
        np.testing.assert_allclose(chunk.log_propensity[t], expected, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_explores_as_it_is_asked_to(name: str) -> None:
    problem = next(problem for problem in PROBLEMS if fits(name, problem))
    played = Played(name, problem)
    policy, observation = played.policy, played.observation
    mixed = ExploringPolicy(policy, Explore.parse("epsilon:0.25"))
    base = policy.served(observation)
    p, uniform = every(mixed.served(observation)), 1 / count_slates(C, K, ordered=True)
    np.testing.assert_allclose(p, 0.75 * every(base) + 0.25 * uniform, atol=1e-6)
    assert len(play(mixed, played.env, 3, seed=0)) == 3
    if policy.served_by_draws:
        return
    thompson = ExploringPolicy(policy, Explore.parse("thompson"))
    if name in (
        "epsilon_greedy",
        "kl_ucb",
        "linear_greedy",
        "lints",
        "linucb",
        "lspi",
        "neural_linear",
        "slateq",
        "thompson",
        "ucb1",
    ):
        law = thompson.served(observation)
        assert isinstance(law, DrawnOnly) and not law.exact
        assert (law.sample(played.rng) != base.mode()).any()
    else:
        with pytest.raises(ConfigError, match=r"explore=thompson needs a posterior.*allowed: none, epsilon"):
            thompson.served(observation)


def test_own_statistics_are_served_by_draws_and_kept_slates_have_no_scores() -> None:
    env = load("env", "interest_exploration", num_candidates=C, slate_size=K, resample_documents=False)
    policy = load("algo", "epsilon_greedy", arms="slates", statistics="per_user", prior_count=0).make_policy(env.spec)
    observation = policy.new_memory(USERS).extend(env.make_vec(USERS).reset(seed=0)[0])
    assert policy.served_by_draws and policy.served(observation).kind == "uniform or certain"
    with pytest.raises(ConfigError, match="needs scores of items"):
        policy.softened(observation, 1.0)


@pytest.mark.parametrize("serving", ["top_k", "greedy", "optimal"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_slateq_s_scores_rank_by_what_it_serves_with_any_optimiser(problem: str, serving: str) -> None:
    played = Played("slateq", problem, serving=serving)
    scores = played.policy.scores(played.observation)
    assert scores.shape == (USERS, C) and scores.dtype == np.float64
    shown = np.take_along_axis(scores, played.policy.distribution(played.observation).mode(), axis=1)
    np.testing.assert_array_equal(shown, -np.sort(-scores, axis=1)[:, :K])


def cells(name: str) -> str:
    """What the README says about an algorithm."""
    played = Played(name, next(problem for problem in PROBLEMS if fits(name, problem)))
    serves = played.policy.distribution(played.observation)
    learns = played.rule()(played.observation)
    learning = learns.known if isinstance(learns, Deferred) else learns
    kind = learning.kind
    exact = "exact" if serves.exact else "estimated"
    if learning.exact != serves.exact:
        exact += f", {'exact' if learning.exact else 'estimated'} while it learns"
    ways = ["epsilon"]
    for way, ask in (
        ("plackett_luce", partial(played.policy.softened, temperature=1.0)),
        ("thompson", played.policy.posterior),
    ):
        with suppress(ConfigError):
            ask(played.observation)
            ways.append(way)
    return f"{serves.kind} | {kind} | {exact} | {', '.join(f'`{way}`' for way in ways)} |"


def test_the_readme_has_the_table_of_all_algorithms() -> None:
    alike: dict[str, list[str]] = {}
    for name in NAMES:
        alike.setdefault(cells(name), []).append(f"`{name}`")
    table = [f"| {', '.join(names)} | {cells}" for cells, names in alike.items()]
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert all(line in readme for line in table), "\n".join(["the README wants:", *table])


@pytest.mark.parametrize("fewest", [2, K])
@pytest.mark.parametrize(("name", "problem"), PAIRS)
def test_candidates_that_are_not_there_are_never_shown(name: str, problem: str, fewest: int) -> None:
    played = Played(name, problem)
    if fewest < K and name in ("dqn", "full_slate_q", "sac", "tabular_q") and played.env.spec.attended == K:
        with pytest.raises(
            ConfigError, match=r"num_candidates=\[2,5\] may offer fewer candidates than the 3 of a slate"
        ):
            played.algo.check(dataclasses.replace(played.env.spec, min_candidates=fewest))
        return
    there = np.arange(fewest, fewest + USERS) % (C + 1 - fewest) + fewest
    mask = played.rng.permuted(np.arange(C) < there[:, None], axis=1)
    observation = {**played.observation, "mask": mask}
    policy = played.policy
    laws = [policy.distribution(observation), policy.behaviour(observation), policy.served(observation)]
    if name != "random":
        laws.append(policy.softened(observation, 5.0))
        np.testing.assert_allclose(
            np.exp(laws[-1].log_prob(laws[0].mode())), np.exp(laws[-1].log_prob(laws[-1].mode()))
        )
    for law in laws:
        for slates in (law.mode(), *(law.sample(played.rng) for _ in range(5))):
            assert np.isfinite(law.log_prob(slates)).all() or not law.exact
            for shown, own in zip(slates, mask, strict=True):
                assert own[shown[shown >= 0]].all() and (shown >= 0).sum() == min(own.sum(), K)
        assert (law.item_probs()[~mask] == 0).all()


def test_topics_that_were_never_shown_come_last() -> None:
    env = load("env", "interest_evolution", num_candidates=C, slate_size=K)
    policy = load("algo", "ucb1").make_policy(env.spec)
    policy.counts.pulls[[7, 9]], policy.counts.sums[7] = 10, 4
    observation = {"user": np.zeros((1, 20), np.float32), "doc": np.array([[3, 9, 7, 5, 9]], np.uint8)}
    scores = policy.scores(observation)
    assert np.argsort(-scores[0]).tolist() == [2, 1, 4, 0, 3] and np.isfinite(scores).all()
    assert policy.distribution(observation).mode().tolist() == [[2, 1, 4]]
    fresh = load("algo", "ucb1").make_policy(env.spec)
    assert np.isfinite(fresh.scores(observation)).all()
