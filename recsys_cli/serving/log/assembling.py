"""From episodes of a log to the rows of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.offline.importing.rows import Rows
from recsys_cli.offline.layout import RESPONSE, dtypes
from recsys_cli.offline.steps import Steps
from recsys_cli.offline.support import shared
from recsys_cli.rollouts.chunk import clicked_position
from recsys_cli.serving.log.arrays import candidates_of, ragged, users_of
from recsys_cli.serving.log.episodes import Episode, Step
from recsys_cli.serving.log.rewards import CLICK

ROUNDING = 1e-4
Propensity = Literal["policy", "total"]


def rows_of(episodes: Sequence[Episode], spec: ProblemSpec, propensity: Propensity, default: float) -> Rows:
    """Return the activated decisions of some episodes as columns, to be widened when the most candidates are known.

    Args:
        episodes: each with at least one.
        spec: the service's problem.
        propensity: which log-probabilities; what isn't known is nan.
        default: reward of a decision without one.
    """
    active = [[step for step in episode.steps if step.joined.active] for episode in episodes]
    steps = list(chain.from_iterable(active))
    decisions = [step.joined.decision for step in steps]
    lengths = np.array([len(each) for each in active])
    last = np.cumsum(lengths) - 1
    over = np.zeros(len(steps), bool)
    over[last] = [episode.over for episode in episodes]
    k, doc, mask = spec.slate_size, *candidates_of(decisions, len(spec.documents))
    slate = ragged([decision.slate for decision in decisions], k, -1, np.int32)
    columns = {
        "episode": np.repeat(np.arange(len(episodes)), lengths),
        "step": np.concatenate([_numbers(episode.steps) for episode in episodes]),
        "user": users_of(decisions),
        "doc": doc,
        "mask": mask,
        "slate": slate,
        "log_propensity": _propensities(steps, slate >= 0, mask.sum(1), propensity),
        "reward": np.array([default if (v := step.outcome.value) is None else v for step in steps], np.float32),
        "terminated": over,
        "time": np.array([decision.time_ms for decision in decisions], np.int64),
    }
    columns["truncated"] = np.isin(np.arange(len(steps)), last) & ~over
    for field in spec.response:
        values = [(step.outcome.response or {}).get(field.name, ()) for step in steps]
        columns[f"{RESPONSE}{field.name}"] = ragged(values, k, 0, dtypes(spec)[f"{RESPONSE}{field.name}"][0])
    return columns


def _numbers(steps: Sequence[Step]) -> NDArray[np.int32]:
    """Return the numbers of the activated steps: those that never were leave no gap, missing ones do."""
    numbers, before, skipped = list[int](), -1, 0
    for step in steps:
        if step.joined.active:
            gap = step.number - before - skipped if numbers else step.number - skipped + 1
            numbers.append((numbers[-1] if numbers else -1) + max(gap, 1))
            before, skipped = step.number, 0
        else:
            skipped += 1
    return np.array(numbers, np.int32)


def _propensities(
    steps: Sequence[Step], shown: NDArray[np.bool_], offered: NDArray[Any], propensity: Propensity
) -> NDArray[np.float32]:
    decisions = [step.joined.decision for step in steps]
    if propensity == "total":
        total = np.array([decision.log_total for decision in decisions], np.float64)
        return shared(total[:, None], shown, offered).astype(np.float32)
    nothing = [np.nan] * shown.shape[1]
    return ragged(
        [nothing if (p := decision.log_propensity) is None else p for decision in decisions],
        shown.shape[1],
        0,
        np.float32,
    )


def one_hot(doc: NDArray[np.float32], mask: NDArray[np.bool_]) -> bool:
    """Return whether the candidates `[n, C, F]` that may be shown, `[n, C]`, are one-hot, but for roundings."""
    there = doc[mask]
    near = abs(there - there.round()) < ROUNDING
    return bool(near.all() and (there.min(initial=0.0) > -ROUNDING) and (there.round().sum(-1) == 1).all())


def steps_of(columns: Rows, spec: ProblemSpec, first_episode: int, *, propensities: bool) -> Steps:
    """Return the rows of a data set.

    Args:
        columns: from `rows_of`.
        spec: of the data set.
        first_episode: number of the first episode.
        propensities: whether all rows of the data set have them.
    """
    n, missing = len(columns["step"]), spec.width - columns["mask"].shape[1]
    doc = np.pad(columns["doc"], ((0, 0), (0, missing), (0, 0)))
    mask = np.pad(columns["mask"], ((0, 0), (0, missing)))
    click = columns[f"{RESPONSE}{CLICK}"]
    several = spec.choice.kind == "unknown"  # as in a recording: else it follows from the position clicked
    fields = [each.name for each in spec.response if several or each.name != CLICK]
    same = ("step", "user", "slate", "reward", "terminated", "truncated", "time")
    return Steps(
        **{name: columns[name] for name in same},
        episode=columns["episode"] + first_episode,
        doc=spec.documents.topics_of(doc) if spec.documents.one_hot else doc,
        mask=mask if spec.varying else None,
        log_propensity=columns["log_propensity"] if propensities else None,
        clicked=clicked_position(click),
        response={name: columns[f"{RESPONSE}{name}"] for name in fields},
        valid=np.ones(n, bool),
    )


def logged_spec(spec: ProblemSpec, *, fewest: int, most: int, one_hot: bool) -> ProblemSpec:
    """Return the problem as the log knows it.

    Documents are features: what a client sends need not be in the policies' table of items.

    Args:
        spec: the service's problem.
        fewest: candidates that could be shown.
        most: candidates of a decision, those that couldn't be shown among them.
        one_hot: whether all documents are topics, one-hot.
    """
    documents = dataclasses.replace(spec.documents, items=None)
    if documents.one_hot and not one_hot:
        documents = dataclasses.replace(documents, topics=0)
    most = max(most, spec.slate_size)
    return dataclasses.replace(
        spec,
        documents=documents,
        num_candidates=most,
        min_candidates=max(fewest, 1) if fewest < most else None,
    )
