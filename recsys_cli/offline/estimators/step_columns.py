"""What the estimators of one step's reward need of judged steps, gathered batch by batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.spec import Documents
from recsys_cli.offline.estimators import cascade, slate
from recsys_cli.offline.estimators.influence import Floats
from recsys_cli.offline.estimators.marginals import pair_probs, pairs_known
from recsys_cli.offline.judging import Judged
from recsys_cli.slates.distributions import SlateDistribution, Uniform


@dataclass(frozen=True)
class StepColumns:
    """Columns of n logged steps under a target policy; None if the log does not say enough.

    Features of a click are those of the document, a constant, and, for no click, another constant: `[d]`.

    Attributes:
        unit: number of the episode, from 0, `[n]`.
        reward: `[n]`.
        place_reward: the part of it earned at each position, `[n, k]`.
        clicked: features of what was clicked, `[n, d]`.
        logged: their mean given the logged slate, by the choice model, `[n, d]`.
        target: their mean under the target, `[n, d]`.
        click_ratio: weight of the click, `[n]`.
        log_ratio: log of each position's weight given those before it, `[n, k]`.
        place_ratio: each position's weight, whatever the others hold, `[n, k]`.
        additive: the slate's weight if rewards are additive (PI), `[n]`.
        prefix: features of the logged documents up to each position, `[n, k, p]`.
        prefix_target: their mean over the target's document at that position, `[n, k, p]`.
    """

    unit: NDArray[np.int64]
    reward: Floats
    place_reward: Floats
    clicked: Floats
    logged: Floats
    target: Floats
    click_ratio: Floats | None
    log_ratio: Floats | None
    place_ratio: Floats | None
    additive: Floats | None
    prefix: Floats
    prefix_target: Floats

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.unit)


def columns_of(judged: Judged, documents: Documents) -> StepColumns:
    """Return the columns of judged steps."""
    steps, rows = judged.steps, np.flatnonzero(judged.steps.valid)
    law, logged_law = judged.law.take(rows), None if judged.logged_law is None else judged.logged_law.take(rows)
    doc, shown = documents.dense(steps.doc[rows]), steps.slate[rows].astype(np.int64)
    candidates = np.concatenate([doc, np.zeros_like(doc[:, :1])], axis=1)  # [n, C + 1, F], none last
    click_rate = judged.choice.take(rows).clicks(shown)
    of_slate = np.take_along_axis(candidates, np.where(shown < 0, doc.shape[1], shown)[:, :, None], axis=1)
    consumed, target = judged.consumed[rows], judged.target_clicks[rows]
    reward = steps.reward[rows].astype(np.float64)
    log_ratio = None
    if steps.log_propensity is not None:
        log_ratio = judged.log_target[rows] - steps.log_propensity[rows]
    at_place, additive = _marginal_weights(law, shown, logged_law or _uniform(steps.log_propensity, law, rows))
    prefix, prefix_target = cascade.features(law, judged.choice.v[rows], doc, shown)
    none = doc.shape[1]
    return StepColumns(
        unit=np.unique(steps.episode[rows], return_inverse=True)[1],
        reward=reward,
        place_reward=_by_place(reward, steps.clicks()[rows]),
        clicked=_with_constants(candidates[np.arange(len(rows)), consumed], consumed == none),
        logged=_with_constants(np.einsum("nk,nkf->nf", click_rate[:, :-1], of_slate), click_rate[:, -1]),
        target=_with_constants(np.einsum("nc,ncf->nf", target[:, :-1], doc), target[:, -1]),
        click_ratio=None if judged.click_weights is None else judged.click_weights[rows],
        log_ratio=log_ratio,
        place_ratio=at_place,
        additive=additive,
        prefix=prefix,
        prefix_target=prefix_target,
    )


def joined(parts: Sequence[StepColumns]) -> StepColumns:
    """Return the columns of several parts, each of whole episodes, one after another."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(StepColumns):
        columns = [getattr(part, field.name) for part in parts]
        values[field.name] = None if any(each is None for each in columns) else np.concatenate(columns)
    before = np.cumsum([0, *(int(part.unit.max()) + 1 for part in parts[:-1])])
    values["unit"] = np.concatenate([part.unit + first for part, first in zip(parts, before, strict=True)])
    return StepColumns(**values)


def _with_constants(features: NDArray[Any], none: NDArray[Any]) -> Floats:
    none = none.astype(np.float64)[:, None]
    return np.concatenate([features, 1 - none, none], axis=1, dtype=np.float64)


def _by_place(reward: Floats, click: NDArray[Any]) -> Floats:
    """Return a step's reward shared among the positions clicked, `[n, k]`; without a click, all positions."""
    share = click + (click.sum(1, keepdims=True) == 0)
    return np.asarray(reward[:, None] * share / share.sum(1, keepdims=True))


def _uniform(log_propensity: NDArray[Any] | None, law: SlateDistribution, rows: NDArray[np.int64]) -> Uniform | None:
    """Return uniform slates if every logged propensity is theirs."""
    if log_propensity is None:
        return None
    uniform = Uniform(law.num_users, law.num_candidates, law.slate_size, law.mask)
    there = law.candidates_there()[:, None] - np.arange(law.slate_size)
    expected = -np.log(np.maximum(there, 1))
    return uniform if np.allclose(log_propensity[rows], expected, atol=1e-4) else None


def _marginal_weights(
    law: SlateDistribution, shown: NDArray[np.int64], behaviour: SlateDistribution | None
) -> tuple[Floats | None, Floats | None]:
    """Return the weights of positions, `[n, k]`, and PI's, `[n]`; None if the behaviour is not known well enough."""
    if behaviour is None:
        return None, None
    target, here = law.position_probs(), np.maximum(shown, 0)[:, :, None]
    ours, theirs = (np.take_along_axis(p, here, axis=2)[..., 0] for p in (target, behaviour.position_probs()))
    ratio = np.where(shown < 0, 1.0, np.divide(ours, theirs, out=np.zeros_like(ours), where=theirs > 0))
    if isinstance(behaviour, Uniform) and (shown >= 0).all():
        there = law.candidates_there()
        return ratio, slate.pseudo_inverse_weights_uniform(target, shown, there)
    if not pairs_known(behaviour):
        return ratio, None
    return ratio, slate.pseudo_inverse_weights(target, pair_probs(behaviour), shown)
