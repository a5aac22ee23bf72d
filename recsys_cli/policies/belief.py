"""Session memory whose features are learned: the belief that a network's filter makes of past responses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_cli.networks.belief import BELIEF, BeliefFilter
from recsys_cli.networks.parameters import parameters_of
from recsys_cli.policies.memory import TOTALS, MemoryKind, SessionMemory, memory_features, shown_documents

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec

Floats = NDArray[np.float32]


def _numbers(spec: ProblemSpec) -> list[str]:
    return [each.name for each in spec.response if each.kind != "category"]


def remembered_features(kind: MemoryKind | Literal["belief"], spec: ProblemSpec) -> int:
    """Return the number of features M of a memory, of `BeliefMemory` too."""
    return TOTALS + BELIEF if kind == "belief" else memory_features(kind, spec)


def evidence_features(spec: ProblemSpec) -> int:
    """Return the number of features X of `evidence_of`."""
    return 2 * len(spec.documents) + len(_numbers(spec))


def evidence_of(spec: ProblemSpec, doc: NDArray[Any], slates: NDArray[Any], response: Mapping[str, Any]) -> Floats:
    """Return what one step says about the user, `[N, X]`: the documents shown and clicked, and the response to a click.

    Args:
        spec: the problem.
        doc: candidates, `[N, C, F]` or numbers `[N, C]`.
        slates: shown, `[N, k]`; -1 for no document.
        response: by field, `[N, k]` each.
    """
    shown, click = shown_documents(spec, doc, slates), response["click"]
    values = np.stack([(response[name] * click).sum(-1) for name in _numbers(spec)], axis=-1).astype(np.float32)
    # Of any size; sums and differences of small ones stay exact enough (symlog, Hafner et al. 2023).
    values = np.sign(values) * np.log1p(np.abs(values))
    return np.concatenate([shown.mean(1), np.einsum("nkf,nk->nf", shown, click), values], axis=-1, dtype=np.float32)


class BeliefMemory(SessionMemory):
    """Remembers a belief, by the filter's parameters of the moment, and the session's totals."""

    def __init__(self, filter_: BeliefFilter, spec: ProblemSpec, users: int) -> None:
        """Start with users of whom nothing is known.

        Args:
            filter_: turns evidence into beliefs, and may keep learning.
            spec: the problem.
            users: N.
        """
        super().__init__(spec, False, users)
        self.filter = filter_
        self.belief: Floats = np.zeros((users, BELIEF), np.float32)
        self.evidence = np.zeros((users, evidence_features(spec)), np.float32)

    @property
    def kind(self) -> str:
        """See `Memory.kind`: two filters that differ make different beliefs of the same responses."""
        tensors = sorted(parameters_of(self.filter).items())
        return f"belief-{hashlib.sha256(b''.join(value.tobytes() for _, value in tensors)).hexdigest()[:16]}"

    def extend(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """See `Memory.extend`."""
        totals = super().extend(observation)["memory"]
        return {**observation, "memory": np.concatenate([totals, self.belief], axis=-1)}

    def step(
        self, before: Mapping[str, Any], slates: np.ndarray, after: Mapping[str, Any], restarted: np.ndarray
    ) -> None:
        """See `Memory.step`."""
        super().step(before, slates, after, restarted)
        self.evidence = evidence_of(self.spec, np.asarray(before["doc"]), slates, after["response"])
        self.belief = self.filter.stepped(self.belief, self.evidence)
        self.belief[restarted] = 0

    def restart(self) -> None:
        """See `Memory.restart`."""
        super().restart()
        self.belief[:] = 0

    def get_state(self) -> dict[str, np.ndarray]:
        """See `Memory.get_state`."""
        return {**super().get_state(), "belief": self.belief.copy()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See `Memory.set_state`."""
        super().set_state(state)
        self.belief[:] = state["belief"]
