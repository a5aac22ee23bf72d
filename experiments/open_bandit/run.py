"""What the Thompson policy of the Open Bandit Dataset is worth, from the log of random items and from its own.

    uv run python -m experiments.open_bandit.run

Reads the data sets that `recsys import` makes of the sample (see README.md) and writes `results.csv` and `results.md`.
An impression is a step: one item at one of three positions, clicked or not. The log of the Thompson policy gives the
click rate to be found; of it the estimators see only which items the policy shows at which position, or not even that:
the second target is drawn from the Beta posteriors that its authors published.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.estimators import bandit
from recsys_cli.offline.estimators.base import why_refused
from recsys_cli.offline.estimators.diagnostics import of_weights
from recsys_cli.offline.estimators.influence import Estimated, Floats
from recsys_cli.offline.estimators.intervals import Interval, bca, bootstrap, empirical_bernstein, wilson
from recsys_cli.offline.estimators.reward_models import cross_fitted, least_squares

HERE = Path(__file__).parent
ESTIMATORS = ("IPS", "SNIPS", "DM", "DR", "SNDR")
CAMPAIGNS = ("all", "men", "women")
POSITIONS = 3
DRAWS = 100_000  # of the posteriors
FOLDS = 5
RIDGES = (10.0, 100.0, 1_000.0, 10_000.0)  # impressions' worth of shrinkage of an item's click rate to the mean


@dataclass(frozen=True)
class Log:
    """Impressions: item, position from 0, and whether it was clicked, `[n]` each; number of items."""

    item: NDArray[np.int64]
    position: NDArray[np.int64]
    click: Floats
    propensity: Floats
    items: int

    def __len__(self) -> int:
        """Return the number of impressions."""
        return len(self.item)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    campaign: str
    target: str
    estimator: str
    value: float
    low: float
    high: float
    on_policy: float
    on_policy_low: float
    on_policy_high: float
    ess: float
    mean_weight: float
    mean_weight_error: float
    refusal: str
    bound_low: float
    bound_high: float

    @property
    def cell(self) -> str:
        """The estimate with its interval, in percent; starred if the rate on its own log is not in it."""
        missed = "" if self.low <= self.on_policy <= self.high else "*"
        return f"{100 * self.value:.2f} [{100 * self.low:.2f}, {100 * self.high:.2f}]{missed}"


def read(folder: Path) -> Log:
    """Read the impressions of a data set; the position is the first user feature."""
    dataset = Dataset.open(folder)
    steps = dataset.load()
    item = steps.doc[np.arange(len(steps)), steps.slate[:, 0]].astype(np.int64)
    assert steps.log_propensity is not None
    position = steps.user[:, 0].astype(np.int64) - 1
    propensity = np.exp(steps.log_propensity[:, 0].astype(float))
    return Log(item, position, steps.reward.astype(float), propensity, dataset.spec.documents.numbers)


def shown_in(log: Log) -> Floats:
    """Return how often each item is shown at each position, `[POSITIONS, items]`."""
    counts = np.zeros((POSITIONS, log.items))
    np.add.at(counts, (log.position, log.item), 1)
    return counts / counts.sum(1, keepdims=True)


def drawn_from(prior: Path, campaign: str, rng: np.random.Generator) -> Floats:
    """Return how often each item is at each position if Beta draws rank the items, `[POSITIONS, items]`."""
    parameters = yaml.safe_load(prior.read_text(encoding="utf-8"))[campaign]
    alpha, beta = (np.array(parameters[name]) for name in ("alpha", "beta"))
    best = np.argsort(-rng.beta(alpha, beta, (DRAWS, len(alpha))), axis=1)[:, :POSITIONS]
    return np.stack([np.bincount(at, minlength=len(alpha)) for at in best.T]) / DRAWS


def fitted(log: Log, ridge: float, counts: NDArray[Any]) -> Floats:
    """Return the coefficients of a linear click rate from impressions that count so many times each, `[n]`.

    Of impressions only the numbers for each position and item matter; an item's effect is shrunk, nothing else.
    """
    cell, cells = log.position * log.items + log.item, POSITIONS * log.items
    shown, clicked = (np.bincount(cell, counts * part, cells) for part in (1.0, log.click))
    position, item = np.divmod(np.arange(cells), log.items)
    root = np.sqrt(shown)
    rate = np.divide(clicked, root, out=np.zeros(cells), where=shown > 0)
    penalty = np.concatenate([np.full(1 + POSITIONS, 1e-6), np.full(log.items, ridge)])
    return least_squares(features(position, np.eye(log.items)[item]) * root[:, None], rate, penalty)


def features(position: NDArray[np.int64], items: Floats) -> Floats:
    """Return `[n, 1 + POSITIONS + items]`: a constant, the position, and the items shown there, `[n, items]`."""
    return np.concatenate([np.ones((len(position), 1)), np.eye(POSITIONS)[position], items], axis=1)


def estimates(log: Log, target: Floats) -> Iterator[tuple[str, float, Interval]]:
    """Yield each estimator's name, value and 95 % interval, for a policy's item probabilities, `[POSITIONS, items]`."""
    weight = target[log.position, log.item] / log.propensity
    logged, meant = (features(log.position, shown) for shown in (np.eye(log.items)[log.item], target[log.position]))
    fold = np.arange(len(log)) % FOLDS

    def model(ridge: float) -> tuple[Floats, Floats]:
        return cross_fitted(lambda rows: fitted(log, ridge, rows), logged, meant, fold)

    ridge = min(RIDGES, key=lambda ridge: float(np.square(log.click - model(ridge)[0]).sum()))
    q, v = model(ridge)
    means: dict[str, Estimated] = {
        "IPS": bandit.ips(weight, log.click),
        "SNIPS": bandit.snips(weight, log.click),
        "DR": bandit.dr(weight, log.click, q, v),
        "SNDR": bandit.sndr(weight, log.click, q, v),
    }
    for name, (value, influence) in means.items():
        yield name, value, bca(value, influence)

    def direct(counts: NDArray[np.int64]) -> float:
        by_position = features(np.arange(POSITIONS), target) @ fitted(log, ridge, counts)
        return float(np.bincount(log.position, counts, POSITIONS) @ by_position / counts.sum())

    yield "DM", direct(np.ones(len(log), np.int64)), bootstrap(direct, len(log))


def rows(data: Path, prior: Path) -> Iterator[Row]:
    """Yield the table's lines."""
    for campaign in CAMPAIGNS:
        log, own = (read(data / f"{policy}_{campaign}") for policy in ("random", "bts"))
        rate, (low, high) = float(own.click.mean()), wilson(int(own.click.sum()), len(own))
        targets = {"frequencies": shown_in(own), "Beta draws": drawn_from(prior, campaign, np.random.default_rng(0))}
        for target, probabilities in targets.items():
            weight = probabilities[log.position, log.item] / log.propensity
            weights = of_weights(weight)
            bound = empirical_bernstein(weight * log.click, 0, float(probabilities.max() / log.propensity.min()))
            for name, value, interval in estimates(log, probabilities):
                yield Row(
                    *(campaign, target, name, value, *interval, rate, low, high),
                    ess=weights["ess"],
                    mean_weight=weights["mean_weight"],
                    mean_weight_error=weights["mean_weight_error"],
                    refusal=why_refused(weights) or "",
                    bound_low=bound[0],
                    bound_high=bound[1],
                )


def table(lines: list[Row]) -> str:
    """Return the results as markdown, in percent of impressions clicked."""
    out = [
        "| campaign | on its own log | target | "
        + " | ".join(ESTIMATORS)
        + " | bound of IPS | effective size | mean weight |",
        "|---|---|---|" + "---|" * (len(ESTIMATORS) + 3),
    ]
    groups = {(line.campaign, line.target): [] for line in lines}  # type: dict[tuple[str, str], list[Row]]
    for line in lines:
        groups[line.campaign, line.target].append(line)
    for (campaign, target), group in groups.items():
        one, by_name = group[0], {line.estimator: line for line in group}
        own = f"{100 * one.on_policy:.2f} [{100 * one.on_policy_low:.2f}, {100 * one.on_policy_high:.2f}]"
        cells = [by_name[name].cell for name in ESTIMATORS]
        bound = f"[{100 * one.bound_low:.2f}, {100 * one.bound_high:.2f}]"
        weights = f"{one.ess:,.0f} | {one.mean_weight:.3f} ± {one.mean_weight_error:.3f}"
        out.append(f"| {campaign} | {own} | {target} | {' | '.join(cells)} | {bound} | {weights} |")
    return "\n".join(out) + "\n"


def main() -> None:
    """Estimate and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/open_bandit"), help="folder of the six data sets")
    parser.add_argument("--prior", type=Path, default=Path("data/open_bandit/prior_bts.yaml"), help="the Beta priors")
    arguments = parser.parse_args()
    lines = list(rows(arguments.data, arguments.prior))
    with (HERE / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Row)])
        writer.writerows(astuple(line) for line in lines)
    text = table(lines)
    (HERE / "results.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
