"""How the users of a log choose: known from the problem, or learned from the clicks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.networks.choice import FirstPositionChoice, KnownChoice
from recsys_cli.networks.features import Observed, seen_in
from recsys_cli.offline.learned_choice import LINEAR, Form, fit_form
from recsys_cli.offline.steps import Steps, fold_of
from recsys_cli.policies.memory import MemoryKind, new_memory

Floats = NDArray[np.float64]

KNOWN = "known"
HELD_OUT = 5  # one episode of so many judges what was learned from the others
MOST_STEPS = 200_000  # that a choice model is learned from
MEMORIES: tuple[MemoryKind, ...] = ("none", "documents")


@dataclass(frozen=True)
class ChoiceScores:
    """Choice scores of the candidates of n steps.

    A user who sees slate A clicks i with probability `v_i / (v_null + sum over A of v)`. A cascade user goes down the
    slate and clicks i with probability `v_i / (1 + v_i)` on getting there.

    Attributes:
        v: scores of the candidates, `[n, C]`, not negative; 0 for those missing.
        v_null: score of not clicking, `[n]`.
        attended: leading positions that the user looks at.
        cascade: whether the user goes down the slate.
        learned: whether they were learned from clicks of the log.
    """

    v: Floats
    v_null: Floats
    attended: int
    cascade: bool = False
    learned: bool = False

    def clicks(self, slates: NDArray[Any]) -> Floats:
        """Return the probabilities `[n, k + 1]` of clicking each position of slates `[n, k]`, and none."""
        shown = np.where(slates < 0, 0.0, np.take_along_axis(self.v, np.maximum(slates, 0).astype(np.int64), axis=1))
        shown[:, self.attended :] = 0.0
        if self.cascade:
            passed = np.cumprod(1 / (1 + shown), axis=1)
            before = np.concatenate([np.ones((len(shown), 1)), passed[:, :-1]], axis=1)
            return np.concatenate([before - passed, passed[:, -1:]], axis=1)
        mass = self.v_null + shown.sum(1)
        clicks = np.divide(shown, mass[:, None], out=np.zeros_like(shown), where=mass[:, None] > 0)
        return np.concatenate([clicks, 1 - clicks.sum(1, keepdims=True)], axis=1)

    def take(self, rows: Any) -> ChoiceScores:
        """Return those of some steps."""
        return dataclasses.replace(self, v=self.v[rows], v_null=self.v_null[rows])


@dataclass(frozen=True)
class Choice:
    """A choice model for the steps of a log.

    Attributes:
        spec: the problem.
        model: from an `Observed` to `v` [n, C] and `v_null` [n].
        source: `KNOWN`, or the form that was learned.
        memory: session memory that the model sees.
        held_out: mean log-probability of the clicks in episodes that were not learned from, in nats a step; nan if
            none was held out.
        constant: the same of the model in which every position is clicked at a constant rate.
    """

    spec: ProblemSpec
    model: Callable[[Observed], tuple[Tensor, Tensor]]
    source: str
    memory: MemoryKind = "none"
    held_out: float = float("nan")
    constant: float = float("nan")

    def __call__(self, steps: Steps) -> ChoiceScores:
        """Return the choice scores of some steps."""
        spec = self.spec
        observation = {**steps.observation(), "memory": self.remembered(steps).memory}
        seen = seen_in({name: value for name, value in observation.items() if value is not None}, spec.documents)
        with torch.no_grad():
            v, v_null = (part.double().numpy() for part in self.model(seen))
        if steps.mask is not None:
            v = np.where(np.asarray(steps.mask, bool), v, 0.0)
        cascade = isinstance(self.model, KnownChoice) and spec.choice.kind.endswith("cascade")
        return ChoiceScores(v, v_null, spec.attended, cascade, learned=self.source != KNOWN)

    def remembered(self, steps: Steps) -> Steps:
        """Return steps with the session memory that the model sees."""
        return steps.remembering(partial(new_memory, self.memory, self.spec))

    def log_likelihood(self, steps: Steps) -> float:
        """Return the mean log-probability of the clicks, in nats a step."""
        rows = np.flatnonzero(steps.valid)
        clicks = self(steps).take(rows).clicks(steps.slate[rows])
        return _mean_log(clicks[np.arange(len(rows)), steps.clicked[rows]])


def known_choice(spec: ProblemSpec) -> Choice | None:
    """Return the problem's choice model if its scores are a function of the observation, else None."""
    if spec.choice.kind == "first_position":
        return Choice(spec, FirstPositionChoice(), KNOWN)
    return Choice(spec, KnownChoice(spec.choice), KNOWN) if spec.choice.observable else None


def fit_choice(spec: ProblemSpec, steps: Steps, *, forms: Sequence[Form] = LINEAR, seed: int = 0) -> Choice:
    """Learn a conditional choice model by likelihood, from user, documents and the session so far.

    Four of five episodes are learned from. The likelihood of the others chooses the form, and whether the model sees
    the session.

    Args:
        spec: the problem.
        steps: a log, of which the first `MOST_STEPS` are used at most.
        forms: see `learned_choice`; networks take a hundred times as long.
        seed: of networks' initial weights and the order of the steps.
    """
    steps = steps.take(slice(_whole(steps)))
    held_out = fold_of(steps.episode, HELD_OUT) == 0
    if held_out.all() or not held_out.any():  # too few episodes to hold any out
        held_out = steps.step % HELD_OUT == 0
    best: Choice | None = None
    for memory in MEMORIES:
        known = steps.remembering(partial(new_memory, memory, spec))
        learned, judged = (_shown(spec, known, part & steps.valid) for part in (~held_out, held_out))
        constant = _constant(learned[1], judged[1], spec)
        for form in forms:
            model = fit_form(form, spec.documents, learned, judged, seed)
            if model is not None:
                choice = Choice(spec, model, f"learned ({form.replace('_', ' ')})", memory, 0.0, constant)
                likelihood = choice.log_likelihood(steps.take(held_out))
                if best is None or likelihood > best.held_out:
                    best = dataclasses.replace(choice, held_out=likelihood)
    if best is None:
        raise ValueError(f"no choice model among {', '.join(forms)} has few enough features")
    return best


def judged_choice(choice: Choice, steps: Steps) -> Choice:
    """Return a known choice model with its likelihood on a log, beside that of constant rates."""
    clicked = torch.as_tensor(steps.clicked[steps.valid].astype(np.int64))
    constant = _constant(clicked, clicked, choice.spec)
    return Choice(choice.spec, choice.model, choice.source, choice.memory, choice.log_likelihood(steps), constant)


def _whole(steps: Steps) -> int:
    """Return the rows of the first episodes that have about `MOST_STEPS` rows together."""
    ends = steps.starts + steps.lengths
    return int(ends[min(int(np.searchsorted(ends, MOST_STEPS)), len(ends) - 1)])


def _shown(spec: ProblemSpec, steps: Steps, which: NDArray[np.bool_]) -> tuple[Observed, Tensor]:
    """Return shown documents as candidates, and the positions clicked, of some steps."""
    rows = np.flatnonzero(which)
    slate = steps.slate[rows].astype(np.int64)
    shown = {"doc": steps.doc[rows[:, None], np.maximum(slate, 0)], "mask": slate >= 0}
    seen = seen_in({**steps.observation(rows), **shown}, spec.documents)
    return seen, torch.as_tensor(steps.clicked[rows].astype(np.int64))


def _constant(learned: Tensor, judged: Tensor, spec: ProblemSpec) -> float:
    """Return the mean log-probability of clicks if every position is clicked at a constant rate."""
    counts = torch.bincount(learned, minlength=spec.slate_size + 1).double() + 1
    return _mean_log((counts / counts.sum())[judged].numpy())


def _mean_log(p: Floats) -> float:
    return float(np.log(np.maximum(p, np.finfo(float).tiny)).mean()) if len(p) else float("nan")
