"""The SlateQ paper's three tables (Ie et al. 2019, arXiv 1905.12767, section 6), ours beside them.

    uv run python -m experiments.slateq_paper.run
    uv run python -m experiments.slateq_paper.run --tables strategies --discounts 1.0 0.99 --seeds 10

`strategies`: targets and serving; `full_slate`: the undecomposed baseline; `cascade`: users who look through the slate
from the top, trained as if they compared. Every strategy is trained with several seeds, two at a time on two cores, at
each discount given; run again, it continues where it stopped. Writes `<table>.csv` (one row per seed), `<table>.md` and
`<table>.svg` beside this file.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.runs import Entry, Score, results
from recsys_cli.evaluation.statistics import mean_interval

HERE = Path(__file__).parent

# Of the paper: strategy -> (return, quality); the cascade table has returns only.
PAPER: dict[str, dict[str, tuple[float, float | None]]] = {
    "strategies": {
        "random": (159.2, -0.593),
        "myop_ts": (166.3, -0.543),
        "myop_gs": (166.3, -0.548),
        "sarsa_ts": (168.4, -0.491),
        "sarsa_gs": (172.1, -0.388),
        "ql_tt_ts": (168.4, -0.493),
        "ql_gt_gs": (172.9, -0.377),
        "ql_ot_ts": (169.0, -0.491),
        "ql_ot_gs": (173.8, -0.341),
        "ql_ot_os": (174.6, -0.306),
    },
    "full_slate": {"random": (160.6, -0.610), "fsq": (164.2, -0.507), "sarsa_ts": (170.7, -0.534)},
    "cascade": {
        "random": (159.9, None),
        "myop_ts": (163.6, None),
        "sarsa_ts": (166.8, None),
        "ql_tt_ts": (166.5, None),
        "ql_ot_ts": (167.5, None),
        "ql_ot_os": (167.6, None),
    },
}
# The paper gives no scale of the cascade's scores: at this one, users click about as often as those who compare.
CASCADE = ("env.choice_model=proportional_cascade", "env.score_scaling=0.35")

# Halves the CPU time of gradient steps this small, and changes their rounding only.
COMPILED = ("framework=torch_compile", "evaluation.every=0")


def entry(table: str, strategy: str, discount: float) -> Entry:
    """Return the preset's run at a discount; a myopic one has none."""
    words = [f"experiment=slateq_paper/{strategy}", "evaluation.baselines=[random,myopic]"]
    name = strategy
    if table == "cascade":
        words += (*CASCADE, *COMPILED)
        name = f"{strategy}-cascade"
    if strategy == "fsq":
        words += (*COMPILED, "evaluation.users=1000")  # valuing 120 slates a step
    if strategy.startswith("myop"):
        return Entry(name, tuple(words))
    return Entry(f"{name}-discount-{discount}", (*words, f"algo.discount={discount}"))


def entries(table: str, discounts: Sequence[float]) -> dict[tuple[str, float], Entry]:
    """Return a table's runs by strategy and discount."""
    strategies = [name for name in PAPER[table] if name != "random"]
    pairs = [(name, d) for name in strategies for d in ([0.0] if name.startswith("myop") else discounts)]
    return {pair: entry(table, *pair) for pair in pairs}


def table_text(table: str, runs: dict[tuple[str, float], Entry], rows: Sequence[Score]) -> str:
    """Return the table as markdown."""
    paper = PAPER[table]
    random = [row.random for row in rows if row.random is not None]
    ours = sum(random) / max(len(random), 1)
    lines = [
        "| strategy | discount | paper: return | ours | paper: quality | ours | seeds |",
        "|---|---|---|---|---|---|---|",
        f"| random | | {paper['random'][0]} | {ours:.1f} | {paper['random'][1] or ''} | | |",
    ]
    for (strategy, discount), run in runs.items():
        own = [row for row in rows if row.name == run.name]
        if not own:
            continue
        quality = mean_interval([row.quality_per_click or 0.0 for row in own])
        lines.append(
            f"| {strategy.upper().replace('_', '-')} | {discount:g} | {paper[strategy][0]} | "
            f"{mean_interval([row.score for row in own])} | {paper[strategy][1] or ''} | "
            f"{quality.mean:.3f}{f' ± {quality.half_width:.3f}' if len(own) > 1 else ''} | {len(own)} |"
        )
    return "\n".join(lines) + "\n"


def figure(table: str, runs: dict[tuple[str, float], Entry], rows: Sequence[Score], path: Path) -> None:
    """Draw the paper's returns and ours, every seed a dot."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = table  # the same rows draw the same file
    strategies = [name for name in PAPER[table] if name != "random"]
    fig, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    axes.plot(
        range(len(strategies)), [PAPER[table][name][0] for name in strategies], "k_", markersize=18, label="paper"
    )
    discounts = sorted({discount for _, discount in runs}, reverse=True)
    for (strategy, discount), run in runs.items():
        own = [row.score for row in rows if row.name == run.name]
        i, at = discounts.index(discount), strategies.index(strategy)
        axes.plot([at + 0.12 * (i + 1)] * len(own), own, ".", color=f"C{i}")
    for i, discount in enumerate(discounts):
        axes.plot([], [], ".", color=f"C{i}", label=f"ours, discount {discount:g}")
    axes.set_xticks(range(len(strategies)), [name.upper().replace("_", "-") for name in strategies], rotation=30)
    axes.set_ylabel("return (minutes watched)")
    axes.legend()
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def main() -> None:
    """Run what is missing of the tables named, and write what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=list(PAPER), default=list(PAPER))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--discounts", type=float, nargs="+", default=[1.0, 0.99])
    parser.add_argument("--runs", type=Path, default=Path("runs/slateq_paper"), help="folder that gets the runs")
    parser.add_argument("--no-training", action="store_true", help="only gather what is there")
    args = parser.parse_args()
    for table in args.tables:
        runs = entries(table, args.discounts)
        csv = HERE / f"{table}.csv"
        rows = results(list(runs.values()), args.seeds, args.runs, csv, training=not args.no_training)
        (HERE / f"{table}.md").write_text(table_text(table, runs, rows))
        figure(table, runs, rows, HERE / f"{table}.svg")
        print(f"{table}\n{table_text(table, runs, rows)}", flush=True)


if __name__ == "__main__":
    main()
