"""Settings of the linear bandits."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from recsys_cli.algos.bandits.config import BanditConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from recsys_cli.policies.exploration import Index
    from recsys_cli.policies.linear_bandit import LinearBanditPolicy


@dataclass
class LinearBanditConfig(BanditConfig):
    """Linear models of items' values. Keys are explained, and defaults given, in `conf/algo/linucb.yaml`."""

    parameters: Literal["auto", "shared", "disjoint"]
    features: Literal["auto", "doc", "user_doc", "interactions"]
    observe: Literal["clicked", "shown"]
    slate: Literal["optimal", "top_k"]
    ridge: float
    forgetting: float
    history: Literal["none", "raw", "documents"]

    def __post_init__(self) -> None:
        """Check ranges, and what an item's value is the value of."""
        super().__post_init__()
        if not 0 < self.ridge < float("inf"):
            raise ConfigError(f"algo.ridge={self.ridge} must be finite and above 0")
        if not 0 < self.forgetting <= 1:
            raise ConfigError(f"algo.forgetting={self.forgetting} must lie above 0 and at most at 1")
        if self.observe == "shown" and self.slate == "optimal":
            raise ConfigError(
                "algo.observe=shown values an item by what showing it brings, its chance of a click included, which "
                "algo.slate=optimal would count twice; allowed: algo.slate=top_k, or algo.observe=clicked"
            )

    def check(self, env: EnvConfig) -> None:
        """Refuse one model a topic where documents are not their topic, one-hot."""
        if self.parameters == "disjoint" and not env.one_hot_docs:
            raise ConfigError(
                f"algo.parameters=disjoint keeps one model a topic, and documents of env={env.name} are not their "
                "topic, one-hot; allowed: shared, auto"
            )

    @abstractmethod
    def index(self) -> Index:
        """Return the index that items are ranked by when exploring."""

    @property
    def random_slates(self) -> float:
        """Probability of a random slate when exploring."""
        return 0.0

    def make_policy(self, env: EnvConfig, seed: int = 0) -> LinearBanditPolicy:
        """Build the policy, untrained."""
        from recsys_cli.policies.linear_bandit import LinearBanditPolicy, LinearDesign

        own = ("features", "observe", "slate", "ridge", "forgetting", "history")
        auto: Literal["shared", "disjoint"] = "disjoint" if env.one_hot_docs else "shared"
        parameters = auto if self.parameters == "auto" else self.parameters
        design = LinearDesign(parameters=parameters, **{key: getattr(self, key) for key in own})
        return LinearBanditPolicy(env, design, self.index(), self.random_slates, seed)


@dataclass
class LinUCBConfig(LinearBanditConfig):
    """LinUCB (Li et al. 2010, arXiv 1003.0146)."""

    alpha: float

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        if not 0 <= self.alpha < float("inf"):
            raise ConfigError(f"algo.alpha={self.alpha} must be finite and not negative")

    def index(self) -> Index:
        """Return the upper confidence bound."""
        from recsys_cli.policies.exploration import UpperBound

        return UpperBound(self.alpha)


@dataclass
class LinTSConfig(LinearBanditConfig):
    """Linear Thompson sampling (Agrawal & Goyal 2013, arXiv 1209.3352)."""

    posterior_scale: float

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        if not 0 <= self.posterior_scale < float("inf"):
            raise ConfigError(f"algo.posterior_scale={self.posterior_scale} must be finite and not negative")

    def index(self) -> Index:
        """Return the posterior draw."""
        from recsys_cli.policies.exploration import PosteriorSample

        return PosteriorSample(self.posterior_scale)


@dataclass
class LinearGreedyConfig(LinearBanditConfig):
    """The same models, greedy but for random slates with probability epsilon."""

    epsilon: float

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        if not 0 <= self.epsilon <= 1:
            raise ConfigError(f"algo.epsilon={self.epsilon} must lie in 0..1")

    def index(self) -> Index:
        """Return the posterior mean."""
        from recsys_cli.policies.exploration import Greedy

        return Greedy()

    @property
    def random_slates(self) -> float:
        """The epsilon."""
        return self.epsilon
