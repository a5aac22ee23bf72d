"""The discount of one step, chosen by the problem if none is given."""

from __future__ import annotations

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.spec import ProblemSpec

HIDDEN_STATE_DISCOUNT = 0.9


def check_discount(discount: float | None, spec: ProblemSpec) -> None:
    """Refuse a discount of 1 if episodes never terminate.

    Raises:
        ConfigError: with what is allowed.
    """
    if discount == 1 and spec.truncation is not None:
        # A truncated episode is bootstrapped as if it never ended: without discount its value has no bound.
        raise ConfigError(
            f"algo.discount=1.0 gives no finite value on env={spec.name}, whose episodes never terminate; "
            "allowed: below 1, or null for a default that fits"
        )


def discount_on(discount: float | None, spec: ProblemSpec) -> float:
    """Return the discount.

    If none is given: 1 for observed users and terminating episodes, else 0.9. Without user features nothing predicts
    when the session will end; undiscounted, that randomness would drown the effect of an action.
    """
    if discount is not None:
        return discount
    return 1.0 if len(spec.user) and spec.truncation is None else HIDDEN_STATE_DISCOUNT
