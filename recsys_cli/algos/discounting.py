"""The discount of one step, by the problem where none is given."""

from __future__ import annotations

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.spec import ProblemSpec

HIDDEN_STATE_DISCOUNT = 0.9


def check_discount(discount: float | None, spec: ProblemSpec) -> None:
    """Refuse a discount of 1 where episodes never terminate.

    Raises:
        ConfigError: says what is allowed.
    """
    if discount == 1 and spec.truncation is not None:
        # A truncated episode is bootstrapped as if it went on for ever: without discount its value has no bound.
        raise ConfigError(
            f"algo.discount=1.0 gives no finite value on env={spec.name}, whose episodes never terminate; "
            "allowed: below 1, or null for a default that fits"
        )


def discount_on(discount: float | None, spec: ProblemSpec) -> float:
    """Return the discount.

    Where none is given: 1 for users who are observed and episodes that terminate. Of a user without features
    nothing tells when the session will end; undiscounted, that chance would drown what an action does.
    """
    if discount is not None:
        return discount
    return 1.0 if len(spec.user) and spec.truncation is None else HIDDEN_STATE_DISCOUNT
