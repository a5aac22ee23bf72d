"""Schemas of `conf/search`: how a sweep picks its points, and which of them it stops early."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Above, AtLeast, Cap, Count, Fraction, Positive, Seed, Steps


@dataclass(frozen=True)
class SearchConfig:
    """What every search has.

    Attributes:
        name: of its yaml.
        metric: of a training's reports; a point's score is its latest value.
        mode: whether the best score is the greatest or the least.
        seeds_per_point: seeds trained at every point.
        over_seeds: how a point's score comes from those of its seeds.
        interval_points: values that an interval is cut into where all combinations are tried.
        seed: of what is drawn.
        max_steps: steps of all trials together, after which the sweep stops.
        max_seconds: the same in seconds of wall time.
        on_failure: of a trial: go on without it, try it again (twice), or stop the sweep.
    """

    name: str
    metric: str
    mode: Literal["max", "min"]
    seeds_per_point: Count
    over_seeds: Literal["mean", "iqm"]
    seed: Seed
    max_steps: Steps | None
    max_seconds: Positive | None
    on_failure: Literal["continue", "retry", "stop"]

    compares: ClassVar[bool] = False  # trials with one another, while they run
    adaptive: ClassVar[bool] = False  # points are chosen by the scores of others
    changes: ClassVar[bool] = False  # the values of a trial while it runs
    needs: ClassVar[tuple[str, ...]] = ()  # packages that are not installed with this one

    def whole(self, steps: int) -> int:
        """Return the steps of a whole training, where so many are asked for."""
        return steps

    def check(self, steps: int) -> None:
        """Refuse what is not installed, and trials of so many steps where they are too short.

        Raises:
            ConfigError: says which, and what helps.
        """
        missing = [
            package for package in self.needs if importlib.util.find_spec(_MODULES.get(package, package)) is None
        ]
        if missing:
            raise ConfigError(
                f"search={self.name} needs {' and '.join(missing)}, not installed: pip install {' '.join(self.needs)}"
            )

    @property
    def joint(self) -> bool:
        """Whether the seeds of a point are one trial: where its score decides about it or about others."""
        return self.compares or self.adaptive

    @property
    def seeds_per_trial(self) -> int:
        """How many seeds one trial trains."""
        return self.seeds_per_point if self.joint else 1

    def unit(self, steps: int) -> int | None:
        """Return the steps between two reports of a trial of so many; None leaves them as they are."""
        return None


_MODULES = {"configspace": "ConfigSpace", "scikit-learn": "sklearn"}


@dataclass(frozen=True)
class GridSearch(SearchConfig):
    """Every combination."""

    interval_points: Annotated[int, AtLeast(2), Cap(1_000_000)]


@dataclass(frozen=True)
class RandomSearch(SearchConfig):
    """Points drawn at random."""

    trials: Count


@dataclass(frozen=True)
class RungSearch(RandomSearch):
    """Points drawn at random, compared at rungs that lie a factor apart.

    Attributes:
        min_steps: steps up to the first rung, at least.
        reduction_factor: factor between two rungs, and of a rung's trials to those that go on.
    """

    min_steps: Steps
    reduction_factor: Annotated[int, AtLeast(2), Cap(1_000_000)]

    compares: ClassVar[bool] = True

    def rungs(self, steps: int) -> int:
        """Return how many rungs lie below the end."""
        rungs = 0
        while self.min_steps * self.reduction_factor ** (rungs + 1) <= steps:
            rungs += 1
        return rungs

    def unit(self, steps: int) -> int:
        """Return the steps up to the first rung, from which factors lead right to the end."""
        return steps // self.units(steps)

    def units(self, steps: int) -> int:
        """Return how many times as long a whole training is."""
        return int(self.reduction_factor ** self.rungs(steps))

    def whole(self, steps: int) -> int:
        """Return the steps of a whole training: a multiple of the unit, a few fewer than asked for."""
        return self.unit(steps) * self.units(steps)

    def check(self, steps: int) -> None:
        """Refuse trials that end before the second rung."""
        super().check(steps)
        if not self.rungs(steps):
            raise ConfigError(
                f"search.min_steps={self.min_steps} leaves no rung below steps={steps} at "
                f"search.reduction_factor={self.reduction_factor}: at most {steps // self.reduction_factor} does"
            )


@dataclass(frozen=True)
class HyperBandSearch(RungSearch):
    """HyperBand (Li et al. 2018, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization")."""


@dataclass(frozen=True)
class AshaSearch(RungSearch):
    """Asynchronous successive halving (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning")."""


@dataclass(frozen=True)
class BohbSearch(RungSearch):
    """HyperBand with points from a model of the good ones (Falkner et al. 2018, "BOHB")."""

    adaptive: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("hpbandster", "configspace", "statsmodels")


@dataclass(frozen=True)
class MedianStoppingSearch(RandomSearch):
    """Stops what is below the median of the others' running means (Golovin et al. 2017, Google Vizier, section 3.2.2).

    Attributes:
        min_steps: steps between two comparisons, and before the first.
        min_trials: others that a trial is compared with, at least.
    """

    min_steps: Steps
    min_trials: Count

    compares: ClassVar[bool] = True

    def unit(self, steps: int) -> int:
        """Return the steps between two comparisons."""
        return self.min_steps

    def check(self, steps: int) -> None:
        """Refuse trials that end before the first comparison."""
        super().check(steps)
        if steps <= self.min_steps:
            raise ConfigError(f"search.min_steps={self.min_steps} must be below steps={steps}")


@dataclass(frozen=True)
class PopulationSearch(RandomSearch):
    """A population whose worst copy the best and change their values (Jaderberg et al. 2017, arXiv 1711.09846).

    Synchronous: all reach the same steps before any copies, so that a sweep is a function of its seeds.

    Attributes:
        perturb_every: steps between two rounds of copying.
        quantile_fraction: the part that copies, and the part that is copied.
    """

    trials: Annotated[int, AtLeast(2), Cap(1_000_000)]
    perturb_every: Steps
    quantile_fraction: Annotated[float, Above(0, 0.5)]

    compares: ClassVar[bool] = True
    changes: ClassVar[bool] = True

    def unit(self, steps: int) -> int:
        """Return the steps between two rounds."""
        return self.perturb_every

    def check(self, steps: int) -> None:
        """Refuse trials that end before the first round."""
        super().check(steps)
        if steps <= self.perturb_every:
            raise ConfigError(f"search.perturb_every={self.perturb_every} must be below steps={steps}")


@dataclass(frozen=True)
class PbtSearch(PopulationSearch):
    """Changes values at random.

    Attributes:
        resample_probability: of a new value from the whole space, and not one near the old.
    """

    resample_probability: Fraction


@dataclass(frozen=True)
class Pb2Search(PopulationSearch):
    """Changes values by a model of the changes in score (Parker-Holder et al. 2020, "Population Based Bandits")."""

    needs: ClassVar[tuple[str, ...]] = ("scikit-learn",)


@dataclass(frozen=True)
class OptunaSearch(RandomSearch):
    """Optuna's tree-structured Parzen estimator proposes each point from those before (Akiba et al. 2019)."""

    adaptive: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("optuna",)
