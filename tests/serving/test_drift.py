"""Drift of requests: silent on what the policy was trained on, loud on what it was not, and cheap."""

import itertools
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from serving.service_logs import bundle_of, env_of

from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.profile import BINS, Profile, binned, names_of, rows_of
from recsys_cli.offline.problem import LoggedProblem
from recsys_cli.offline.recording import record
from recsys_cli.offline.writer import Writer
from recsys_cli.policies import UniformPolicy
from recsys_cli.serving.messages import RankRequest
from recsys_cli.serving.watching import drift
from recsys_cli.serving.watching.drift import Drift, Following, of_new_users, profile_of
from recsys_cli.tracking.bundle import MANIFEST, TENSORS, read_bundle, write_bundle


@dataclass
class Body:
    requests: list[RankRequest]
    user: np.ndarray
    doc: np.ndarray
    mask: np.ndarray


@pytest.fixture(scope="module")
def env():
    return env_of(num_candidates=[5, 20])


@pytest.fixture(scope="module")
def profile(env):
    return of_new_users(env)


@pytest.fixture
def clock(monkeypatch):
    """A clock that passes three seconds whenever it is looked at, so that nothing is cached; and no limit on load."""
    seconds = itertools.count(1000.0, 3.0)
    monkeypatch.setattr(drift, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(drift, "A_SECOND", 100_000)


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(drift, "warn", lines.append)
    return lines


def bodies(env, users, seed=7, change=lambda user: user, tokens=True):
    """Yield what users send step by step, in one session after the other."""
    vec, rng = env.make_vec(users), np.random.default_rng(seed)
    observation, _ = vec.reset(seed=seed)
    session, first, ended = np.arange(users), np.ones(users, bool), np.zeros(users, bool)
    while True:
        on = ~ended
        pairs = zip(session[on], first[on], strict=True)
        state = [(f"s{number}", None if begins or not tokens else "token") for number, begins in pairs]
        requests = [RankRequest(candidates=[], session=name, session_state=token) for name, token in state]
        mask = observation.get("mask", np.ones(observation["doc"].shape[:2], bool))
        yield Body(requests, change(observation["user"][on]), observation["doc"][on], mask[on])
        slates = UniformPolicy(env.slate_size).distribution(observation).sample(rng)
        observation, _, terminated, truncated, _ = vec.step(slates)
        session, first = session + ended * users, ended
        ended = terminated | truncated


@pytest.mark.parametrize("name", ["interest_evolution", "interest_exploration", "long_term_satisfaction"])
def test_no_alarm_on_a_hundred_windows_of_the_same_law(name, said):
    env = env_of(name)
    profile, vec, rng, greatest = of_new_users(env), env.make_vec(1000), np.random.default_rng(5), 0.0
    for seed in range(1, 101):
        size = (50, 100, 300, 1000)[seed % 4]
        seen, _ = vec.reset(seed=seed)
        index, alarm = drift.compared(rows_of(env.spec, seen["user"], seen["doc"], None, rng)[:size], profile)
        assert not alarm.any()
        greatest = max(greatest, index.max() if size == 1000 else 0.0)
    assert greatest < 0.05 < drift.LIMIT / 2


def test_old_sessions_and_their_policy_are_no_drift(env, profile, clock, said):
    """Interests move by what is shown: of later requests that would be a drift of 0.3 and more."""
    watch = Drift(profile, env.spec)
    for body in itertools.islice(bodies(env, 200), 250):
        watch.see(body)
    report = watch.report()
    assert 400 < report.sessions < 1500 and report.drift < 0.1 and not report.alarm and not said


@pytest.mark.parametrize("shift", [0.5, -0.5])
def test_alarm_on_other_users_names_them_once(env, profile, clock, said, shift):
    watch = Drift(profile, env.spec)

    def other(user):
        return np.concatenate([user[:, :3], np.clip(user[:, 3:4] + shift, -1, 1), user[:, 4:]], axis=1)

    for body in itertools.islice(bodies(env, 600, change=other), 3):
        watch.see(body)
    report = watch.report()
    assert report.alarm and report.worst[0].feature == "user 3" and report.worst[0].shift * shift > 0
    assert report.drift > drift.LIMIT > report.worst[1].drift
    watch.report()
    assert len(said) == 1 and "by user 3;" in said[0]
    assert report.to_dict()["worst"][0]["feature"] == "user 3"


def test_alarm_on_other_candidates(env, profile, clock, said):
    watch, body = Drift(profile, env.spec), next(bodies(env, 600))
    body.doc[...] = np.eye(20)[body.doc.argmax(-1) // 2]  # half of the topics are gone
    watch.see(body)
    assert watch.report().alarm and watch.report().worst[0].feature == "candidate topic"
    fewer, body = Drift(profile, env.spec), next(bodies(env, 600))
    body.mask[:, 6:] = False
    fewer.see(body)
    assert fewer.report().alarm and fewer.report().worst[0].feature == "candidates"


@pytest.mark.parametrize("tokens", [True, False])
def test_a_session_counts_once_and_few_say_nothing(env, profile, clock, said, tokens):
    watch = Drift(profile, env.spec)
    for body in itertools.islice(bodies(env, 30, tokens=tokens), 50):
        watch.see(body)
    assert watch.report().sessions == 30 < drift.FEWEST and watch.report().drift == 0.0


def test_sessions_that_are_remembered_are_bounded(env, profile, monkeypatch):
    monkeypatch.setattr(drift, "KNOWN", 10)
    watch = Drift(profile, env.spec)
    watch.see(next(bodies(env, 100)))
    assert len(watch._known) == 10 and watch.report().sessions == drift.A_SECOND


def test_under_load_few_requests_are_looked_at(env, profile, monkeypatch):
    monkeypatch.setattr(drift, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    body, watch = next(bodies(env, 1)), Drift(profile, env.spec)
    for state in ("token", None):  # later requests, and first ones beyond what is looked at
        body.requests = [RankRequest(candidates=[], session_state=state)]
        for _ in range(10_000):
            watch.see(body)
    assert watch._seen == drift.A_SECOND


def test_shown_features_are_of_any_present_candidate(env):
    user, doc = np.zeros((1000, 20), np.float32), np.tile(np.eye(20, dtype=np.float32)[:4], (1000, 1, 1))
    mask = np.tile([True, False, True, True], (1000, 1))
    rows = rows_of(env.spec, user, doc, mask, np.random.default_rng(0))
    assert sorted(np.unique(rows[:, 20])) == [0, 2, 3] and set(rows[:, -1]) == {3}
    assert rows.shape[1] == len(names_of(env.spec)) == 22


def test_bins_of_few_and_of_many_values():
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.uniform(size=5000), rng.random(5000) < 0.95, np.ones(5000), rng.integers(0, 15, 5000)])
    profile = Profile.of(rows.astype(np.float32))
    assert np.allclose(profile.shares[0], 0.1, atol=0.001)
    assert sorted(profile.shares[1][profile.shares[1] > 0]) == pytest.approx([0.05, 0.95], abs=0.01)
    assert list(profile.shares[2]) == [1] + [0] * (BINS - 1)
    assert (profile.shares[3] > 0.05).all()
    index, alarm = drift.compared(np.float32([[0.5, 0, 2, 20]] * 100), profile)
    assert alarm[[0, 1, 3]].all() and index[2] == 0  # a constant has one bin: its value is checked by the bounds
    assert binned(rows[:0], profile.edges).sum() == 0


def model(folder, spec=None, version="1"):
    """A policy, as far as it is looked at."""
    return SimpleNamespace(folder=folder, spec=spec, version=version)


def test_profile_is_kept_in_a_bundle(tmp_path, env, profile):
    parts = {"config": {}, "spec": env.spec, "info": {"steps": 1}, "policy_state": {}}
    write_bundle(tmp_path / "with", profile=profile, **parts)
    kept = profile_of(model(tmp_path / "with"))  # the simulator is not asked: this bundle names none
    assert np.allclose(kept.edges, profile.edges) and np.allclose(kept.shares, profile.shares, atol=1e-6)
    assert kept.sessions == profile.sessions and read_bundle(tmp_path / "with").tensors == {}
    other = compose("train", ["env=long_term_satisfaction", "algo=random"]).env.spec
    write_bundle(tmp_path / "other", profile=profile, **{**parts, "spec": other})
    with pytest.raises(ConfigError, match=rf"damaged: {TENSORS}: a profile .* \[2, 22\], not \[22, 22\]"):
        read_bundle(tmp_path / "other")


def test_without_a_simulator_there_is_no_profile(tmp_path, env):
    bundle = bundle_of(tmp_path / "bundle", env, "random")
    assert profile_of(model(bundle)) is not None
    manifest = (bundle / MANIFEST).read_text()
    (bundle / MANIFEST).write_text(manifest.replace("recsys_cli.envs.interest_evolution", "gone.simulator"))
    assert profile_of(model(bundle)) is None


def test_profile_of_a_log_is_that_of_its_problem(tmp_path, env, profile):
    writer = Writer(tmp_path / "log", env.spec, {"behaviour": "random"})
    record(writer, UniformPolicy(env.slate_size), env, episodes=200, seed=3)
    logged = LoggedProblem(data=str(tmp_path / "log")).profile
    assert logged.sessions == 200 and env.profile is None
    assert np.allclose(logged.mean, profile.mean, atol=5 * profile.std.max() / np.sqrt(200))
    assert np.abs(logged.shares[-1] - profile.shares[-1]).max() < 0.15  # the number of candidates


def test_another_version_of_the_control_has_another_reference(tmp_path, env):
    bundle, statistics = bundle_of(tmp_path / "bundle", env, "random"), SimpleNamespace(drift=None)
    control = [model(bundle, env.spec, "1")]
    following = Following(statistics, lambda: control[0])
    following.step()
    first = statistics.drift
    following.step()
    assert isinstance(first, Drift) and statistics.drift is first
    control[0] = model(bundle, env.spec, "2")
    following.step()
    assert statistics.drift is not first
