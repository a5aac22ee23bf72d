"""A policy that numbers documents otherwise than the log sees their features."""

from __future__ import annotations

import dataclasses

import numpy as np
from logs import played

from recsys_cli.config.structured import load
from recsys_cli.envs.spec import Documents
from recsys_cli.offline.choice import known_choice
from recsys_cli.offline.judging import Logged
from recsys_cli.policies.base import GreedyPolicy, Observation


class Weighing(GreedyPolicy):
    """Shows the documents whose weighed features are greatest."""

    def __init__(self, documents: Documents, slate_size: int) -> None:
        self.documents, self.slate_size = documents, slate_size
        self.weights = np.linspace(-1, 1, len(documents)) ** 3

    def slates(self, observation: Observation) -> np.ndarray:
        scores = self.documents.dense(np.asarray(observation["doc"])) @ self.weights
        return np.argsort(-scores, axis=1, kind="stable")[:, : self.slate_size]


def test_a_policy_that_numbers_documents_otherwise_sees_their_features() -> None:
    env = load("env", "interest_evolution")
    log, choice = played(env, 3), known_choice(env.spec)
    assert choice is not None
    logged, topics = Logged.of(log, choice), env.spec.documents
    order = np.random.default_rng(0).permutation(len(topics))
    renumbered = dataclasses.replace(topics, topics=0, items=np.eye(len(topics), dtype=np.float32)[order])
    right = logged.judge(Weighing(topics, env.slate_size))
    foreign = Weighing(renumbered, env.slate_size)
    np.testing.assert_array_equal(logged.judge(foreign, topics).target_clicks, right.target_clicks)
    assert (logged.judge(foreign).target_clicks != right.target_clicks).any()
