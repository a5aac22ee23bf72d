"""Session memories of several live policies, as one array that sessions carry from decision to decision.

Every policy is fed the same history, whichever of them chose the slates: a session can go on with any. Policies whose
memories are of one kind share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_cli.policies.carried import Carried, Floats
from recsys_cli.policies.memory import Memory
from recsys_cli.serving.sessions.tokens import SessionState

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec

LITTLE = np.dtype("<f4")


class Remembering(Protocol):
    """A live policy, as far as this module knows it."""

    @property
    def name(self) -> str:
        """Its name, which another version keeps."""

    @property
    def spec(self) -> ProblemSpec:
        """The problem."""

    def new_memory(self, users: int) -> Memory:
        """Return the memory of users at the start of a session."""


class Memories:
    """The memories of live policies; another set of them needs another `Memories`.

    A state `[S]` begins with whether a slate was shown, which, and its documents; then come the memories' states, those
    of one kind once (see `policies.carried`).

    Attributes:
        size: length S of a session's state; 0 if no policy remembers anything.
        layout: names and sizes of its parts. Of a state of another layout the parts of the same name and size go on,
            and the others begin anew; all do if slates or documents are of other sizes.
    """

    def __init__(self, policies: Sequence[Remembering]) -> None:
        """Take the live policies, all of one problem."""
        self._spec = policies[0].spec
        self._fields = {each.name: number for number, each in enumerate(self._spec.response)}
        self._sources: dict[str, Remembering] = {}
        self._kinds = [self._kind(policy) for policy in policies]
        self._carried = Carried(self._spec, self.new(1))
        self.size = self._carried.size
        head = f"{self._spec.slate_size}x{len(self._spec.documents)}"
        parts = {head: self.size - self._carried.state_size}
        parts |= {name: prod(shape) for name, shape in self._carried.shapes.items()}
        self.layout = " ".join(f"{name}:{size}" for name, size in parts.items()) if self.size else ""

    def _kind(self, policy: Remembering) -> str:
        memory = policy.new_memory(1)
        kind = memory.kind or (f"{policy.name}/{type(memory).__qualname__}" if memory.get_state() else "none")
        self._sources.setdefault(kind.replace(" ", "_"), policy)
        return kind.replace(" ", "_")

    def new(self, users: int) -> JointMemory:
        """Return the memories of users at the start of a session."""
        return JointMemory({kind: policy.new_memory(users) for kind, policy in self._sources.items()}, self._kinds)

    def recall(self, sessions: Sequence[SessionState | None]) -> Recalled:
        """Return what is remembered of sessions, with their responses to the last slates; of None nothing."""
        memory = self.new(len(sessions))
        if self.size:
            self._carried.recall(memory, self.states(sessions), self._responses(sessions))
        return Recalled(memory, self._carried)

    def restored(self, remembered: Floats) -> Recalled:
        """Return again what `Recalled.remembered` `[N, M]` was taken of."""
        memory = self.new(len(remembered))
        if self.size:
            self._carried.restore(memory, remembered)
        return Recalled(memory, self._carried)

    def states(self, sessions: Sequence[SessionState | None]) -> Floats:
        """Return sessions' states in this layout, `[N, S]`; zeros for None."""
        nothing = bytes(LITTLE.itemsize * self.size)
        rows = [nothing if session is None else self._converted(session, nothing) for session in sessions]
        return np.frombuffer(b"".join(rows), LITTLE).reshape(len(rows), self.size)

    def _converted(self, session: SessionState, nothing: bytes) -> bytes:
        if session.layout == self.layout:
            return session.memory
        old, new, at = _read(session.layout), _read(self.layout), 0
        if old[:1] != new[:1]:  # other slates or documents
            return nothing
        found = dict[tuple[str, int], bytes]()
        for name, size in old:
            found[name, size], at = session.memory[at : at + size], at + size
        return b"".join(found.get(part, bytes(part[1])) for part in new)

    def _responses(self, sessions: Sequence[SessionState | None]) -> dict[str, NDArray[np.float32]]:
        """Return the responses to sessions' last slates, `[N, k]` each; what is not known of them is 0."""
        fields = self._fields
        arrays = np.zeros((len(fields), len(sessions), self._spec.slate_size), np.float32)
        for row, session in enumerate(sessions):
            for name, values in ((session and session.response) or {}).items():
                arrays[fields[name], row, : len(values)] = values
        return dict(zip(fields, arrays, strict=True))


class JointMemory(Memory):
    """Memories of several kinds, fed the same history."""

    def __init__(self, memories: Mapping[str, Memory], kinds: Sequence[str]) -> None:
        """Take the memories by kind, and each policy's kind."""
        self._memories, self._kinds = memories, kinds

    def observations(self, observation: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return each policy's observation."""
        extended = {kind: memory.extend(observation) for kind, memory in self._memories.items()}
        return [extended[kind] for kind in self._kinds]

    def step(
        self, before: Mapping[str, Any], slates: np.ndarray, after: Mapping[str, Any], restarted: np.ndarray
    ) -> None:
        """See `Memory.step`."""
        for memory in self._memories.values():
            memory.step(before, slates, after, restarted)

    def restart(self) -> None:
        """See `Memory.restart`."""
        for memory in self._memories.values():
            memory.restart()

    def get_state(self) -> dict[str, np.ndarray]:
        """See `Memory.get_state`."""
        states = {kind: memory.get_state() for kind, memory in self._memories.items()}
        return {f"{kind}/{name}": value for kind, state in states.items() for name, value in state.items()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See `Memory.set_state`."""
        for kind, memory in self._memories.items():
            memory.set_state({name: state[f"{kind}/{name}"] for name in memory.get_state()})


class Recalled:
    """What is remembered of the sessions of a batch, before a decision.

    Attributes:
        remembered: `[N, M]`, after the responses to the last slates: with the observation, all that a policy acts on.
            `Memories.restored` takes it, with the same live policies.
    """

    def __init__(self, memory: JointMemory, carried: Carried) -> None:
        """Take the memories, and how they are carried."""
        self._memory, self._carried = memory, carried
        self.remembered: Floats | None = carried.state(memory) if carried.size else None

    def observations(self, observation: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return each policy's observation, in their order: `memory` `[N, .]` is added for those that remember."""
        return self._memory.observations(observation)

    def after(self, slates: NDArray[np.int64], doc: NDArray[np.float32]) -> list[bytes]:
        """Return each session's `SessionState.memory` after slates `[N, k]` of documents `[N, C, F]`."""
        if self.remembered is None:
            return [b""] * len(slates)
        packed = self._carried.pack(self.remembered, slates, doc)
        return [row.tobytes() for row in packed.astype(LITTLE, copy=False)]


def _read(layout: str) -> list[tuple[str, int]]:
    """Return the parts of a layout and their bytes."""
    parts = (part.rpartition(":") for part in layout.split())
    return [(name, int(size) * LITTLE.itemsize) for name, _, size in parts]
