"""Four hidden types (table `exploration`): how far gets who knows the users' law, but not this user's type?

    uv run python -m experiments.slateq_beyond.known_types

Keeps the exact posterior of the type, by Bayes' rule from every response, with affinities and qualities at their means.
Prints the mean return, and its share of the way from random to the oracle, of three ways to act on it (4,000 users).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from experiments.slateq_beyond.run import EXPLORATION
from recsys_cli.config.compose import compose

Floats = NDArray[np.float64]
RANDOM, ORACLE, USERS = 39.3, 68.8, 4_000
ENV = compose("train", [*EXPLORATION, "algo=random"]).env
SLATES = np.array(list(combinations(range(ENV.num_candidates), ENV.slate_size)))


def outcomes(doc: Floats) -> Floats:
    """Return each type's probabilities of what slates end in, `[N, types, slates, k + 1]`, no click last."""
    affinity = np.exp(np.array(ENV.user_document_mean_affinity_matrix) + 0.1**2 / 2)  # [types, topics]
    mass = np.exp(affinity[:, doc[..., :-1].argmax(-1)].swapaxes(0, 1) + doc[:, None, :, -1])[:, :, SLATES]
    null = np.full((*mass.shape[:3], 1), np.exp(ENV.no_click_mass))
    every = np.concatenate([mass, null], axis=-1)
    return every / every.sum(-1, keepdims=True)


def entropy(p: Floats) -> Floats:
    """Return the entropy of distributions `[..., m]`."""
    return -(p * np.log(p + 1e-300)).sum(-1)


def values(way: str, belief: Floats, p: Floats, rng: np.random.Generator) -> Floats:
    """Return what each slate is worth, `[N, slates]`."""
    clicked = 1 - p[..., -1]
    if way == "a type drawn from the posterior":
        drawn = (belief.cumsum(1) > rng.random((len(belief), 1))).argmax(1)
        return clicked[np.arange(len(belief)), drawn]
    expected = np.einsum("nt,nts->ns", belief, clicked)
    if way == "greedy":
        return expected
    information = entropy(np.einsum("nt,ntso->nso", belief, p)) - np.einsum("nt,nts->ns", belief, entropy(p))
    return expected + 3 * information


def play(way: str, users: int, seed: int = 5) -> float:
    """Return the mean return of one session each."""
    vec, rng = ENV.make_vec(users), np.random.default_rng(seed)
    observation, _ = vec.reset(seed=seed)
    belief, total = np.full((users, len(ENV.user_type_distribution)), 0.25), 0.0
    for _ in range(ENV.horizon):
        p = outcomes(np.asarray(observation["doc"], np.float64))
        shown = values(way, belief, p, rng).argmax(1)
        observation, reward, *_ = vec.step(SLATES[shown])
        click = observation["response"]["click"]
        ended = np.where(click.any(1), click.argmax(1), click.shape[1])
        belief = belief * p[np.arange(users), :, shown, ended]
        belief /= belief.sum(1, keepdims=True)
        total += float(reward.mean())
    return total


def main() -> None:
    """Print the three returns."""
    for way in ("greedy", "greedy, with a bonus for information", "a type drawn from the posterior"):
        mean = float(np.mean([play(way, 2_000, seed) for seed in range(USERS // 2_000)]))
        print(f"{way}: {mean:.1f}, {100 * (mean - RANDOM) / (ORACLE - RANDOM):.0f} %", flush=True)


if __name__ == "__main__":
    main()
