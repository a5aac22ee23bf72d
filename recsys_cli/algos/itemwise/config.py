"""The settings of algorithms that learn item-wise values from a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from recsys_cli.algos.discounting import check_discount, discount_on
from recsys_cli.algos.logged_config import LoggedConfig
from recsys_cli.algos.replay_config import n_step_on
from recsys_cli.algos.slateq.config import check_choice_model
from recsys_cli.config.ranges import Count, Fraction, NonNegative, Positive, PositiveFraction
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.policies.network import ScoringPolicy


@dataclass
class ItemwiseConfig(LoggedConfig):
    """SlateQ's values, from a log, and the exact slate. Keys and defaults: see the yaml files.

    Attributes:
        target: what values bootstrap from: `optimal`, `sarsa` (as in SlateQ) or `baseline`.
        null_value: whether the value of no click is learned; it always is.
        serving: how a slate is built; always exactly.
        double_q: whether the online network chooses the target's slate; it never does.
    """

    discount: Fraction | None
    n_step: Count | None
    target_tau: PositiveFraction
    loss: Literal["squared", "huber"]
    choice_model: Literal["auto", "true", "learned", "learned_proportional"]

    changeable: ClassVar[tuple[str, ...]] = (*LoggedConfig.changeable, "discount", "n_step", "target_tau")
    target_update: ClassVar[str] = "polyak"
    target: ClassVar[str]
    null_value: ClassVar[str] = "learned"
    serving: ClassVar[str] = "optimal"
    double_q: ClassVar[bool] = False

    def check(self, spec: ProblemSpec) -> None:
        """Refuse a choice model that is hidden, and endless episodes without discount."""
        super().check(spec)
        check_discount(self.discount, spec)
        check_choice_model(self.choice_model, spec)

    def discount_on(self, spec: ProblemSpec) -> float:
        """Return the discount of one step."""
        return discount_on(self.discount, spec)

    def n_step_on(self, spec: ProblemSpec) -> int:
        """Return the number of steps before the bootstrap."""
        return n_step_on(self.n_step, spec)

    def make_network(self, spec: ProblemSpec) -> Any:
        """Build the network of item values."""
        from recsys_cli.algos.slateq.network import SlateQNetwork

        return SlateQNetwork(self, spec)

    def policy_of(self, network: Any) -> ScoringPolicy:
        """Return the policy that shows the slate of greatest value."""
        from recsys_cli.policies.network import ScoringPolicy

        return ScoringPolicy(network)


@dataclass
class AdvantageConfig(ItemwiseConfig):
    """Advantages of logged slates over a baseline, and an actor that clones slates by them."""

    beta: NonNegative
    weight_cap: Positive

    @property
    def cloning(self) -> bool:
        """Whether an actor clones slates; else the slate of greatest value is shown."""
        return True

    def make_network(self, spec: ProblemSpec) -> Any:
        """Build the network of item values, with an actor if there is one."""
        if not self.cloning:
            return super().make_network(spec)
        from recsys_cli.algos.itemwise.network import ActorAndValues

        return ActorAndValues(self, spec)

    def policy_of(self, network: Any) -> ScoringPolicy:
        """Return the policy that shows the actor's most probable slate, or the slate of greatest value."""
        if not self.cloning:
            return super().policy_of(network)
        from recsys_cli.policies.network import PlackettLucePolicy

        return PlackettLucePolicy(network)
