"""From a policy to its twin; None if it has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recsys_cli.networks.choice import FirstPositionChoice, KnownChoice, LearnedChoice
from recsys_cli.networks.item_values import Concat, DocumentValues, TwoTower
from recsys_cli.policies.base import Observation
from recsys_cli.policies.click_models import ConditionalLogit, ItemFeatures
from recsys_cli.policies.greedy_pctr import GreedyPCTRPolicy
from recsys_cli.policies.item_bandit import ItemBanditPolicy
from recsys_cli.policies.item_values import ItemValues, LinearItems
from recsys_cli.policies.lspi import LSPIPolicy
from recsys_cli.policies.memory import TOTALS
from recsys_cli.policies.myopic import MyopicPolicy
from recsys_cli.policies.network import PlackettLucePolicy, ScoringPolicy
from recsys_cli.policies.neural_items import NeuralItems
from recsys_cli.serving.twins.choice import Choice, Scores, first_position, known_choice, learned_choice, masses
from recsys_cli.serving.twins.forward import ConcatForward, ItemForward, TwoTowerForward
from recsys_cli.serving.twins.linear import Score, linear_score, neural_score, topic_score
from recsys_cli.serving.twins.optimisers import OPTIMISERS, Bools, Floats, SlateOptimiser
from recsys_cli.serving.twins.policies import ChoiceTwin, ScoredTwin, ValuedTwin, Values
from recsys_cli.slates import optimisers


def of_values(policy: ScoringPolicy) -> ValuedTwin | None:
    """Return the twin of SlateQ and of its like."""
    from recsys_cli.algos.slateq.network import SlateQNetwork

    network: Any = policy.network
    if type(network) is not SlateQNetwork:
        return None
    forward, choice, optimise = _forward(network.values), _choice(network.choice), _optimiser(network.serving)
    if forward is None or choice is None or optimise is None:
        return None
    learned_null, limited = network.learned_null, _limited(network)

    def values(observation: Observation, state: Any, doc: Any) -> tuple[Floats, Floats]:
        q, q_null = (each.astype(np.float64) for each in forward(limited(state), doc))
        return q, q_null if learned_null else np.zeros_like(q_null)

    def chosen(user: Any, state: Any, doc: Any, mask: Bools | None) -> Scores:
        return choice(user, limited(state), doc, mask)

    return ValuedTwin(policy, network.problem.documents, values, chosen, network.attended, optimise)


def of_scores(policy: PlackettLucePolicy) -> ScoredTwin | None:
    """Return the twin of an actor."""
    from recsys_cli.algos.itemwise.network import ActorAndValues
    from recsys_cli.algos.policy_gradient.network import SlateActor

    network: Any = policy.network
    if type(network) not in (SlateActor, ActorAndValues) or (forward := _forward(network.scorer)) is None:
        return None
    limited = _limited(network)
    return ScoredTwin(policy, network.problem.documents, lambda state, doc: forward(limited(state), doc))


def of_lspi(policy: LSPIPolicy) -> ValuedTwin | None:
    """Return LSPI's twin."""
    weights, users = policy.values.weights.copy(), len(policy.problem.user)
    if policy.logit is None:
        choice = _choice(policy.known)
    else:  # it sees users and what they did with documents, but not the session's totals
        score = linear_score(policy.choice_features, policy.logit.weights)
        choice = _logit(lambda state, doc: score(np.delete(state, np.s_[users : users + TOTALS], axis=1), doc))
    if choice is None:
        return None

    def values(observation: Observation, state: Any, doc: Any) -> tuple[Floats, Floats]:
        return policy.features.values(weights, observation, doc)

    return ValuedTwin(policy, policy.problem.documents, values, choice, policy.attended, OPTIMISERS["optimal"])


def of_bandit(policy: ItemBanditPolicy) -> ValuedTwin | None:
    """Return the twin of a contextual bandit as it is served, by its expected values."""
    score, optimise = _items(policy.items), _optimiser(policy.optimise)
    choice = _choice(policy.known) if policy.logit is None else _conditional(policy.choice_features, policy.logit)
    if score is None or choice is None or optimise is None:
        return None
    return ValuedTwin(policy, policy.problem.documents, _without_null(score), choice, policy.attended, optimise)


def of_myopic(policy: MyopicPolicy) -> ValuedTwin | None:
    """Return the twin of the myopic baseline, or of its like by choice scores alone."""
    choice = _choice(policy.known) if policy.logit is None else _conditional(policy.features, policy.logit)
    if choice is None:
        return None
    values = _without_null(_ones if policy.reward is None else linear_score(policy.features, policy.reward.weights[0]))
    made = policy, policy.documents, values, choice, policy.attended, OPTIMISERS["optimal"]
    by_choice = type(policy) is GreedyPCTRPolicy
    return ChoiceTwin(*made, by_choice=by_choice) if by_choice or policy.known is not None else ValuedTwin(*made)


def _forward(network: Any) -> ItemForward | None:
    if type(network) is Concat:
        return ConcatForward(network)
    if type(network) in (TwoTower, DocumentValues):
        return TwoTowerForward(network, blind=type(network) is DocumentValues)
    return None


def _limited(network: Any) -> Callable[[Any], Any]:
    """Return what turns user and memory into what a network's layers see: `SessionLimit`, if it has learned one."""
    limit, users = getattr(network, "limit", None), len(network.problem.user)
    if limit is None or not limit.limit.any():
        return lambda state: state
    weights, scales = limit.limit.cpu().numpy().copy(), limit.scales.cpu().numpy()
    totals = np.s_[:, users : users + TOTALS]

    def limited(state: Any) -> Any:
        seen, left = state.copy(), 1 - np.einsum("bm,m->b", state[totals], weights)
        seen[totals] = np.minimum(scales * left[:, None], 1)
        return seen

    return limited


def _choice(model: Any) -> Choice | None:
    """Return a choice model's twin; where there is no model, the first document is clicked, whatever it is."""
    if model is None or type(model) is FirstPositionChoice:
        return first_position
    if type(model) is KnownChoice:
        return known_choice(model.spec)
    if type(model) is LearnedChoice and (score := _forward(model.score)) is not None:
        return learned_choice(score, model.proportional)
    return None


def _conditional(features: ItemFeatures, logit: ConditionalLogit) -> Choice:
    return _logit(linear_score(features, logit.weights))


def _logit(score: Score) -> Choice:
    def choice(user: Any, state: Any, doc: Any, mask: Bools | None) -> Scores:
        return masses(score(state, doc), np.zeros(len(doc)), mask)

    return choice


def _items(items: ItemValues) -> Score | None:
    if type(items) is LinearItems:
        return topic_score(items) if items.disjoint else linear_score(items.features, items.regressions.weights[0])
    return neural_score(items) if type(items) is NeuralItems else None


def _ones(state: Any, doc: Any) -> Floats:
    return np.ones(doc.shape[:2])


def _without_null(score: Score) -> Values:
    def values(observation: Observation, state: Any, doc: Any) -> tuple[Floats, Floats]:
        return score(state, doc), np.zeros(len(doc))

    return values


def _optimiser(function: Any) -> SlateOptimiser | None:
    """Return the NumPy form of one of the slate optimisers."""
    return next((OPTIMISERS[name] for name, own in optimisers.OPTIMISERS.items() if own is function), None)
