"""Looking for NaN and infinities, which spread without a word into everything that is learned from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_finite(array: NDArray[Any]) -> bool:
    """Whether no entry is NaN or infinite."""
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def first_not_finite(array: NDArray[Any]) -> tuple[int, ...]:
    """Return the index of the first entry that is NaN or infinite, in an array that has one."""
    return tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])


def require_finite_step(step: int, observation: Mapping[str, Any], reward: NDArray[Any] | None = None) -> None:
    """Check what a simulator returned of N users in lock-step.

    Args:
        step: the lock-step's number, for the message.
        observation: after the step.
        reward: `[N]`; None after a reset.

    Raises:
        FloatingPointError: names array, user, step and value of the first entry that is not finite.
    """
    response = observation["response"]
    arrays = (observation["user"], observation["doc"], *response.values())
    if (reward is None or is_finite(reward)) and all(map(is_finite, arrays)):
        return
    named = {"reward": reward, **{f"response[{name!r}]": values for name, values in response.items()}}
    for name, array in {**named, "user": observation["user"], "doc": observation["doc"]}.items():
        if array is not None and not is_finite(array):
            at = first_not_finite(array)
            place = f", entry {list(at[1:])}" if len(at) > 1 else ""
            raise FloatingPointError(
                f"the simulator returned {name}={array[at]} for user {at[0]}{place} in lock-step {step:,}: "
                "rewards, responses and observations must be finite"
            )
