"""Groups of users: how many there are of each, that they are their own problem's users, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsys_cli.config.compose import apply_env_overrides, compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import build, load, to_plain
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.policies import UniformPolicy
from recsys_cli.rollouts.episodes import play

EVOLUTION: dict[str, Any] = {"env": "interest_evolution", "num_topics": 5, "time_budget": 40.0}


def groups(one: dict[str, Any], other: dict[str, Any], **more: Any) -> EnvConfig:
    made: EnvConfig = load("env", "groups", **more, groups={"one": EVOLUTION | one, "other": EVOLUTION | other})
    return made


def test_shares_are_exact_but_for_one_user_and_in_the_mean() -> None:
    env = groups({"weight": 3}, {"weight": 2})
    for users, least in ((2000, 1200), (7, 4), (1, 0)):
        vec = env.make_vec(users)
        counts = []
        for seed in range(100):
            _, info = vec.reset(seed=seed if seed < 50 else None)
            counts.append(int((vec.group == "one").sum()))
        assert info == {} and set(counts) <= {least, least + 1} and counts[0] >= least
        assert np.mean(counts) == pytest.approx(0.6 * users, abs=4 * 0.5 / 10)


def test_groups_come_in_random_order() -> None:
    """Else a log of them, whose order is that of users, would look as if users changed as time goes by."""
    vec = groups({}, {}).make_vec(1000)
    vec.reset(seed=0)
    first, second = (np.mean(half == "one") for half in np.split(vec.group, 2))
    assert abs(first - second) < 4 * 1 / 1000**0.5


def test_the_last_features_are_the_group() -> None:
    for observed, features in ((True, 7), (False, 5)):
        env = groups({}, {"weight": 0.5}, group_observed=observed, num_candidates=[2, 6])
        vec = env.make_vec(9, doc_format="index")
        observation, _ = vec.reset(seed=0)
        assert observation["user"].shape == (9, features) and len(env.spec.user) == features
        assert tuple(env.spec.groups) == (("one", "other") if observed else ())
        vec.step(vec.action_space.sample(observation["mask"]))
        if observed:
            names = np.array(["one", "other"])[vec.observe()["user"][:, -2:].argmax(1)]
            np.testing.assert_array_equal(names, vec.group)
            assert (vec.observe()["user"][:, -2:].sum(1) == 1).all()


def test_each_group_s_users_are_those_of_its_own_problem() -> None:
    env = groups({"weight": 2}, {"document_quality_factor": -1.0, "time_budget": 90.0, "step_penalty": 1.5})
    policy = UniformPolicy(env.slate_size)
    played = play(policy, env, 1500, seed=3).by_group()
    assert {name: len(each) for name, each in played.items()} == {"one": 1000, "other": 500}
    for name, part in env.parts.items():
        alone = play(policy, part.env, 1000, seed=11)
        for what in ("returns", "lengths", "clicks"):
            mine, theirs = getattr(played[name], what), getattr(alone, what)
            error = np.hypot(mine.std() / len(mine) ** 0.5, theirs.std() / len(theirs) ** 0.5)
            assert abs(mine.mean() - theirs.mean()) < 4 * error, what
    assert played["other"].lengths.mean() > 1.5 * played["one"].lengths.mean()


def test_groups_may_end_their_episodes_at_different_steps() -> None:
    kind = {"env": "interest_exploration"}
    env = load("env", "groups", groups={"short": {**kind, "horizon": 3}, "long": {**kind, "horizon": 5}})
    vec = env.make_vec(4)
    vec.reset(seed=0)
    assert (env.spec.truncation, env.spec.horizon) == (5, 5)
    short, ends = vec.group == "short", []
    for _ in range(5):
        *_, truncated, _ = vec.step(vec.action_space.sample())
        ends.append(truncated.tolist())
    assert short.sum() == 2
    assert ends == [[False] * 4, [False] * 4, short.tolist(), [False] * 4, (~short).tolist()]


def test_neighbours_who_share_their_chances_are_of_the_same_group() -> None:
    vec = groups({"weight": 3}, {"weight": 1}).make_vec(12)
    vec.share_chances(3)
    observation, _ = vec.reset(seed=0)
    assert sorted(vec.group[::3]) == ["one", "one", "one", "other"]
    assert vec.group.tolist() == np.repeat(vec.group[::3], 3).tolist()
    for name in ("user", "doc"):
        first = observation[name][::3]
        np.testing.assert_array_equal(observation[name], np.repeat(first, 3, axis=0))
        assert len(np.unique(first, axis=0)) == 4


def test_what_all_groups_have_in_common_is_known() -> None:
    alike, other = groups({}, {"quality_stddev": 50.0}), groups({}, {"no_click_mass": 2.0})
    assert alike.spec.choice == alike.parts["one"].env.spec.choice and alike.spec.choice.observable
    assert other.spec.choice.kind == "unknown" and other.spec.groups["other"].choice.no_click_mass == 2.0
    quality = {field.name: field for field in alike.spec.response}["quality"]
    assert quality.high == 503.0 and alike.spec.groups["one"].response[3].high == 100.0  # the widest bounds
    again = ProblemSpec.from_dict(other.spec.to_dict())
    assert again == other.spec and again.interests == 5


def test_keys_of_a_group_can_be_set_and_are_kept() -> None:
    env = compose("train", ["env=groups", "env.groups.casual.no_click_mass=2", "env.groups.serious.weight=9"]).env
    assert env.parts["casual"].env.no_click_mass == 2.0 and env.shares["casual"] == pytest.approx(0.3 / 9.3)
    saved = to_plain(env)
    assert build(saved, "env") == env
    changed = build(apply_env_overrides(saved, {"groups": {"casual": {"weight": 0, "video_length": 3}}}), "env")
    assert changed.shares["casual"] == 0 and changed.parts["casual"].env.video_length == 3.0
    vec = changed.make_vec(5)
    vec.reset(seed=0)
    assert vec.group.tolist() == ["serious"] * 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("env.groups.casual.no_click_mas=2", r"env\.groups\.casual\.no_click_mas is unknown .* Did you mean"),
        ("env.groups.casual.num_topics=5", "all groups need the same number of user features, but serious has 20"),
        ("env.groups.casual.weight=-1", r"env\.groups\.casual\.weight=-1\.0 must be at least 0"),
        ("env.groups.casual.min_utility=5", r"env\.groups\.casual: env\.min_utility=5 must be <="),
        ("env.groups.casual.video_length=0", r"env\.groups\.casual\.video_length=0\.0 must be above 0"),
        ("env.backend=recsim", r"env\.backend=recsim is not available for env=groups"),
        ("env.groups=3", r"env\.groups=3: keys with values"),
    ],
)
def test_what_cannot_be_is_refused(words: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        compose("train", ["env=groups", words])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "must name at least one group"),
        ({"a b": EVOLUTION}, "a group's name is letters"),
        ({"a": {"env": "interest_evolutio"}}, r"env\.groups\.a\.env=interest_evolutio .* Did you mean"),
        ({"a": {**EVOLUTION, "slate_size": 3}}, r"env\.groups\.a\.slate_size cannot be set"),
        ({"a": {**EVOLUTION, "weight": 0}}, r"one of a\.weight must be above 0"),
        ({"a": {"env": "groups"}}, "a group of users cannot be of groups itself"),
        ({"a": {"weight": 1}}, r"env\.groups\.a\._target_ is missing"),
        ({"a": EVOLUTION, "b": {"env": "long_term_satisfaction"}}, "a has 5 and b 0"),
    ],
)
def test_groups_that_cannot_be_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load("env", "groups", groups=values)
