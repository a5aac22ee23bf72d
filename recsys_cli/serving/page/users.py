"""Simulated users for the page, by their seed and what was shown to them.

A user is not kept: it is what follows from a seed and the acts so far, as every step draws from a stream of its own. So
any replica of a service can go on with any user, and nothing has to be given back.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.base import RECSIM, EnvConfig
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.messages import Body
from recsys_cli.serving.model import Model
from recsys_cli.serving.page.cards import Card, cards
from recsys_cli.tracking.loading import load_checkpoint

MOST_ACTS = 2000  # of a session
MOST_NUMBERS = 100_000  # of an observation that a browser is sent
KEPT = 64  # users whose state is at hand; others are played again
TRIES = 300  # draws of a user's response before it counts as impossible
MOST_DRAWS = 5000  # for one request
NOBODY = -1  # position clicked if none was
IMPOSSIBLE = f"this user would not do that: it did not happen in {TRIES} draws"


class Act(Body):
    """What was shown, candidates' positions, and what was clicked: a position of the slate, -1 for nothing.

    With `click` None the simulator decides.
    """

    slate: Annotated[list[int], Meta(max_length=1000)]
    click: int | None = None


class Ask(Body):
    """A user: who it is, and what was shown to it."""

    seed: Annotated[int, Meta(ge=0, lt=2**53)]
    acts: Annotated[list[Act], Meta(max_length=MOST_ACTS)]


class Moment(Struct):
    """A user after some acts.

    Attributes:
        user: what the service may know of it, `[U]`.
        candidates: features, `[C, F]`.
        cards: how they look.
        clicked: position in the last slate; -1 for none.
        response: to the last slate, `[k]` for each field of the problem; empty before the first.
        reward: of the last slate.
        total: return of the session so far.
        done: whether the session is over.
    """

    user: list[float]
    candidates: list[list[float]]
    cards: list[Card]
    clicked: int
    response: dict[str, list[float]]
    reward: float
    total: float
    done: bool


@dataclass(frozen=True)
class _Kept:
    """A user's state between two requests."""

    state: Mapping[str, Any]
    reward: float = 0.0
    total: float = 0.0
    done: bool = False


class Users:
    """The simulator of a policy's problem, one user at a time. Safe among threads."""

    def __init__(self, env: EnvConfig) -> None:
        """Take the problem."""
        self.env, self._lock, self._draws = env, threading.Lock(), 0
        self._kept = OrderedDict[bytes, _Kept]()

    @classmethod
    def of(cls, model: Model) -> Users | None:
        """Return the users of the problem that a policy was trained on; None if they cannot be simulated here."""
        try:
            env = load_checkpoint(model.folder).env
            if env.backend == RECSIM:  # its users cannot be saved
                env = load_checkpoint(model.folder, {"backend": "native"}).env
        except ConfigError:
            return None
        numbers = len(env.spec.user) + env.spec.width * len(env.spec.documents)
        return cls(env) if numbers <= MOST_NUMBERS else None

    @cached_property
    def _vec(self) -> Any:
        return self.env.make_vec(1)

    def after(self, ask: Ask) -> Moment:
        """Return a user after some acts.

        Raises:
            Refused: 422, for acts that cannot have been.
        """
        with self._lock:
            known = next((n for n in (len(ask.acts), len(ask.acts) - 1) if _key(ask, n) in self._kept), 0)
            kept, self._draws = self._kept.get(_key(ask, known)) or self._begun(ask.seed), 0
            for number in range(known, len(ask.acts)):
                kept = self._acted(kept, ask.acts[number], (ask.seed, number))
            self._keep(_key(ask, len(ask.acts)), kept)
            self._vec.set_state(kept.state)
            return self._moment(kept, bool(ask.acts))

    def _begun(self, seed: int) -> _Kept:
        self._vec.reset(seed=seed)
        return _Kept(self._vec.get_state())

    def _acted(self, before: _Kept, act: Act, stream: Sequence[int]) -> _Kept:
        """Show a slate, again and again until the user responds as it is said to have."""
        if before.done:
            raise Refused(422, "acts: the session is over")
        spec = self.env.spec
        slate = [*act.slate, *[-1] * (spec.slate_size - len(act.slate))]
        for attempt in range(1 if act.click is None else TRIES):
            self._draws += 1
            if self._draws > MOST_DRAWS:
                raise Refused(422, "acts: more than can be played again at once")
            self._vec.set_state(before.state)
            self._vec.renew_chances(np.random.SeedSequence([*stream, attempt]))
            try:
                observation, reward, terminated, truncated, _ = self._vec.step(np.array([slate]))
            except ValueError:
                raise Refused(422, "acts: a slate that cannot be shown to this user") from None
            if act.click is None or act.click == _clicked(observation["response"]):
                done, gained = bool(terminated[0] | truncated[0]), float(reward[0])
                return _Kept(self._vec.get_state(), gained, before.total + gained, done)
        raise Refused(422, IMPOSSIBLE)

    def _keep(self, key: bytes, kept: _Kept) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _moment(self, kept: _Kept, acted: bool) -> Moment:
        seen, spec = self._vec.observe(), self.env.spec
        there = seen["mask"][0] if "mask" in seen else slice(None)
        user, doc = seen["user"][0], spec.documents.dense(seen["doc"])[0][there]
        response = {name: values[0].tolist() for name, values in seen["response"].items()} if acted else {}
        shown = cards(spec, user, doc)
        clicked = _clicked(seen["response"]) if acted else NOBODY
        return Moment(user.tolist(), doc.tolist(), shown, clicked, response, kept.reward, kept.total, kept.done)


def _clicked(response: Mapping[str, Any]) -> int:
    click = response["click"][0]
    return int(click.argmax()) if click.any() else NOBODY


def _key(ask: Ask, acts: int) -> bytes:
    return blake2b(msgspec.json.encode([ask.seed, ask.acts[:acts]]), digest_size=16).digest()
