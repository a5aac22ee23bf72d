"""Routers that choose among recorded sessions, epoch by epoch, as the service does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from experiments.router.sessions import NAMES, Played
from recsys_cli.config.structured import load
from recsys_cli.serving.deciding import choose
from recsys_cli.serving.router.base import Arm, State
from recsys_cli.serving.router.build import build_router

EPOCHS, SESSIONS = 200, 5  # of a run, and in each epoch


@dataclass(frozen=True)
class Epoch:
    """An epoch of a run.

    Attributes:
        router: its option.
        unit: what it compared.
        seed: of the order of sessions.
        sessions: played by its end.
        shares: of each policy's sessions in it, as the router's probabilities.
        regret: of all sessions so far, against SlateQ in every one: expected minutes.
    """

    router: str
    unit: str
    seed: int
    sessions: int
    shares: tuple[float, ...]
    regret: float


def play(option: str, unit: str, seed: int, played: Mapping[str, Played]) -> list[Epoch]:
    """Let a router choose; every session's rewards are known at its epoch's end.

    Session s of a run is a user whose session was recorded with every policy; the router sees that of the policy that
    it chose.
    """
    router = build_router(load("router", option, unit=unit), NAMES)
    order = np.random.default_rng(seed).permutation(len(played[NAMES[0]].rewards))
    returns = np.array([played[name].returns.mean() for name in NAMES])
    arms, rows, regret = [Arm() for _ in NAMES], list[Epoch](), 0.0
    state: State = {}
    for epoch in range(EPOCHS):
        state = router.freeze(arms, state)
        users = order[epoch * SESSIONS : (epoch + 1) * SESSIONS]
        seen = played[NAMES[0]].user[users]
        weights = router.law(state, np.ones(len(NAMES), bool))(seen)
        chosen = choose(weights, [f"{seed}-{user}" for user in users], epoch)
        for m, name in enumerate(NAMES):
            own = users[chosen == m]
            found = [played[name].rewards[user] for user in own]
            if unit == "session":
                arms[m] = arms[m].plus(
                    [float(each.sum()) for each in found], played[name].user[own] if len(own) else None
                )
            elif found:
                steps = np.concatenate(found)
                each_user = np.repeat(played[name].user[own], [len(each) for each in found], axis=0)
                arms[m] = arms[m].plus([float(reward) for reward in steps], each_user)
        regret += float((returns.max() - weights @ returns).sum())
        shares = tuple(float(share) for share in weights.mean(0))
        rows.append(Epoch(option, unit, seed, (epoch + 1) * SESSIONS, shares, regret))
    return rows
