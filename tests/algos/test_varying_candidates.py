"""Every algorithm where the number of candidates varies: only what is there is shown, and learned from."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from bandits import fits, one_each
from trainings import trainings

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.exploration import Explore, ExploringPolicy
from recsys_cli.policies.stateless import StatelessPolicy
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.episodes import play
from recsys_cli.slates.distributions import SlateDistribution

NAMES = sorted(path.stem for path in (conf_dir() / "algo").glob("*.yaml") if not path.stem.startswith("_"))
PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml") if path.stem != "groups")
K, MOST = 3, 7
PAIRS = one_each(
    [(name, problem) for name in NAMES for problem in PROBLEMS if fits(name, problem)], "oracle", "slateq", "tabular_q"
)
UNSCORED = ("random",)  # values no single items


def varying(problem: str, fewest: int, **changes: Any) -> EnvConfig:
    short: dict[str, Any] = {"interest_evolution": {"time_budget": 20.0}, "interest_exploration": {"horizon": 9}}
    return load("env", problem, num_candidates=[fewest, MOST], slate_size=K, **short.get(problem, {}), **changes)


def policy_on(env: EnvConfig, name: str) -> SlatePolicy:
    algo = load("algo", name)
    try:
        algo.check(env.spec)
    except ConfigError as error:
        pytest.skip(str(error))
    policy: SlatePolicy = algo.make_policy(env.spec, seed=0)
    return policy


def check(slates: np.ndarray, mask: np.ndarray) -> None:
    """Slates hold candidates that are there, as many as are there up to k, each once, and then -1."""
    for slate, there in zip(slates.tolist(), mask, strict=True):
        filled = min(K, int(there.sum()))
        assert slate[filled:] == [-1] * (K - filled)
        assert len(set(slate[:filled])) == filled and there[slate[:filled]].all()


@pytest.mark.parametrize("fewest", [1, K])
@pytest.mark.parametrize(("name", "problem"), PAIRS)
def test_only_candidates_that_are_there_are_shown(name: str, problem: str, fewest: int) -> None:
    env = varying(problem, fewest)
    policy, rng = policy_on(env, name), np.random.default_rng(0)
    collector = Collector(env, 16, seed=0)
    collector.remember(policy.new_memory(16))
    policy.watch(collector.env)
    learn = getattr(policy, "learn", None)

    def rule(observation: dict[str, Any]) -> SlateDistribution:
        for law in (policy.distribution(observation), policy.behaviour(observation)):
            drawn = law.sample(rng)
            check(drawn, observation["mask"])
            check(law.mode() if law.exact else drawn, observation["mask"])
            if law.exact:
                assert np.isfinite(law.log_prob(drawn)).all()
        return law

    for _ in range(3):
        chunk = collector.collect(12, rule, rng)
        assert set(chunk.mask.sum(-1).ravel()) == set(range(fewest, MOST + 1))
        columns = chunk.transitions()
        assert (columns["shown"].sum(-1) == np.minimum(columns["mask"].sum(-1), K)).all()
        if learn is not None and name != "tabular_q":
            learn(columns)


@pytest.mark.parametrize("explore", ["epsilon:0.5", "plackett_luce:1.0"])
@pytest.mark.parametrize("name", NAMES)
def test_softened_policies_play_shorter_slates(name: str, explore: str) -> None:
    env = varying("interest_evolution", 1)
    policy = ExploringPolicy(policy_on(env, name), Explore.parse(explore))
    if name in UNSCORED and explore.startswith("plackett_luce"):
        with pytest.raises(ConfigError, match="needs scores of items"):
            play(policy, env, 8, seed=0)
        return
    assert len(play(policy, env, 8, seed=0)) == 8


@pytest.mark.parametrize("name", [name for name in NAMES if name != "oracle"])
def test_a_model_server_answers_any_number_of_candidates(name: str) -> None:
    algo, spec = load("algo", name), varying("interest_evolution", 1, num_topics=4).spec

    def policy_for(candidates: int) -> SlatePolicy:
        own = spec.with_candidates(candidates)
        algo.check(own)
        policy: SlatePolicy = algo.make_policy(own, seed=0)
        return policy

    if smallest(name, spec) > 1:
        with pytest.raises(ConfigError, match="enumerates whole slates; allowed: at least 3"):
            policy_for(2)
        return
    function = StatelessPolicy(spec, policy_for)
    given = function.example(5)
    for candidates in (1, 2, 5, 12):
        doc = np.resize(given["doc"], (5, candidates, 4))
        mask = np.ones((5, candidates), np.int8)  # as gymnasium's spaces have it
        mask[0, 1:] = 0
        answer = function({**given, "doc": doc, "mask": mask})
        check(answer["slate"], mask.astype(bool))
    again = function({**given, "doc": doc, "mask": mask, **{key: answer[key] for key in answer if key == "memory"}})
    check(again["slate"], mask.astype(bool))


def test_slates_as_arms_need_one_set_of_candidates() -> None:
    algo = load("algo", "ucb1", arms="slates", statistics="per_user")
    with pytest.raises(ConfigError, match=r"env.num_candidates=\[4,7\] varies; allowed: one number"):
        algo.check(dataclasses.replace(varying("interest_evolution", 4), resample_documents=False).spec)


def smallest(name: str, spec: ProblemSpec) -> int:
    """The fewest candidates that an algorithm allows: 1, or as many as the user looks at."""
    try:
        load("algo", name).check(spec)
    except ConfigError:
        return spec.attended
    return 1


SMALL = (
    *("env.time_budget=25", "env.num_topics=4", f"env.slate_size={K}", "resources.users_per_runner=32"),
    *("steps=2000", "report_every=700", "evaluation.every=0"),
)
LEARNERS = [  # those from data only: see `test_offline_learners`
    name
    for name in NAMES
    if (algo := load("algo", name)).trains_on(varying("interest_evolution", 1).spec) and "env" in algo.learns_from
]
VARIANTS = {
    "sarsa": ("algo=slateq", "algo.target=sarsa", "algo.memory=documents"),
    "learned": ("algo=slateq", "algo.choice_model=learned", "algo.target=greedy", "algo.memory=raw"),
    "double": ("algo=slateq", "algo.double_q=true", "algo.replay=prioritized"),
    "per_user": ("algo=thompson", "algo.statistics=per_user"),
}


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("what", [*LEARNERS, *VARIANTS])
def test_every_learner_trains_on_shorter_slates(what: str) -> None:
    """Updates stay finite, what is learned changes, and the policy plays."""
    words = VARIANTS.get(what, (f"algo={what}",))
    fewest = smallest(words[0].removeprefix("algo="), varying("interest_evolution", 1, num_topics=4).spec)
    if hasattr(load("algo", words[0].removeprefix("algo=")), "learning_starts"):
        words = (*words, "algo.learning_starts=200")
    if hasattr(load("algo", words[0].removeprefix("algo=")), "batch_size"):
        words = (*words, "algo.batch_size=64")
    with trainings(*words, *SMALL, f"env.num_candidates=[{fewest},{MOST}]") as make:
        training = make()
        before = {name: value.copy() for name, value in training.policy().tensors().items()}
        reports = [training.step() for _ in range(2)]
        after = training.policy().tensors()
        assert all(np.isfinite(list(report.values())).all() for report in reports)
        assert all(np.isfinite(value).all() for value in after.values())
        assert any((before[name] != value).any() for name, value in after.items())
        assert len(play(training.policy(), training.env, 8, seed=1)) == 8
