"""The records of a log: one JSON object a line, tagged by `kind`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]


class _Record(Struct, tag_field="kind", kw_only=True, gc=False):
    """What every record has.

    Attributes:
        time_ms: when it was logged, milliseconds since 1970, by the clock of the process that logged it.
    """

    time_ms: int


class DecisionRecord(_Record, tag="decision"):
    """A slate that was decided. The same event id may occur again: the first one counts.

    Attributes:
        event_id: of the decision.
        session: of the user; the event id if the client named none.
        first: whether the session began with it.
        step: number within the session, from 0.
        policy: that decided.
        version: of the policy.
        explore: how it explored.
        epoch: the router's.
        versions: of all live policies, the control's first.
        weights: their probabilities under the router.
        user: features `[U]`.
        ids: of the candidates `[C]`, in the caller's order.
        doc: the candidates' features `[C, F]`, packed (see `pack`).
        excluded: positions of candidates that must not be shown.
        slate: positions of those shown, at most k.
        log_propensity: log-probability of each position's document given those before it, under the policy that
            decided; None if it isn't known.
        log_total: log-probability of the slate, whichever policy had decided; None if it isn't known.
        by_policy: probability of the slate under each live policy; None if it isn't known.
        scores: the policy's, of the slate's documents; None without.
        state: the session's memory before the decision, packed; None if there is none.
        response: of the user to the session's previous slate by field, as the request reported it.
        active: whether it counts at once; else when it is activated.
    """

    event_id: str
    session: str
    first: bool
    step: int
    policy: str
    version: str
    explore: str
    epoch: int
    versions: dict[str, str]
    weights: dict[str, float]
    user: Sequence[float]
    ids: Sequence[str]
    doc: bytes
    excluded: Sequence[int]
    slate: Sequence[int]
    log_propensity: Sequence[float | None] | None
    log_total: float | None
    by_policy: dict[str, float | None] | None
    scores: Sequence[float | None] | None
    state: bytes | None = None
    response: dict[str, Sequence[float]] | None = None
    active: bool = True

    @property
    def shown(self) -> list[str]:
        """Ids of the slate's documents."""
        return [self.ids[at] for at in self.slate]

    def documents(self) -> Floats32:
        """Return the candidates' features, `[C, F]`."""
        return unpack(self.doc).reshape(len(self.ids), -1)


class RewardRecord(_Record, tag="reward", omit_defaults=True):
    """A report of what came of a decision (see `messages.Reward`); it may come before the decision, twice or late."""

    event_id: str
    reward: float | None = None
    clicked: str | None = None
    response: dict[str, Sequence[float]] | None = None
    reward_id: str | None = None
    final: bool = False


class ActivationRecord(_Record, tag="activation"):
    """A deferred decision that counts from now on."""

    event_id: str


class PoliciesRecord(_Record, tag="policies"):
    """The policies that are live from now on in the process that logs it: by name, `[version, source]`."""

    policies: dict[str, tuple[str, str]]


class EpochRecord(_Record, tag="epoch"):
    """The router as its bookkeeper left it.

    Attributes:
        epoch: that begins.
        state: the router's, in plain values.
        offsets: by segment, the byte up to which the log went into it.
    """

    epoch: int
    state: dict[str, Any]
    offsets: dict[str, int]


Record = DecisionRecord | RewardRecord | ActivationRecord | PoliciesRecord | EpochRecord

encode_lines = msgspec.json.Encoder().encode_lines
"""Returns records as lines, each with its end; numbers that aren't finite become null."""
decode = msgspec.json.Decoder(Record).decode
"""Returns the record of a line.

Raises:
    msgspec.DecodeError: it holds none.
"""


def pack(values: NDArray[Any]) -> bytes:
    """Return numbers as little-endian float32."""
    return np.ascontiguousarray(values, "<f4").tobytes()


def unpack(packed: bytes) -> Floats32:
    """Return what `pack` was given, flat and read-only."""
    return np.frombuffer(packed, "<f4")
