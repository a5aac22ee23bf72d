"""Drift: whether requests look like what the policy was trained on.

A feature's drift is the population stability index of its bins, sum (p - q) ln(p / q), of the requests' shares p and
the reference's q, less what chance alone would give: under equal laws and n independent requests, n times the index is
about chi-squared. With few requests a bin that happens to be empty makes the index large, so an alarm also needs the
triangular discrimination, sum 2 (p - q)^2 / (p + q), to be improbable; it is chi-squared too, and bounded. A session's
requests are alike, so n is Kish's effective number (1965) as if they were all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.notices import warn
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.profile import Profile, binned, names_of, rows_of
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.policies import SlatePolicy
from recsys_cli.serving.messages import RankRequest
from recsys_cli.serving.model import Model
from recsys_cli.tracking.loading import load_checkpoint

if TYPE_CHECKING:
    from recsys_cli.serving.metrics import Statistics

LIMIT = 0.25  # of the index, from which a shift is called major
CHANCE = 1e-7  # of an alarm of one feature in one look, without drift
WINDOW, WINDOW_BYTES = 2000, 16 << 20  # requests that are looked at: the last ones
A_SECOND = 20  # requests of a second that are looked at, so that load costs nothing
FEWEST = 50  # independent requests below which nothing is said
LOOK_EVERY, CACHED_SECONDS = 500, 2.0
WORST = 5  # features that are named
USERS, STEPS, PLAYED_BYTES = 256, 200, 64 << 20  # played for a reference


class Requests(Protocol):
    """The requests of a body, as far as they are looked at."""

    @property
    def requests(self) -> list[RankRequest]:
        """N of them."""

    @property
    def user(self) -> NDArray[np.float32]:
        """Features `[N, U]`."""

    @property
    def doc(self) -> NDArray[np.float32]:
        """Features `[N, C, F]`."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which candidates may be shown, `[N, C]`."""


@dataclass(frozen=True)
class Shifted:
    """A feature: its index, and the requests' mean less the reference's, in standard deviations of the reference."""

    policy: str
    feature: str
    drift: float
    shift: float


@dataclass(frozen=True)
class Report:
    """How far the last requests are from the reference.

    Attributes:
        requests: looked at.
        independent: of them, as far as that can be told.
        drift: greatest index of a feature; 0 while there are too few requests.
        alarm: whether a feature's is above `LIMIT` and more than chance.
        worst: the features with the greatest ones.
    """

    requests: int = 0
    independent: float = 0.0
    drift: float = 0.0
    alarm: bool = False
    worst: tuple[Shifted, ...] = ()

    @classmethod
    def of(cls, reports: Sequence[Report]) -> Report:
        """Join the reports about several policies."""
        worst = sorted((each for report in reports for each in report.worst), key=lambda each: -each.drift)
        return cls(
            sum(report.requests for report in reports),
            sum(report.independent for report in reports),
            max((report.drift for report in reports), default=0.0),
            any(report.alarm for report in reports),
            tuple(worst[:WORST]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class Drift:
    """Compares the last requests that a policy answered with a profile of features."""

    def __init__(self, profile: Profile, spec: ProblemSpec, policy: str) -> None:
        """Take the profile, the problem, and the policy that answers the requests."""
        self._profile, self._spec, self._policy, self._names = profile, spec, policy, names_of(spec)
        size = len(profile.mean)
        self._rows = np.empty((max(min(WINDOW, WINDOW_BYTES // (4 * size)), FEWEST), size), np.float32)
        self._sessions = np.empty(len(self._rows), np.int64)
        self._seen, self._second, self._left = 0, 0, 0
        self._rng, self._warned = np.random.Generator(np.random.SFC64(0)), False
        self._report, self._reported = Report(), -np.inf

    def see(self, batch: Requests, rows: NDArray[np.intp]) -> None:
        """Look at some of a body's requests: at most at these rows."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._left = second, A_SECOND
        if self._left <= 0:
            return
        chosen = self._rng.choice(rows, self._left, replace=False) if len(rows) > self._left else rows
        self._left -= len(chosen)
        at = (self._seen + np.arange(len(chosen))) % len(self._rows)
        self._rows[at] = rows_of(self._spec, batch.user[chosen], batch.doc[chosen], batch.mask[chosen], self._rng)
        sessions = (batch.requests[row].session for row in chosen)
        self._sessions[at] = [hash(name) if name else self._seen + i for i, name in enumerate(sessions)]
        looks = self._seen // LOOK_EVERY
        self._seen += len(chosen)
        if self._seen // LOOK_EVERY > looks:
            self.report()

    def report(self) -> Report:
        """Return what the last requests look like; computed anew at most every `CACHED_SECONDS`."""
        now = time.monotonic()
        if now - self._reported >= CACHED_SECONDS:
            self._reported, self._report = now, self._compared()
            if self._report.alarm and not self._warned:
                self._warned = True
                named = ", ".join(each.feature for each in self._report.worst if each.drift > LIMIT)
                warn(
                    f"requests no longer look like what the policy was trained on, by {named}: see the page or /metrics"
                )
        return self._report

    def _compared(self) -> Report:
        size = min(self._seen, len(self._rows))
        repeats = np.unique(self._sessions[:size], return_counts=True)[1]
        independent = float(size**2 / (repeats.astype(float) ** 2).sum()) if size else 0.0
        if independent < FEWEST:
            return Report(size, independent)
        rows, known = self._rows[:size], self._profile
        index, alarm = compared(rows, known, independent)
        shift = (rows.mean(0) - known.mean) / np.where(known.std > 0, known.std, 1)
        worst = tuple(
            Shifted(self._policy, self._names[r], float(index[r]), float(shift[r])) for r in np.argsort(-index)[:WORST]
        )
        return Report(size, independent, worst[0].drift, bool(alarm.any()), worst)


def compared(rows: NDArray[np.float32], profile: Profile, independent: float) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the features' indices, less what chance gives, and which are an alarm, `[R]` each.

    Args:
        rows: `[n, R]`.
        profile: what they are compared with.
        independent: how many independent rows they are worth.
    """
    shares = binned(rows, profile.edges) / len(rows)
    there = (profile.shares > 0) | (shares > 0)
    p, q = np.maximum(shares, 0.5 / independent), np.maximum(profile.shares, 0.5 / profile.episodes)
    freedom, chance = np.maximum(there.sum(1) - 1, 1), 1 / independent + 1 / profile.episodes
    index = np.where(there, (p - q) * np.log(p / q), 0).sum(1) - chance * freedom
    discrimination = np.where(there, 2 * (p - q) ** 2 / (p + q), 0).sum(1)
    return np.maximum(index, 0), (index > LIMIT) & (discrimination > chance * chdtri(freedom, CHANCE))


class Following:
    """Compares what each live policy is asked with what it was trained on, also after a new version took its place."""

    def __init__(self, statistics: Statistics, models: Callable[[], Sequence[Model]]) -> None:
        """Take where the comparisons go, and what returns the live policies."""
        self._statistics, self._models = statistics, models
        self._known: dict[tuple[str, str], Drift | None] = {}

    def step(self) -> None:
        """Look at the policies; a new one takes about a second, in which its simulator is played."""
        models = self._models()
        if [(model.name, model.version) for model in models] == list(self._known):
            return
        known = {(model.name, model.version): model for model in models}
        self._known = {key: self._known[key] if key in self._known else _drift(known[key]) for key in known}
        self._statistics.drifts = {name: drift for (name, _), drift in self._known.items() if drift is not None}


def _drift(model: Model) -> Drift | None:
    profile = profile_of(model)
    return None if profile is None else Drift(profile, model.spec, model.name)


def profile_of(model: Model) -> Profile | None:
    """Return what the requests that a policy answers should look like; None if that cannot be known.

    That is what the log looked like that it was trained on, or what its problem's simulator shows when it plays: users
    change by what they are shown, so each policy has a reference of its own.
    """
    checkpoint = load_checkpoint(model.folder)
    if checkpoint.bundle.profile is not None:
        return checkpoint.bundle.profile
    try:
        return played(checkpoint.env, model.policy)
    except ConfigError:  # its simulator is not here
        return None


def played(env: EnvConfig, policy: SlatePolicy, seed: int = 0) -> Profile:
    """Return the features of some hundred users in sessions that follow each other."""
    spec = env.spec
    user_bytes = spec.observation_bytes + STEPS * 4 * len(names_of(spec))
    users = int(np.clip(PLAYED_BYTES // user_bytes, 8, USERS))
    vec, rng = env.make_vec(users, doc_format=spec.documents.compact), np.random.default_rng(seed)
    rows, sessions, ended = list[NDArray[np.float32]](), users, np.zeros(users, bool)
    try:
        observation, _ = vec.reset(seed=seed)
        memory = policy.new_memory(users)
        for _ in range(STEPS):
            seen = rows_of(spec, observation["user"], observation["doc"], observation.get("mask"), rng)
            rows.append(seen[~ended])
            slates = policy.served(memory.extend(observation)).sample(rng)
            before = observation
            observation, _, terminated, truncated, _ = vec.step(slates)
            memory.step(before, slates, observation, ended)
            sessions += int(ended.sum())
            ended = terminated | truncated
        return Profile.of(np.concatenate(rows), sessions)
    finally:
        vec.close()
