"""Routers among a random policy, a myopic one and SlateQ: which they find, what it costs, and what a kill leaves.

    uv run python -m experiments.router.run

Trains SlateQ on interest evolution (C=10, k=2; once, kept in `--work`), plays 6,000 users with each policy, and lets
the service's routers choose among these sessions. Writes `shares.svg`, `regret.svg`, `routers.md`, `kills.md` and
`ab_tests.md` beside this file.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recsys_cli.runs import QUIET

os.environ.update(QUIET, OMP_NUM_THREADS="1")

import numpy as np

from experiments.router import through_the_log
from experiments.router.ab_tests import ALPHA, EACH, LOOKS, half_width, rates
from experiments.router.playing import Epoch, play
from experiments.router.sessions import NAMES, Played, played
from recsys_cli.evaluation.statistics import mean_interval

HERE = Path(__file__).parent
ROUTERS = ("thompson", "ucb1", "epsilon_greedy", "linucb", "ab_test")
UNITS = ("session", "decision")
SEEDS = range(5)
Runs = dict[tuple[str, str, int], list[Epoch]]


def main() -> None:
    """Do the parts, and write figures and tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts; all if none is named"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("runs/router"), help="folder of the training and the sessions"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder that gets the files")
    args = parser.parse_args()
    sessions = played(args.work)
    for part in args.only:
        text = PARTS[part](sessions, args)
        (args.out / f"{part}.md").write_text(text)
        print(text)


def routers(sessions: Mapping[str, Played], args: argparse.Namespace) -> str:
    """Let every router choose, draw its shares and its regret, and return tables of policies and routers."""
    runs: Runs = {
        (router, unit, seed): play(router, unit, seed, sessions)
        for router in ROUTERS
        for unit in UNITS
        for seed in SEEDS
    }
    shares_figure(runs, args.out / "shares.svg")
    regret_figure(runs, args.out / "regret.svg")
    return f"{policies(sessions)}\n{table(runs)}"


def policies(sessions: Mapping[str, Played]) -> str:
    """Return a table of the policies' returns and rewards."""
    lines = ["| policy | minutes a session | minutes a decision | decisions a session |", "|---|---|---|---|"]
    for name, own in sessions.items():
        interval, steps = mean_interval(own.returns), float(np.mean([len(each) for each in own.rewards]))
        half = interval.high - interval.mean
        lines.append(f"| {name} | {interval.mean:.1f} ± {half:.1f} | {interval.mean / steps:.2f} | {steps:.1f} |")
    return "\n".join(lines) + "\n"


def table(runs: Runs) -> str:
    """Return a table of shares at the end and regret, with intervals over seeds."""
    head = "| router | unit | " + " | ".join(f"share of {name}" for name in NAMES)
    lines = [f"{head} | regret after 100 sessions | after 1,000 |", "|---|---|" + "---|" * (len(NAMES) + 2)]
    for router in ROUTERS:
        for unit in UNITS:
            own = [runs[router, unit, seed] for seed in SEEDS]
            ends = [plus_minus([run[-1].shares[m] for run in own], ".3f") for m in range(len(NAMES))]
            early, last = (
                [epoch.regret for run in own for epoch in run if epoch.sessions == at] for at in (100, 1_000)
            )
            lines.append(
                f"| {router} | {unit} | {' | '.join(ends)} | {plus_minus(early, ',.0f')} | {plus_minus(last, ',.0f')} |"
            )
    return "\n".join(lines) + "\n"


def plus_minus(values: Sequence[float], form: str) -> str:
    """Return a mean and half its 95 % interval over seeds."""
    interval = mean_interval(values)
    return f"{interval.mean:{form}} ± {interval.high - interval.mean:{form}}"


def kills(sessions: Mapping[str, Played], args: argparse.Namespace) -> str:
    """Return what came of the run through the log."""
    found = through_the_log.run(args.work / "kills", sessions)
    same = {True: "the same, to the bit", False: "DIFFERENT"}
    return (
        f"Through the log: {found.sessions:,} sessions, {found.records:,} records, bookkeeper killed (-9) {found.kills}"
        f" times, {found.epochs} epochs; {found.counted:,} sessions counted. Statistics of a bookkeeper that was not "
        f"killed: {same[found.same_as_undisturbed]}. Replay of all epochs and of every decision's probabilities: "
        f"{same[found.same_when_replayed]}. SlateQ had {found.slateq:.0%} of the last tenth of the sessions.\n"
    )


def ab_tests(sessions: Mapping[str, Played], args: argparse.Namespace) -> str:
    """Return a table of how often the A/B tests find a difference."""
    lines = ["| true difference (sd) | A/B tests | test | finds one | sessions of each policy until then, median |"]
    lines.append("|---|---|---|---|---|")
    for effect, runs in ((0.0, 500), (0.05, 150), (0.1, 150), (0.2, 150)):
        for each in rates(sessions["slateq"].returns, effect, runs):
            share = f"{each.found:.3f} ± {half_width(each.found, runs):.3f}"
            at = "" if each.sessions is None else f"{each.sessions:,.0f}"
            lines.append(f"| {effect:g} | {runs:,} | {each.test} | {share} | {at} |")
    lines.append(f"\nalpha {ALPHA:g}, {LOOKS} looks, {LOOKS * EACH:,} sessions of each policy at the end.")
    return "\n".join(lines) + "\n"


def shares_figure(runs: Runs, path: Path) -> None:
    """Draw Thompson's shares over sessions, mean and range of seeds, for both units."""
    fig, axes = _figure(len(UNITS))
    for axis, unit in zip(axes, UNITS, strict=True):
        own = [runs["thompson", unit, seed] for seed in SEEDS]
        for m, name in enumerate(NAMES):
            _band(axis, own, [[epoch.shares[m] for epoch in run] for run in own], f"C{m}", name)
        axis.set(
            title=f"router=thompson router.unit={unit}", xlabel="sessions", ylabel="share", ylim=(0, 1), xscale="log"
        )
    axes[0].legend()
    _save(fig, path)


def regret_figure(runs: Runs, path: Path) -> None:
    """Draw every router's regret over sessions, mean and range of seeds, for both units."""
    fig, axes = _figure(len(UNITS))
    for axis, unit in zip(axes, UNITS, strict=True):
        for i, router in enumerate(ROUTERS):
            own = [runs[router, unit, seed] for seed in SEEDS]
            label = "ab_test (equal shares)" if router == "ab_test" else router
            _band(axis, own, [[epoch.regret for epoch in run] for run in own], f"C{i}", label)
        axis.set(title=f"router.unit={unit}", xlabel="sessions", ylabel="regret against SlateQ (minutes)")
    axes[0].legend()
    _save(fig, path)


def _figure(panels: int) -> tuple[Any, Any]:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "router"  # the same runs draw the same file
    return plt.subplots(1, panels, figsize=(5 * panels, 3.6), layout="constrained", sharey=True)


def _band(
    axis: Any, runs: Sequence[Sequence[Epoch]], values: Sequence[Sequence[float]], color: str, label: str
) -> None:
    sessions, found = [epoch.sessions for epoch in runs[0]], np.array(values)
    axis.plot(sessions, found.mean(0), color=color, label=label)
    axis.fill_between(sessions, found.min(0), found.max(0), color=color, alpha=0.2, linewidth=0)


def _save(fig: Any, path: Path) -> None:
    fig.savefig(path, metadata={"Date": None})


PARTS: dict[str, Callable[[Mapping[str, Played], argparse.Namespace], str]]
PARTS = {"routers": routers, "kills": kills, "ab_tests": ab_tests}

if __name__ == "__main__":
    main()
