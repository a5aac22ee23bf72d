"""Drift: whether those who come, and what they are offered, look like what the policy was trained on.

A session's first request is compared with sessions' first steps in the training: later ones depend on what was shown,
so they differ among policies, and between young and old sessions, without any drift. First requests are independent.

A feature's drift is the population stability index of its bins, sum (p - q) ln(p / q), of the requests' shares p and
the reference's q, less what chance alone would give: under equal laws and n requests, n times the index is about
chi-squared. With few requests a bin that happens to be empty makes the index large, so an alarm also needs the
triangular discrimination, sum 2 (p - q)^2 / (p + q), to be improbable; it is chi-squared too, and bounded.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
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
from recsys_cli.serving.messages import RankRequest
from recsys_cli.serving.model import Model
from recsys_cli.tracking.loading import load_checkpoint

if TYPE_CHECKING:
    from recsys_cli.serving.watching.metrics import Statistics

LIMIT = 0.25  # of the index, from which a shift is called major
CHANCE = 1e-7  # of an alarm of one feature in one look, without drift
WINDOW, WINDOW_BYTES = 2000, 16 << 20  # first requests that are looked at: the last ones
FEWEST = 50  # below which nothing is said
A_SECOND = 100  # first requests of a second that are looked at, so that load costs nothing
KNOWN = 100_000  # sessions that are remembered, so that only their first request counts
LOOK_EVERY, CACHED_SECONDS = 500, 2.0
WORST = 5  # features that are named
USERS, USERS_BYTES = 4096, 64 << 20  # simulated for a reference


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

    feature: str
    drift: float
    shift: float


@dataclass(frozen=True)
class Report:
    """How far the last first requests are from the reference.

    Attributes:
        sessions: looked at.
        drift: greatest index of a feature; 0 while there are too few.
        alarm: whether a feature's is above `LIMIT` and more than chance.
        worst: the features with the greatest ones.
    """

    sessions: int = 0
    drift: float = 0.0
    alarm: bool = False
    worst: tuple[Shifted, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class Drift:
    """Compares the last sessions' first requests with a profile of features."""

    def __init__(self, profile: Profile, spec: ProblemSpec) -> None:
        """Take the profile and the problem."""
        self._profile, self._spec, self._names = profile, spec, names_of(spec)
        size = len(profile.mean)
        self._rows = np.empty((max(min(WINDOW, WINDOW_BYTES // (4 * size)), FEWEST), size), np.float32)
        self._seen, self._second, self._left = 0, 0, 0
        self._known = OrderedDict[int, None]()
        self._rng, self._warned = np.random.Generator(np.random.SFC64(0)), False
        self._report, self._reported = Report(), -np.inf

    def see(self, batch: Requests) -> None:
        """Look at the first requests of sessions in a body."""
        requests = enumerate(batch.requests)
        first = [row for row, each in requests if each.session_state is None and self._is_new(each.session)]
        if not first:
            return
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._left = second, A_SECOND
        if self._left <= 0:
            return
        rows = self._rng.choice(first, self._left, replace=False) if len(first) > self._left else np.array(first)
        self._left -= len(rows)
        at = (self._seen + np.arange(len(rows))) % len(self._rows)
        self._rows[at] = rows_of(self._spec, batch.user[rows], batch.doc[rows], batch.mask[rows], self._rng)
        looks, self._seen = self._seen // LOOK_EVERY, self._seen + len(rows)
        if self._seen // LOOK_EVERY > looks:
            self.report()

    def _is_new(self, session: str | None) -> bool:
        """Whether a session was not seen before; one without a name is one request."""
        if session is None:
            return True
        key = hash(session)
        if key in self._known:
            return False
        self._known[key] = None
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return True

    def report(self) -> Report:
        """Return what the last sessions look like; computed anew at most every `CACHED_SECONDS`."""
        now = time.monotonic()
        if now - self._reported >= CACHED_SECONDS:
            self._reported, self._report = now, self._compared()
            if self._report.alarm and not self._warned:
                self._warned = True
                named = ", ".join(each.feature for each in self._report.worst if each.drift > LIMIT)
                warn(
                    f"requests no longer look like those of the training, by {named}; the page at / and /metrics go on"
                )
        return self._report

    def _compared(self) -> Report:
        size = min(self._seen, len(self._rows))
        if size < FEWEST:
            return Report(size)
        rows, known = self._rows[:size], self._profile
        index, alarm = compared(rows, known)
        shift = (rows.mean(0) - known.mean) / np.where(known.std > 0, known.std, 1)
        worst = [Shifted(self._names[r], float(index[r]), float(shift[r])) for r in np.argsort(-index)[:WORST]]
        return Report(size, worst[0].drift, bool(alarm.any()), tuple(worst))


def compared(rows: NDArray[np.float32], profile: Profile) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the features' indices, less what chance gives, and which are an alarm, `[R]` each.

    Args:
        rows: independent ones, `[n, R]`.
        profile: what they are compared with.
    """
    shares = binned(rows, profile.edges) / len(rows)
    there = (profile.shares > 0) | (shares > 0)
    p, q = np.maximum(shares, 0.5 / len(rows)), np.maximum(profile.shares, 0.5 / profile.sessions)
    freedom, chance = np.maximum(there.sum(1) - 1, 1), 1 / len(rows) + 1 / profile.sessions
    index = np.where(there, (p - q) * np.log(p / q), 0).sum(1) - chance * freedom
    discrimination = np.where(there, 2 * (p - q) ** 2 / (p + q), 0).sum(1)
    return np.maximum(index, 0), (index > LIMIT) & (discrimination > chance * chdtri(freedom, CHANCE))


class Following:
    """Compares requests with what the control was trained on, also after another version took its place."""

    def __init__(self, statistics: Statistics, control: Callable[[], Model]) -> None:
        """Take where the comparison goes, and what returns the control."""
        self._statistics, self._control, self._version = statistics, control, ""

    def step(self) -> None:
        """Look at the control."""
        model = self._control()
        if model.version != self._version:
            self._version, profile = model.version, profile_of(model)
            self._statistics.drift = None if profile is None else Drift(profile, model.spec)


def profile_of(model: Model) -> Profile | None:
    """Return what the first requests of sessions should look like; None if that cannot be known.

    That is what the log looked like that the policy was trained on, or the new users of its simulator.
    """
    checkpoint = load_checkpoint(model.folder)
    if checkpoint.bundle.profile is not None:
        return checkpoint.bundle.profile
    try:
        return of_new_users(checkpoint.env)
    except ConfigError:  # its simulator is not here
        return None


def of_new_users(env: EnvConfig, seed: int = 0) -> Profile:
    """Return the features of a simulator's new users and of what they are offered."""
    users = int(np.clip(USERS_BYTES // env.spec.observation_bytes, FEWEST, USERS))
    vec = env.make_vec(users, doc_format=env.spec.documents.compact)
    seen, _ = vec.reset(seed=seed)
    vec.close()
    rng = np.random.default_rng(seed)
    return Profile.of(rows_of(env.spec, seen["user"], seen["doc"], seen.get("mask"), rng))
