"""A data set's description on one screen, and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recsys_cli.files import replacing
from recsys_cli.offline.describing import TENTHS, Description, Histogram, Summary
from recsys_cli.offline.support import DEVIATIONS, Support

BARS = " ▁▂▃▄▅▆▇█"
MARGIN = 13  # width of the left column
DRAWN_ITEMS = 40
FEW_EPISODES = 100


def lines(about: Description, where: str) -> list[str]:
    """Return the screen."""
    size = f"{about.bytes / 1e6:,.1f} MB"
    last = about.rows - about.steps
    more = f" (and {last:,} last observations)" if last else ""
    rows = [
        ("", f"{where}: {about.episodes:,} episodes, {about.steps:,} steps{more}, {size}"),
        ("logged by", _origin(about.about)),
        ("problem", _problem(about)),
        ("episodes", f"{_mean(about.lengths, 1)} steps, {_span(about.lengths)}; {_ends(about)}"),
        ("", _bars(about.length_histogram, about.lengths)),
        ("return", f"{_mean(about.returns)}, {_span(about.returns)}"),
        ("reward", f"{_mean(about.rewards, 3)} a step, {_span(about.rewards)}"),
        ("", _bars(about.reward_histogram, about.rewards)),
        ("clicks", _clicks(about)),
        (f"{about.documents}s", _items(about)) if about.documents else ("", ""),
        ("propensity", _propensity(about.support, about.about.get("propensities"))),
        ("support", _support(about.support)),
        ("drift", _drift(about)),
        *(("use" if not i else "", line) for i, line in enumerate(uses(about))),
    ]
    return [f"{name:<{MARGIN}}{text}" if i else text for i, (name, text) in enumerate(rows) if text]


def _origin(about: dict[str, Any]) -> str:
    known = [str(about.get("behaviour", "unknown"))]
    if about.get("trained_steps"):
        known.append(f"trained for {about['trained_steps']:,} steps")
    known += [f"{name}={about[name]}" for name in ("explore", "seed") if about.get(name) is not None]
    if version := about.get("versions", {}).get("recsys-cli"):
        known.append(f"recsys-cli {version}")
    return ", ".join([*known, *([f"source {about['source']}"] if "source" in about else [])])


def _problem(about: Description) -> str:
    problem = about.problem
    given = problem["num_candidates"]
    candidates = f"{given[0]} to {given[1]}" if isinstance(given, list) else given
    documents = f"{problem['documents']:,} {about.documents}s" if problem["documents"] else "dense"
    return (
        f"{problem['name']}: {candidates} candidates, slates of {problem['slate_size']}, "
        f"user features: {problem['user_features']}, documents: {documents}"
    )


def _mean(values: Summary, digits: int = 2) -> str:
    return f"{values.mean:,.{digits}f} ± {1.96 * values.error:,.{digits}f}"


def _span(values: Summary) -> str:
    return f"sd {values.sd:,.4g}, from {values.low:,.4g} to {values.high:,.4g}"


def _ends(about: Description) -> str:
    named = {"terminated": "terminated", "truncated": "truncated", "neither": "cut off without an end"}
    return ", ".join(f"{count:,} {named[name]}" for name, count in about.ends.items() if count)


def _bars(histogram: Histogram, values: Summary) -> str:
    """Return counts as a row of blocks between least and greatest value; anything that is there can be seen."""
    counts = np.array(histogram.counts)
    if len(counts) < 2:
        return ""
    heights = np.ceil(counts / counts.max() * (len(BARS) - 1)).astype(int)
    return f"{values.low:,.4g} {''.join(BARS[height] for height in heights)} {values.high:,.4g}"


def _clicks(about: Description) -> str:
    rates = [clicked / max(shown, 1) for clicked, shown in zip(about.clicked, about.shown, strict=True)]
    return f"{_mean(about.clicks, 3)} a step; click rate by position {' '.join(f'{rate:.4f}' for rate in rates)}"


def _items(about: Description) -> str:
    shown, clicked = np.array(about.items_shown), np.array(about.items_clicked)
    there = np.flatnonzero(shown)
    never = f"; {len(shown) - len(there):,} of {len(shown):,} never shown" if len(there) < len(shown) else ""
    if not len(there):
        return f"none shown of {len(shown):,}"
    rates = clicked[there] / shown[there]
    worst, best = there[rates.argmin()], there[rates.argmax()]
    counts = f"shown {shown[there].min():,} to {shown.max():,} times each"
    return (
        f"{counts}; click rate {rates.min():.4f} ({about.documents} {worst}) to {rates.max():.4f} "
        f"({about.documents} {best}){never}"
    )


def _propensity(support: Support, origin: str | None) -> str:
    if support.kind == "none":
        return origin or "none logged"
    if support.kind == "invalid":
        return f"{support.invalid:,} of {support.steps:,} steps have one that is no probability"
    if support.kind == "certain":
        return "1 for every slate"
    sure = f"; {100 * support.certain:.1f} % of slates were certain" if support.certain else ""
    how = f"{origin}; " if origin else ""
    return (
        f"{how}smallest of a slate {support.smallest:.3g}; as varied as {support.effective:,.1f} equally likely slates "
        f"of {support.slates:,.0f}{sure}"
    )


def _support(support: Support) -> str:
    """Return the moment check: at every position the mean of 1/p over what it should be."""
    if not support.inverse or support.kind in ("none", "certain"):
        return ""
    pairs = zip(support.inverse, support.error, strict=True)
    means = " ".join(f"{mean:.3f}±{error:.3f}" for mean, error in pairs)
    words = {
        "full": "full",
        "partial": "partial: some candidates are never shown, or so rarely that this log does not show it",
        "too small": "the propensities are too small for the number of candidates",
        "invalid": "unknown",
    }
    return f"{words[support.kind]}; mean of 1/p by position, as a share of the candidates left: {means}"


def _drift(about: Description) -> str:
    drift = about.drift
    if len(drift.episodes) < 2:
        return ""
    order = "by time" if drift.order == "time" else "in the order of episodes"
    named = {"reward": "reward a step", "clicks": "clicks a step", "length": "length"}
    found = [name for name in named if abs(drift.deviations[name]) > DEVIATIONS]
    said = []
    for name in found or ["reward"]:
        first, last = drift.means[name][0], drift.means[name][-1]
        said.append(f"{named[name]} {first:.4g} to {last:.4g} ({drift.deviations[name]:+.1f} standard errors)")
    what = "tenth" if len(drift.episodes) == TENTHS else "group"
    return f"{'yes' if found else 'none seen'}, {order}, first to last {what}: {', '.join(said)}"


USES = {
    "certain": "NOTHING about other policies can be judged: every slate was certain; only cloning it is safe",
    "none": "no importance weighting: no propensities; models of the reward (FQE, direct method) remain",
    "invalid": "no importance weighting until the propensities are right; learning and FQE need none",
    "too small": "no importance weighting: wrong propensities (logarithms of base 2? a slate's at each position? a "
    "slate's in any order?)",
    "partial": "judges policies that show what this one showed; what it never shows cannot be judged (unless the "
    "propensities are too large, such as logarithms of base 10)",
    "full": "judges any policy that ranks the same candidates; recsys ope says how well",
}


def uses(about: Description) -> list[str]:
    """Return what the data set can and cannot be used for."""
    support, said = about.support, [USES[about.support.kind]]
    if support.kind in ("full", "partial") and support.narrow:
        said.append(f"narrow: as varied as {support.effective:.1f} slates; policies far from it need much more data")
    if str(about.about.get("propensities", "")).startswith("estimated"):
        said.append("its propensities are estimated: what is computed with them is as good as their model")
    if about.episodes < FEW_EPISODES:
        said.append(f"{about.episodes:,} episodes are few: estimates will have wide intervals")
    if about.ends["neither"]:
        said.append("episodes cut off without an end: their last steps cannot be bootstrapped and are left out")
    if any(abs(value) > DEVIATIONS for value in about.drift.deviations.values()):
        said.append("it drifts: what holds for the whole log may not hold for its end")
    return said


def draw(about: Description, name: str, path: Path) -> None:
    """Write the figure: clicks by position and document, rewards, lengths, support, drift."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "recsys"  # the same numbers, the same file
    import matplotlib.pyplot as plt

    figure, plots = plt.subplots(2, 3, figsize=(12, 6.4), layout="constrained")
    figure.suptitle(f"{name}: {about.episodes:,} episodes, {about.steps:,} steps", fontsize=10)
    _draw_clicks(plots[0][0], about)
    _draw_items(plots[0][1], about)
    _draw_histogram(plots[0][2], about.reward_histogram, "reward of a step", "steps")
    _draw_histogram(plots[1][0], about.length_histogram, "steps of an episode", "episodes")
    _draw_support(plots[1][1], about.support)
    _draw_drift(plots[1][2], about)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    plt.close(figure)


def _draw_clicks(plot: Any, about: Description) -> None:
    shown, clicked = np.maximum(about.shown, 1), np.array(about.clicked)
    plot.bar(range(len(shown)), clicked / shown, color="tab:blue")
    plot.set(xlabel="position", ylabel="click rate", xticks=range(len(shown)))


def _draw_items(plot: Any, about: Description) -> None:
    shown, clicked = np.array(about.items_shown), np.array(about.items_clicked)
    order = np.argsort(-shown, kind="stable")[:DRAWN_ITEMS]
    if not len(order):
        plot.set_axis_off()
        return
    plot.bar(range(len(order)), clicked[order] / np.maximum(shown[order], 1), color="tab:blue")
    most = f", the {len(order)} most shown" if len(order) < len(shown) else ""
    plot.set(xlabel=f"{about.documents}s by times shown{most}", ylabel="click rate")
    if len(order) <= 20:
        plot.set_xticks(range(len(order)), order, fontsize=7)


def _draw_histogram(plot: Any, histogram: Histogram, what: str, unit: str) -> None:
    edges: Sequence[float] = histogram.edges
    if len(edges):
        plot.stairs(histogram.counts, edges, fill=True, color="tab:blue")
    plot.set(xlabel=what, ylabel=unit)


def _draw_support(plot: Any, support: Support) -> None:
    if not support.inverse:
        plot.text(0.5, 0.5, "no propensities", ha="center", transform=plot.transAxes)
        plot.set_axis_off()
        return
    error = DEVIATIONS * np.array(support.error)
    plot.errorbar(range(len(support.inverse)), support.inverse, yerr=error, fmt="o", color="tab:blue")
    plot.axhline(1, color="0.6", lw=0.8)
    plot.set(xlabel="position", ylabel="mean of 1/p / candidates left", xticks=range(len(support.inverse)))
    plot.set_ylim(0, 1.1 * max(1.0, *(np.array(support.inverse) + error)))
    plot.set_title(f"support: {support.kind}", fontsize=9)


def _draw_drift(plot: Any, about: Description) -> None:
    far = 0.05  # so that noise does not look like drift
    for name, colour in (("reward", "tab:blue"), ("clicks", "tab:orange"), ("length", "tab:green")):
        means = np.array(about.drift.means[name])
        if len(means) and means.mean():
            plot.plot(range(1, len(means) + 1), means / means.mean(), "o-", ms=3, color=colour, label=name)
            far = max(far, 1.1 * float(np.abs(means / means.mean() - 1).max()))
    plot.set_ylim(1 - far, 1 + far)
    order = "by time" if about.drift.order == "time" else "by order"
    plot.set(xlabel=f"tenth of the episodes, {order}", ylabel="over its mean")
    plot.legend(fontsize=7)
