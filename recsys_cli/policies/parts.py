"""Policies whose learned state is in named parts, each with its own arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from recsys_cli.config.errors import ConfigError
from recsys_cli.policies.base import SlatePolicy


class Part(Protocol):
    """One learned part."""

    def tensors(self) -> dict[str, np.ndarray]:
        """Return it, by name."""

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Restore what `tensors` returned; names and shapes are right."""


class PolicyOfParts(SlatePolicy):
    """Keeps the tensors of a part under `<part>.<name>`."""

    @abstractmethod
    def parts(self) -> Mapping[str, Part]:
        """Return what is learned, by name."""

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learned."""
        return {f"{part}.{name}": value for part, own in self.parts().items() for name, value in own.tensors().items()}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Restore what was learned; see `SlatePolicy.load_tensors`."""
        own, given = ({name: np.shape(value) for name, value in of.items()} for of in (self.tensors(), tensors))
        if own != given:
            raise ConfigError(f"the checkpoint's parameters do not fit this env or algo: {given}, wanted {own}")
        for part, learned in self.parts().items():
            start = f"{part}."
            learned.load_tensors({n.removeprefix(start): value for n, value in tensors.items() if n.startswith(start)})
