"""The SlateQ paper's first table (Ie et al. 2019, arXiv 1905.12767, section 6.2), ours beside it.

    uv run python -m experiments.slateq_paper.run

Trains every strategy with several seeds, two at a time on two cores, at each discount given; run again, it goes on
where it was left. Writes `results.csv` (one row a seed), `table.md` and `returns.svg` beside this file.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.runs import Entry, Score, over_seeds, scores, train, write_csv

HERE = Path(__file__).parent

# Strategy -> (return, quality) of the paper's table.
PAPER = {
    "myop_ts": (166.3, -0.543),
    "myop_gs": (166.3, -0.548),
    "sarsa_ts": (168.4, -0.491),
    "sarsa_gs": (172.1, -0.388),
    "ql_tt_ts": (168.4, -0.493),
    "ql_gt_gs": (172.9, -0.377),
    "ql_ot_ts": (169.0, -0.491),
    "ql_ot_gs": (173.8, -0.341),
    "ql_ot_os": (174.6, -0.306),
}
PAPER_RANDOM = (159.2, -0.593)


def entry(strategy: str, discount: float) -> Entry:
    """Return the preset's run at a discount; a myopic one has none."""
    words = [f"experiment=slateq_paper/{strategy}", "evaluation.baselines=[random,myopic]"]
    if strategy.startswith("myop"):
        return Entry(strategy, tuple(words))
    return Entry(f"{strategy}-discount-{discount}", (*words, f"algo.discount={discount}"))


def table(rows: Sequence[Score], discounts: Sequence[float]) -> str:
    """Return the table as markdown."""
    lines = [
        "| strategy | discount | paper: return | ours | paper: quality | ours | seeds |",
        "|---|---|---|---|---|---|---|",
        f"| random | | {PAPER_RANDOM[0]} | {_random(rows):.1f} | {PAPER_RANDOM[1]} | | |",
    ]
    for strategy, (paper_return, paper_quality) in PAPER.items():
        for discount in [0.0] if strategy.startswith("myop") else discounts:
            own = [row for row in rows if row.name == entry(strategy, discount).name]
            if not own:
                continue
            quality = over_seeds([row.quality_per_click or 0.0 for row in own])
            lines.append(
                f"| {strategy.upper().replace('_', '-')} | {discount:g} | {paper_return} | "
                f"{over_seeds([row.score for row in own])} | {paper_quality} | "
                f"{quality.mean:.3f} ± {quality.half_width:.3f} | {len(own)} |"
            )
    return "\n".join(lines) + "\n"


def _random(rows: Sequence[Score]) -> float:
    found = [row.random for row in rows if row.random is not None]
    return sum(found) / len(found)


def figure(rows: Sequence[Score], discounts: Sequence[float], path: Path) -> None:
    """Draw the paper's return and ours, every seed a dot."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    axes.plot(range(len(PAPER)), [value for value, _ in PAPER.values()], "k_", markersize=18, label="paper")
    for i, discount in enumerate(discounts):
        for at, strategy in enumerate(PAPER):
            own = [row.score for row in rows if row.name == entry(strategy, discount).name]
            label = f"ours, discount {discount:g}" if at == len(PAPER) - 1 else None
            axes.plot([at + 0.12 * (i + 1)] * len(own), own, ".", color=f"C{i}", label=label)
    axes.set_xticks(range(len(PAPER)), [name.upper().replace("_", "-") for name in PAPER], rotation=30, ha="right")
    axes.set_ylabel("return (minutes watched)")
    axes.legend()
    fig.savefig(path)


def main() -> None:
    """Run what is missing and write the results of what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--discounts", type=float, nargs="+", default=[1.0, 0.99])
    parser.add_argument("--runs", type=Path, default=Path("runs/slateq_paper"), help="folder that gets the runs")
    parser.add_argument("--no-training", action="store_true", help="only gather what is there")
    args = parser.parse_args()
    entries = list(dict.fromkeys(entry(strategy, discount) for discount in args.discounts for strategy in PAPER))
    for each in entries if not args.no_training else []:
        train(each, args.seeds, args.runs)
    rows = [score for each in entries for score in scores(each, args.runs)]
    write_csv(rows, HERE / "results.csv")
    (HERE / "table.md").write_text(table(rows, args.discounts))
    figure(rows, args.discounts, HERE / "returns.svg")
    print(table(rows, args.discounts))


if __name__ == "__main__":
    main()
