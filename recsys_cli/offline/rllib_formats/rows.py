"""What RLlib's formats have in common: rows from one whole episode at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.spec import INDEX, Documents, ProblemSpec, are_numbers
from recsys_cli.offline.layout import RESPONSE, dtypes
from recsys_cli.offline.steps import Steps, concatenate
from recsys_cli.rollouts.chunk import clicked_position

YIELDED_ROWS = 100_000  # about as many at a time
Observation = dict[str, Any]


def episode_steps(
    spec: ProblemSpec,
    number: int,
    observations: Observation,
    slates: NDArray[Any],
    rewards: NDArray[Any],
    *,
    terminated: bool,
    first_step: int = 0,
    log_propensity: NDArray[Any] | None = None,
) -> Steps:
    """Return the rows of one episode of T steps.

    Args:
        spec: the problem.
        number: of the episode.
        observations: `user`, `doc`, `response` and perhaps `mask`, `[T + 1, ...]` each.
        slates: `[T, k]`.
        rewards: `[T]`.
        terminated: whether it ended; else the last observation is kept, to bootstrap from.
        first_step: number of the first step.
        log_propensity: `[T, k]`.
    """
    steps, k = len(slates), spec.slate_size
    rows = steps + (not terminated)
    response = {name: values[1:] for name, values in observations["response"].items()}
    click = response.pop("click")
    several = {"click": click} if click.sum(1).max(initial=0) > 1 else {}
    types = dtypes(spec)

    def padded(values: NDArray[Any], name: str, fill: float = 0) -> NDArray[Any]:
        dtype = types[name][0] if name in types else values.dtype
        return np.concatenate([values, np.full((rows - steps, *values.shape[1:]), fill)]).astype(dtype)

    valid = np.arange(rows) < steps
    last = np.arange(rows) == steps - 1
    return Steps(
        episode=np.full(rows, number, np.int64),
        step=(first_step + np.arange(rows)).astype(np.int32),
        user=np.asarray(observations["user"][:rows], np.float32),
        doc=_compact(observations["doc"][:rows], spec.documents),
        mask=np.asarray(observations["mask"][:rows], bool) if "mask" in observations else None,
        slate=padded(slates, "slate", -1),
        clicked=padded(clicked_position(click), "clicked", k),
        reward=padded(rewards, "reward"),
        response={name: padded(values, f"{RESPONSE}{name}") for name, values in {**response, **several}.items()},
        log_propensity=None if log_propensity is None else padded(log_propensity, "log_propensity"),
        terminated=last & terminated,
        truncated=last & (not terminated),
        valid=valid,
    )


def _compact(doc: NDArray[Any], documents: Documents) -> NDArray[Any]:
    """Return documents `[.., F]` by their numbers, if they have any.

    Raises:
        ConfigError: an item that is not in the table.
    """
    if are_numbers(doc) or documents.compact != INDEX:
        return np.asarray(doc, documents.number_dtype if are_numbers(doc) else np.float32)
    if documents.items is None:
        return doc.argmax(-1).astype(documents.number_dtype)
    known = {row.tobytes(): number for number, row in enumerate(documents.items)}
    flat = np.ascontiguousarray(doc, np.float32).reshape(-1, len(documents))
    numbers = [known.get(row.tobytes(), -1) for row in flat]
    if min(numbers, default=0) < 0:
        raise ConfigError(f"a document {flat[numbers.index(-1)].tolist()} is none of the problem's items")
    return np.array(numbers, documents.number_dtype).reshape(doc.shape[:-1])


def gathered(episodes: Iterator[Steps]) -> Iterator[Steps]:
    """Yield episodes joined to parts of many rows."""
    parts: list[Steps] = []
    for steps in episodes:
        parts.append(steps)
        if sum(map(len, parts)) >= YIELDED_ROWS:
            yield concatenate(parts)
            parts = []
    if parts:
        yield concatenate(parts)


def check_slates(slates: NDArray[Any], spec: ProblemSpec, where: str) -> NDArray[Any]:
    """Return actions as slates `[n, k]`.

    Raises:
        ConfigError: they are none.
    """
    slates = np.asarray(slates)
    slates = slates[:, None] if slates.ndim == 1 and spec.slate_size == 1 else slates
    if slates.ndim != 2 or slates.shape[1] != spec.slate_size or slates.dtype.kind not in "iu":
        raise ConfigError(
            f"{where}: actions {slates.dtype}{list(slates.shape)} are no slates of {spec.slate_size} candidate numbers"
        )
    outside = (slates < (-1 if spec.varying else 0)) | (slates >= spec.width)
    if outside.any():
        raise ConfigError(
            f"{where}: slate {slates[outside.any(1)][0].tolist()} is outside candidates 0..{spec.width - 1}"
        )
    return slates
