"""Vectors of features: their bounds, names and spaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import AtLeast, Bound, Cap
from recsys_cli.config.types import convert


@dataclass(frozen=True)
class Features:
    """A vector of features: their lowest and highest values, and their names if they have any."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of features."""
        return len(self.low)

    @classmethod
    def of(cls, size: int, low: float = -1.0, high: float = 1.0, names: Sequence[str] = ()) -> Features:
        """Return features that share their bounds."""
        return cls((float(low),) * size, (float(high),) * size, tuple(names))

    @property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The lowest and the highest values, `[F]` each."""
        return np.array(self.low, np.float64), np.array(self.high, np.float64)

    def space(self, *shape: int) -> spaces.Box:
        """Return the space of an array `[*shape, F]` of them."""
        low, high = (np.broadcast_to(bound.astype(np.float32), (*shape, len(self))) for bound in self.bounds)
        return spaces.Box(low, high, dtype=np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; bounds shared by all features are stored once."""
        names = {"names": list(self.names)} if self.names else {}
        return {"size": len(self), "low": _shared(self.low), "high": _shared(self.high), **names}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Features:
        """Restore what `to_dict` returned.

        Raises:
            ConfigError: a wrong type or number of bounds.
        """
        size = convert(values["size"], Annotated[int, AtLeast(0), Cap(1_000_000)], "size")
        bounds = {end: convert(values[end], Bound | list[Bound], end) for end in ("low", "high")}
        low, high = (tuple(b) if isinstance(b, list) else (b,) * size for b in bounds.values())
        if not len(low) == len(high) == size:
            raise ConfigError(f"size={size}, but low has {len(low)} and high {len(high)} values")
        return cls(low, high, tuple(convert(values.get("names", []), list[str], "names")))


def _shared(bound: tuple[float, ...]) -> float | list[float]:
    return bound[0] if bound and len(set(bound)) == 1 else list(bound)
