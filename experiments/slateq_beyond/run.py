"""What SlateQ can do beyond its paper: the learned value of no click, memory, scale; ablations; other users.

    uv run python -m experiments.slateq_beyond.run --tables main ablation nulls

Trains what is missing, with several seeds each, two at a time on two cores; run again, it continues where it stopped.
Writes one `<table>.csv` (a row a seed) and one `<table>.md` beside this file for every table named.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.runs import Entry, Score, results
from recsys_cli.evaluation.statistics import mean_interval

HERE = Path(__file__).parent
BASELINES = "evaluation.baselines=[random,myopic,oracle]"
EVOLUTION = ("env=interest_evolution",)
K3 = (*EVOLUTION, "env.slate_size=3")
BLIND = ("algo.memory=none",)
SIZES = {"10-2": (), "10-3": ("env.slate_size=3",), "50-2": ("env.num_candidates=50",)}
LONG = ("experiment=slateq_beyond/memory",)


def entry(name: str, *words: str) -> Entry:
    """Return an entry whose report names the baselines."""
    return Entry(name, (*words, BASELINES))


def steps(name: str, env_steps: int, *words: str) -> Entry:
    """Return an entry of so many env steps, learned from the more often the fewer they are."""
    reuse = max(3.0, min(64.0, 900_000 / env_steps))
    start = min(5_000, env_steps // 5)
    every = max(env_steps // 5, 1)
    return entry(
        name,
        *K3,
        f"steps={env_steps}",
        f"algo.replay_ratio={reuse:g}",
        f"algo.learning_starts={start}",
        f"evaluation.every={every}",
        f"report_every={every}",
        f"checkpoint.every={every}",
        *words,
    )


# Four kinds of users and of documents, each kind wanting its own; at this no-click mass a wrong guess costs the click.
EXPLORATION = (
    "env=interest_exploration",
    "env.user_type_distribution=[0.25,0.25,0.25,0.25]",
    "env.user_document_mean_affinity_matrix=[[1.2,0,0,0],[0,1.2,0,0],[0,0,1.2,0],[0,0,0,1.2]]",
    f"env.user_document_stddev_affinity_matrix={[[0.1] * 4] * 4}".replace(" ", ""),
    "env.topic_distribution=[0.25,0.25,0.25,0.25]",
    "env.topic_quality_mean=[0,0,0,0]",
    "env.topic_quality_stddev=[0.1,0.1,0.1,0.1]",
    "env.no_click_mass=4",
)
# Three processes, which may share two cores: `ray start --head --num-cpus=3` first.
THREE = ("resources.ray_address=auto", "resources.concurrent_trials=1")
SATISFACTION = ("env=long_term_satisfaction", "env.num_candidates=20", "steps=300000")

TABLES: dict[str, list[Entry]] = {
    "main": [
        entry("10-2", *EVOLUTION),
        entry("10-3", *K3),
        entry("50-2", *EVOLUTION, "env.num_candidates=50"),
        entry("100-5", *EVOLUTION, "env.num_candidates=100", "env.slate_size=5"),
        entry("20-4", *EVOLUTION, "env.num_candidates=20", "env.slate_size=4"),
    ],
    "sensitivity": [
        entry(f"sensitivity-{s}", *SATISFACTION, f"env.sensitivity={s}")
        for s in (0.01, 0.03, 0.058, 0.07, 0.08, 0.09, 0.1, 0.15, 0.2)
    ],
    "exploration": [
        entry("default", "env=interest_exploration"),
        entry("default-memory", "env=interest_exploration", "algo.memory=documents", "algo.n_step=1"),
        entry("heavy", *EXPLORATION),
        *(entry(f"heavy-memory-{h}", *EXPLORATION, f"algo.memory={h}", "algo.n_step=1") for h in ("raw", "documents")),
        *(
            entry(f"heavy-memory-{h}-reuse-8", *EXPLORATION, f"algo.memory={h}", "algo.n_step=1", "algo.replay_ratio=8")
            for h in ("documents", "belief")
        ),
        entry("heavy-linucb-memory-documents", *EXPLORATION, "algo=linucb", "algo.memory=documents"),
        entry("heavy-kl-ucb-per-user", *EXPLORATION, "algo=kl_ucb", "algo.statistics=per_user"),
    ],
    "large": [
        entry(
            "1000-10-memory",
            "env=interest_evolution",
            "env.num_candidates=1000",
            "env.slate_size=10",
            "experiment=slateq_beyond/memory",
            "steps=300000",
            "algo.replay_capacity=100000",
            "evaluation.users=500",
        ),
    ],
    "nulls": [
        entry(f"{strategy}-{null}", *K3, f"algo.null_value={null}", *words)
        for strategy, words in {
            "myop-ts": ("algo.discount=0", "algo.target=top_k", "algo.serving=top_k"),
            "myop-gs": ("algo.discount=0", "algo.target=greedy", "algo.serving=greedy"),
            "sarsa-ts": ("algo.target=sarsa", "algo.serving=top_k"),
            "sarsa-gs": ("algo.target=sarsa", "algo.serving=greedy"),
            "ql-tt-ts": ("algo.target=top_k", "algo.serving=top_k"),
            "ql-gt-gs": ("algo.target=greedy", "algo.serving=greedy"),
            "ql-ot-ts": ("algo.serving=top_k",),
            "ql-ot-gs": ("algo.serving=greedy",),
            "ql-ot-os": (),
        }.items()
        for null in ("zero", "learned")
    ],
    "efficiency": [
        steps("10-3-5k", 5_000),
        steps("10-3-25k", 25_000),
        entry("10-3-300k", *K3),
        entry("10-3-3m", *K3, "steps=3000000"),
    ],
    # Policies that remember nothing: taught by values that do, from a few env steps to many.
    **{
        table: [entry(name, *EVOLUTION, *words, *BLIND, *length) for name, words in SIZES.items()]
        for table, length in (("memoryless", ()), ("memoryless_3m", ("steps=3000000",)))
    },
    "ablation": [
        entry("as-it-is", *K3),
        *(entry(f"discount-{d}", *K3, f"algo.discount={d}") for d in (0.99, 0.9)),
        *(entry(f"reuse-{r}", *K3, f"algo.replay_ratio={r}") for r in (1, 8)),
        entry("double-q", *K3, "algo.double_q=true"),
        *(entry(f"n-step-{n}", *K3, f"algo.n_step={n}") for n in (3,)),
        entry("huber", *K3, "algo.loss=huber"),
        *(entry(f"tau-{t}", *K3, f"algo.target_tau={t}") for t in (1.0, 0.01)),
        entry("concat-256-32", *K3, "algo.network.kind=concat", "algo.network.hidden=[256,32]"),
        entry("hidden-128-128", *K3, "algo.network.hidden=[128,128]"),
        entry("epsilon-to-0.05", *K3, "algo.epsilon_final=0.05"),
        entry("always-random", *K3, "algo.epsilon_final=1.0"),
        entry("memory-raw", *K3, "algo.memory=raw"),
        entry("memory-documents", *K3, "algo.memory=documents"),
        entry("choice-learned", *K3, "algo.choice_model=learned"),
    ],
    "workers": [
        entry("in-one-process", *K3),
        entry("env-runners-2", *K3, "resources.env_runners=2", "resources.users_per_runner=512", *THREE),
        entry("learners-2", *K3, "resources.learners=2", *THREE),
    ],
    "satisfaction": [entry("default", "env=long_term_satisfaction")],
    "users": [
        entry(f"{name}-{null}", *K3, f"algo.null_value={null}", *words)
        for name, words in {
            "logit": ("env.choice_model=multinomial_logit",),
            "exponential-cascade": ("env.choice_model=exponential_cascade",),
            "proportional-cascade": ("env.choice_model=proportional_cascade",),
            "no-click-mass-0": ("env.no_click_mass=0",),
            "no-click-mass-5": ("env.no_click_mass=5",),
            "penalty-0.1": ("env.step_penalty=0.1",),
            "penalty-2": ("env.step_penalty=2",),
            "penalty-4": ("env.step_penalty=4",),
        }.items()
        for null in ("zero", "learned")
    ],
}


def share(row: Score) -> float | None:
    """Return how far a seed came from random (0) to the oracle (1)."""
    if row.random is None or row.oracle is None:
        return None
    return (row.score - row.random) / (row.oracle - row.random)


def table(entries: Sequence[Entry], rows: Sequence[Score]) -> str:
    """Return the table as markdown; intervals are over seeds."""
    lines = ["| run | return | random → oracle | random | myopic | oracle | seeds |", "|---|---|---|---|---|---|---|"]
    for each in entries:
        own = [row for row in rows if row.name == each.name]
        if not own:
            continue
        parts = [part for row in own if (part := share(row)) is not None]
        way = mean_interval(parts)
        first = own[0]
        lines.append(
            f"| {each.name} | {mean_interval([row.score for row in own])} | "
            f"{100 * way.mean:.1f} ± {100 * way.half_width:.1f} % | {first.random:.1f} | {first.myopic:.1f} | "
            f"{first.oracle:.1f} | {len(own)} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing of the tables named, and write what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=sorted(TABLES), default=list(TABLES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/slateq_beyond"), help="folder that gets the runs")
    parser.add_argument("--inline", action="store_true", help="train without Ray, one seed after another")
    parser.add_argument("--no-training", action="store_true", help="only gather what is there")
    args = parser.parse_args()
    machine = ("resources=inline",) if args.inline else ()
    for name in args.tables:
        csv = HERE / f"{name}.csv"
        rows = results(TABLES[name], args.seeds, args.runs / name, csv, training=not args.no_training, machine=machine)
        (HERE / f"{name}.md").write_text(table(TABLES[name], rows))
        print(f"{name}\n{table(TABLES[name], rows)}", flush=True)


if __name__ == "__main__":
    main()
