"""The setting that makes a policy explore."""

from __future__ import annotations

import math
from dataclasses import dataclass

from recsys_cli.config.errors import ConfigError, closest

ALLOWED = "none, epsilon:<probability>, plackett_luce:<temperature>, thompson"


@dataclass(frozen=True)
class Explore:
    """A rule and its parameter.

    Attributes:
        kind: `none`; `epsilon` (a uniform slate with that probability); `plackett_luce` (slates drawn from the
            policy's scores at that temperature); `thompson` (slates drawn from the policy's posterior).
        amount: the probability or the temperature; 0 if the rule takes none.
        spread: of `epsilon`: the i-th of N users has the probability amount^(1 + spread i / (N - 1)), as the actors of
            Ape-X have (Horgan et al. 2018, arXiv 1803.00933, section 4); 0: all have the same.
    """

    kind: str = "none"
    amount: float = 0.0
    spread: float = 0.0

    @classmethod
    def parse(cls, text: str, key: str = "explore") -> Explore:
        """Read `kind` or `kind:amount`.

        Raises:
            ConfigError: names `key` and what is allowed.
        """
        kind, colon, amount = text.partition(":")
        kinds = {"none": False, "epsilon": True, "plackett_luce": True, "thompson": False}
        if kind not in kinds:
            raise ConfigError(f"{key}={text} is not a way to explore; allowed: {ALLOWED}.{closest(kind, kinds)}")
        if not kinds[kind]:
            if colon:
                raise ConfigError(f"{key}={text}: {kind} takes no number; allowed: {ALLOWED}")
            return cls(kind)
        try:
            number = float(amount)
        except ValueError:
            raise ConfigError(f"{key}={text}: {kind} takes a number; allowed: {ALLOWED}") from None
        if kind == "epsilon" and not 0 <= number <= 1:
            raise ConfigError(f"{key}={text}: the probability of a random slate must lie in 0..1")
        if kind == "plackett_luce" and not 0 < number < math.inf:
            raise ConfigError(f"{key}={text}: the temperature must be finite and above 0")
        return cls(kind, number)

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.kind}:{self.amount:g}" if self.kind in ("epsilon", "plackett_luce") else self.kind


NOT_EXPLORING = Explore()
