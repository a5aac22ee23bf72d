"""A policy as a function of arrays, for model servers.

Inputs are the observation's arrays. A policy with session memory also takes `memory`, an array of zeros at first, later
as returned by the previous call: a server keeps nothing between calls, so any number of servers may share a session.
See `policies.carried` for what `memory` holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.finite import first_not_finite, is_finite
from recsys_cli.policies.carried import Carried

if TYPE_CHECKING:
    from recsys_cli.envs.spec import Features, ProblemSpec
    from recsys_cli.policies.base import SlatePolicy

Arrays = dict[str, NDArray[Any]]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ArraySpec:
    """An input or an output: name, dtype, and shape with -1 for any length (users first)."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class StatelessPolicy:
    """Maps arrays to arrays, acting as in evaluation.

    Attributes:
        memory_size: length H of a user's `memory`; 0 if the policy has none.
    """

    def __init__(self, spec: ProblemSpec, policy_for: Callable[[int], SlatePolicy]) -> None:
        """Take the problem, and a function from a number of candidates C to the policy for it."""
        self.spec, self._policy_for = spec, policy_for
        self._rng = np.random.Generator(np.random.SFC64(0))
        self._carried = Carried(spec, policy_for(spec.width).new_memory(1))
        self.memory_size = self._carried.size

    @property
    def inputs(self) -> list[ArraySpec]:
        """`user`, `doc`, `mask` if the number of candidates varies; the response and `memory` if it remembers."""
        f32, spec = np.dtype(np.float32), self.spec
        specs = [
            ArraySpec("user", f32, (-1, len(spec.user))),
            ArraySpec("doc", f32, (-1, -1, len(spec.documents))),
        ]
        if spec.varying:
            specs.append(ArraySpec("mask", np.dtype(np.bool_), (-1, -1)))
        if self.memory_size:
            response = spec.response_space().items()
            specs += [ArraySpec(name, np.dtype(space.dtype), (-1, spec.slate_size)) for name, space in response]
            specs.append(ArraySpec("memory", f32, (-1, self.memory_size)))
        return specs

    @property
    def outputs(self) -> list[ArraySpec]:
        """`slate` [N, k], candidate numbers, -1 for no document; with memory also `memory`."""
        slate = ArraySpec("slate", np.dtype(np.int64), (-1, self.spec.slate_size))
        memory = ArraySpec("memory", np.dtype(np.float32), (-1, self.memory_size))
        return [slate, memory] if self.memory_size else [slate]

    def example(self, users: int) -> Arrays:
        """Return inputs of users at the start of a session, drawn uniformly inside the spec's bounds."""
        rng, spec = np.random.default_rng(0), self.spec
        doc = _drawn(rng, spec.documents.features, users, spec.width)
        if spec.documents.topics:
            topic = rng.integers(0, spec.documents.topics, (users, spec.width))
            doc[..., : spec.documents.topics] = np.eye(spec.documents.topics)[topic]
        drawn = {"user": _drawn(rng, spec.user, users), "doc": doc, "mask": np.ones((users, spec.width), bool)}
        # A session begins with zeros for the response and for the memory.
        return {
            each.name: drawn[each.name] if each.name in drawn else np.zeros((users, *each.shape[1:]), each.dtype)
            for each in self.inputs
        }

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Choose slates.

        Raises:
            ConfigError: an input that is missing, of the wrong shape or not finite, or a number of candidates that the
                policy does not allow.
        """
        self._check(inputs)
        seen = self._seen(inputs)
        doc = seen["doc"]
        policy = self._policy_for(np.shape(inputs["doc"])[1])
        memory = policy.new_memory(len(doc))
        if self.memory_size:
            response = {name: np.asarray(inputs[name]) for name in self.spec.response_space()}
            packed = np.asarray(inputs["memory"], np.float32)
            self._carried.check(packed)
            self._carried.recall(memory, packed, response)
        slates = policy.served(memory.extend(seen)).sample(self._rng)
        answer: Arrays = {"slate": slates.astype(np.int64)}
        if self.memory_size:
            answer["memory"] = self._carried.pack(self._carried.state(memory), answer["slate"], doc)
        return answer

    def _seen(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Return the observation; if there are fewer candidates than a slate holds, with masked ones behind them."""
        seen = {name: np.asarray(inputs[name]) for name in ("user", "doc", "mask") if name in inputs}
        if "mask" in seen:
            missing = max(self.spec.slate_size - seen["doc"].shape[1], 0)
            seen["doc"] = np.pad(seen["doc"], ((0, 0), (0, missing), (0, 0)))
            seen["mask"] = np.pad(seen["mask"].astype(bool), ((0, 0), (0, missing)))
        return seen

    def _check(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        for spec in self.inputs:
            if spec.name not in inputs:
                raise ConfigError(f"input {spec.name!r} is missing; needed: {', '.join(s.name for s in self.inputs)}")
            shape, users = np.shape(inputs[spec.name]), len(inputs["user"])
            wanted = (users, *spec.shape[1:])
            if len(shape) != len(wanted) or any(w not in (-1, n) for n, w in zip(shape, wanted, strict=True)):
                expected = str([n if n >= 0 else "C" for n in wanted]).replace("'", "")
                raise ConfigError(f"input {spec.name!r} has shape {list(shape)} and must have {expected}")
            array = np.asarray(inputs[spec.name])
            if array.dtype.kind not in "biuf":
                raise ConfigError(f"input {spec.name!r} has dtype {array.dtype} and must have {spec.dtype}")
            if spec.name != "memory" and not is_finite(array):  # `Carried.check` refuses one that is not
                at = first_not_finite(array)
                raise ConfigError(f"input {spec.name!r} is {array[at]} at {list(at)} and must be finite")


def _drawn(rng: np.random.Generator, features: Features, *shape: int) -> Floats:
    """Draw features `[*shape, F]` inside their bounds; an infinite one counts as 1."""
    low, high = (np.clip(np.nan_to_num(bound, posinf=1.0, neginf=-1.0), -1e6, 1e6) for bound in features.bounds)
    return rng.uniform(low, np.maximum(low, high), (*shape, len(features))).astype(np.float32)
