"""Settings of the n-armed bandits."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from recsys_cli.algos.bandits.config import BanditConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Count, Fraction, NonNegative
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.slates.counting import count_slates

if TYPE_CHECKING:
    from recsys_cli.policies.arm_index import ArmIndex
    from recsys_cli.policies.armed_bandit import ArmedBanditPolicy


@dataclass
class ArmedBanditConfig(BanditConfig):
    """Arms and their statistics. Keys and defaults: see `conf/algo/_armed_bandit.yaml`."""

    arms: Literal["topics", "slates"]
    statistics: Literal["pooled", "per_user"]
    outcome: Literal["clicks", "rewards"]
    prior_count: NonNegative
    max_arms: Count

    def __post_init__(self) -> None:
        """Check that statistics go with arms."""
        if self.arms == "slates" and self.statistics == "pooled":
            raise ConfigError(
                "algo.statistics=pooled does not go with algo.arms=slates: every user has their own candidates; "
                "allowed: per_user"
            )
        if self.prior_count and (self.arms == "slates" or self.statistics == "pooled"):
            raise ConfigError(
                f"algo.prior_count={self.prior_count:g} takes the population's mean of each topic into a session: "
                "allowed with algo.arms=topics and algo.statistics=per_user; else 0"
            )

    def check(self, spec: ProblemSpec) -> None:
        """Refuse a problem without such arms, or with too many."""
        if self.arms == "topics":
            if not spec.documents.topics:
                raise ConfigError(
                    f"algo={self.name} with algo.arms=topics: documents of env={spec.name} have no topic; allowed: "
                    "algo.arms=slates, with algo.statistics=per_user and env.resample_documents=false"
                )
            return
        if spec.varying:
            raise ConfigError(
                "algo.arms=slates pulls the same slates again and again, but env.num_candidates="
                f"[{spec.min_candidates},{spec.width}] varies; allowed: one number, or algo.arms=topics"
            )
        if spec.resample_documents:
            raise ConfigError(
                "algo.arms=slates pulls the same slates again and again, but env.resample_documents=true draws new "
                "candidates at every step; allowed: env.resample_documents=false, or algo.arms=topics"
            )
        count = count_slates(spec.width, spec.attended, False)
        if count > self.max_arms:
            raise ConfigError(
                f"env.num_candidates={spec.width} with env.slate_size={spec.slate_size} makes {count:,} slates; "
                f"algo.max_arms={self.max_arms} allows fewer arms"
            )

    @abstractmethod
    def index(self) -> ArmIndex:
        """Return the index that arms are ranked by."""

    @property
    def random_slates(self) -> float:
        """Probability of a random slate when exploring."""
        return 0.0

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> ArmedBanditPolicy:
        """Build the policy, untrained."""
        from recsys_cli.policies.armed_bandit import ArmedBanditPolicy
        from recsys_cli.policies.arms import SlateArms, TopicArms

        return ArmedBanditPolicy(
            spec,
            TopicArms(spec) if self.arms == "topics" else SlateArms(spec),
            self.index(),
            outcome=self.outcome,
            per_user=self.statistics == "per_user",
            prior_count=self.prior_count,
            epsilon=self.random_slates,
        )


@dataclass
class UCB1Config(ArmedBanditConfig):
    """UCB1 (Auer et al. 2002)."""

    alpha: NonNegative

    def index(self) -> ArmIndex:
        """Return the bound."""
        from recsys_cli.policies.arm_index import UCB1

        return UCB1(self.alpha)


@dataclass
class KLUCBConfig(ArmedBanditConfig):
    """KL-UCB (Garivier & Cappé 2011, arXiv 1102.2490)."""

    c: NonNegative

    def index(self) -> ArmIndex:
        """Return the bound."""
        from recsys_cli.policies.arm_index import KLUCB

        return KLUCB(self.c)


@dataclass
class ThompsonConfig(ArmedBanditConfig):
    """Thompson sampling (Agrawal & Goyal 2013, arXiv 1209.3353)."""

    posterior: Literal["beta", "gaussian"]

    def index(self) -> ArmIndex:
        """Return the posterior draw."""
        from recsys_cli.policies.arm_index import Thompson

        return Thompson(self.posterior)


@dataclass
class EpsilonGreedyConfig(ArmedBanditConfig):
    """The greatest mean, and random slates with probability epsilon (Auer et al. 2002, section 2)."""

    epsilon: Fraction

    def index(self) -> ArmIndex:
        """Return the mean."""
        from recsys_cli.policies.arm_index import Mean

        return Mean()

    @property
    def random_slates(self) -> float:
        """The epsilon."""
        return self.epsilon
