"""What `recsys ope` prints, and its figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from recsys_cli.evaluation.off_policy import LOGGED, Judgement
from recsys_cli.evaluation.ranking import Ranking
from recsys_cli.files import replacing
from recsys_cli.offline.estimators.base import Estimate
from recsys_cli.reporting.table import Fitted

MAIN = "FQE"
STEP = "click-DR"


def ranking_table(judgement: Judgement, ranking: Ranking, title: str) -> Fitted:
    """Return the policies, the best first, with the log's own return among them."""
    table = Fitted(title)
    table.add_column("policy")
    headings = ["return ± 95 %", "over the log", "P(better)"]
    step = judgement.of(STEP)
    if step:
        headings.append("reward/step")
    for heading in [*headings, "eff. steps"]:
        table.add_column(heading, justify="right")
    main = judgement.of(MAIN)
    rows = [(main[name].value, name) for name in ranking.order] + [(judgement.logged.value, LOGGED)]
    for _, name in sorted(rows, key=lambda row: -row[0]):
        if name == LOGGED:
            table.add_row(name, spelled(judgement.logged), "", "", *([""] if step else []), "")
            continue
        over, cells = ranking.over_logged.get(name), [spelled(main[name])]
        cells += [f"{over.value:+.1f}", f"{over.better:.3f}"] if over else ["", ""]
        cells += [spelled(step[name], 3)] if step else []
        table.add_row(name, *cells, f"{main[name].diagnostics.get('ess', math.nan):,.0f}")
    for name in ranking.refused:
        cells = ["refused", "", "", *([spelled(step[name], 3)] if step else [])]
        table.add_row(name, *cells, f"{main[name].diagnostics.get('ess', math.nan):,.0f}")
    return table


def estimators_table(judgement: Judgement) -> Fitted:
    """Return every estimate of every policy; one in parentheses was refused."""
    table = Fitted("all estimators; refused ones in parentheses")
    table.add_column("estimator")
    names = list(judgement.estimates)
    for name in names:
        table.add_column(name, justify="right")
    found: dict[str, dict[str, Estimate]] = {}
    for name, estimates in judgement.estimates.items():
        for each in estimates:
            found.setdefault(f"{each.name}, a {each.per}", {})[name] = each
    for estimator, by_policy in found.items():
        digits = 3 if estimator.endswith("step") else 1
        cells = [spelled(by_policy[name], digits) if name in by_policy else "" for name in names]
        table.add_row(estimator, *cells)
    return table


def spelled(estimate: Estimate, digits: int = 1) -> str:
    """Return `value ± half width`, `(value)` if it is refused, and nothing if there is no value."""
    if math.isnan(estimate.value):
        return "refused" if estimate.refusal else ""
    value = f"{estimate.value:.{digits}f}"
    if estimate.refusal is not None:
        return f"({value})"
    if math.isnan(estimate.low):
        return value
    return f"{value} ± {(estimate.high - estimate.low) / 2:.{digits}f}"


def lines(judgement: Judgement, ranking: Ranking) -> list[str]:
    """Return what is said below the table: refusals, the choice model, the recommendation."""
    said = [f"{name}: refused: {why}" for name, why in ranking.refused.items()]
    choice = judgement.choice
    words = f"choice model: {choice.source}"
    if math.isfinite(choice.held_out):
        words += f"; log-likelihood {choice.held_out:.4f} a step, {choice.constant:.4f} at constant rates"
        if choice.held_out < choice.constant:
            words += ": WORSE, so no estimate can be trusted"
    return [*said, words, ranking.recommendation()]


def draw(judgement: Judgement, ranking: Ranking, path: Path) -> None:
    """Draw the returns with their intervals beside the log's own."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "recsys"
    import matplotlib.pyplot as plt

    main: Mapping[str, Estimate] = judgement.of(MAIN)
    names = [*ranking.order, *ranking.refused]
    figure, plot = plt.subplots(figsize=(7.2, 1.2 + 0.45 * len(names)), layout="constrained")
    plot.axvspan(judgement.logged.low, judgement.logged.high, color="0.88")
    plot.axvline(judgement.logged.value, color="0.6", lw=1, label=f"logged: {judgement.logged.value:.1f}")
    for row, name in enumerate(reversed(names)):
        estimate = main[name]
        if estimate.refusal is not None:
            plot.text(judgement.logged.value, row, " refused", va="center", fontsize=8, color="tab:red")
            continue
        half = (estimate.high - estimate.low) / 2
        plot.errorbar(estimate.value, row, xerr=half, fmt="o", color="tab:blue", capsize=4)
        plot.annotate(spelled(estimate), (estimate.value, row), xytext=(0, 6), textcoords="offset points", fontsize=8)
    plot.set_yticks(range(len(names)), list(reversed(names)))
    plot.set_ylim(-0.6, len(names) - 0.2)
    plot.set_xlabel(f"return estimated from {judgement.episodes:,} logged episodes ({judgement.dataset})")
    plot.legend(loc="lower right", fontsize=8, frameon=False)
    plt.close(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])
