"""The loop closed: a service of random slates learns from its own log, twice, and its log says whether it got better.

    uv run python -m experiments.loop.run

Every line that starts with `$` is a command as a user types it. Simulated users only talk to the service, over HTTP;
nothing else sees the simulator until the end, when it plays what was served, to check. Each turn: users; their log as a
data set; policies learned from it; the best one by `recsys ope` becomes the registered model's champion, while other
users are being served; the service takes it over. Writes `results.json`, `results.md` and `results.svg` beside this
file; runs, data sets and the service go to `--folder`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.services import background, live, recsys, serving
from recsys_cli.config.explore import Explore
from recsys_cli.config.structured import load
from recsys_cli.evaluation.statistics import mean_interval
from recsys_cli.policies.exploration import ExploringPolicy
from recsys_cli.rollouts.episodes import play
from recsys_cli.tracking.loading import load_checkpoint
from recsys_cli.tracking.references import resolve

HERE = Path(__file__).parent
ENV = ("env=interest_evolution", "env.num_candidates=20", "env.slate_size=2")
EXPLORE = "epsilon:0.2"
CHAMPION = "models:/shop@champion"
SERVE = (f"checkpoint={CHAMPION}", f"explore={EXPLORE}", "name=shop", "serving.alias_seconds=2")
LEARNERS: dict[str, tuple[str, ...]] = {"lspi": (), "slateq": ("steps=100_000",)}
QUIET = ("resources=inline", "progress=off", "evaluation.baselines=[]")
BUSY = ("requests=20", "active=60", "progress=off")  # as fast as they are answered
FIRST = 3  # times as many users in the first turn
USERS, SEED = 2000, 1_000_000  # who check at the end


@dataclass
class Turn:
    """What was served, and what was known of it.

    Attributes:
        policy: name of its run.
        served: return of the users, over HTTP, exploration included.
        expected: return by the log from which it was chosen, greedy; none of the first.
        better: than the policy before it, by its own log (`recsys ope`): difference with 95 % interval.
        truth: return in the simulator, with the service's exploration, and greedy.
        sessions: number of users.
    """

    policy: str
    served: list[float]
    expected: list[float] | None
    better: list[float] | None
    truth: list[float]
    greedy: list[float]
    sessions: int


def users(url: str, name: str, number: int, seed: int, *more: str) -> tuple[str, ...]:
    """Return the words of users of the service."""
    return ("simulate", f"serve={url}", *ENV, f"users={number}", f"seed={seed}", f"output={name}.json", *more)


def judged(data: str, *names: str) -> dict[str, Any]:
    """Judge runs on a log, and return what `recsys ope` writes."""
    recsys("ope", f"data={data}", f"checkpoint=[{','.join(names)}]", "baselines=[]", "progress=off")
    found: dict[str, Any] = json.loads((Path("data") / data / "ope.json").read_text())
    return found


def fqe(judgement: dict[str, Any], name: str) -> list[float]:
    """Return a run's estimated return with its interval."""
    (estimate,) = [each for each in judgement["policies"][name] if each["estimator"] == "FQE"]
    return [estimate[key] for key in ("value", "low", "high")]


def crown(url: str, name: str, turn: int, number: int) -> None:
    """Make a run the champion while users are served, and see that the service takes it over and fails nobody.

    Raises:
        RuntimeError: a request failed, or the service stayed as it was.
    """
    (before,) = live(url)
    with background(*users(url, f"swap_{turn}", number, 1000 + turn, "rate=30", "progress=off")) as users_there:
        recsys("register", f"checkpoint={name}", "name=shop", "alias=champion")
        until = time.monotonic() + 60
        while live(url) == [before]:
            if time.monotonic() > until:
                raise RuntimeError("the service has not taken over the champion")
            time.sleep(0.1)
        under_way = users_there.poll() is None
        code = users_there.wait()
    seen = json.loads(Path(f"swap_{turn}.json").read_text())
    (after,) = live(url)
    swap = f"version {before.version} became {after.version}"
    print(f"{swap} among {seen['decisions']:,} decisions; failed: {seen['failed'] or 'none'}")
    if not under_way or code or seen["failed"] or seen["lost"]:
        raise RuntimeError(f"users under way at the swap: {under_way}; requests failed: {seen['failed']}")


def returns(name: str) -> list[float]:
    """Return what users of a `recsys simulate` brought, with its interval."""
    (values,) = json.loads(Path(f"{name}.json").read_text())["returns"].values()
    return spread(values)


def spread(values: Any) -> list[float]:
    """Return the mean and the ends of its interval."""
    interval = mean_interval(values)
    return [interval.mean, interval.low, interval.high]


def played(name: str, explore: str) -> list[float]:
    """Return what the simulator says of a run's policy."""
    env = load("env", "interest_evolution", num_candidates=20, slate_size=2)
    loaded = load_checkpoint(resolve(name, Path("runs"), None))
    policy = ExploringPolicy(loaded.policy_for(env.spec), Explore.parse(explore))
    return spread(play(policy, env, USERS, SEED).returns)


def loop(number: int) -> list[Turn]:
    """Start with random slates, and learn twice."""
    recsys("train", "algo=random", *ENV, *QUIET, "evaluation.users=10", "name=random")
    recsys("register", "checkpoint=random/last", "name=shop", "alias=champion")
    champions, served, came = ["random/last"], [], []
    expected: list[list[float] | None] = [None]
    better: list[list[float] | None] = [None]
    with serving(*SERVE) as url:
        for turn in range(3):
            came.append(number if turn else FIRST * number)  # random sessions are short, and say less
            recsys(*users(url, f"users_{turn}", came[turn], turn, *BUSY))
            served.append(returns(f"users_{turn}"))
            recsys("compact", "log=shop", f"name=turn_{turn}")
            if turn:
                judgement = judged(f"turn_{turn}", *champions[-2:])
                better.append(difference(judgement, *champions[-2:]))
            if turn == 2:
                break
            challengers = learned(turn, champions[-1])
            judgement = judged(f"turn_{turn}", champions[-1], *challengers)
            best = judgement["ranking"]["order"][0]
            if best == champions[-1] or difference(judgement, champions[-1], best)[1] <= 0:
                print(f"nothing is proven to be better than {champions[-1]}")
                break
            champions.append(best)
            expected.append(fqe(judgement, best))
            crown(url, best, turn, max(number // 3, 10))
    return [
        Turn(name, served[i], expected[i], better[i], played(name, EXPLORE), played(name, "none"), came[i])
        for i, name in enumerate(champions)
    ]


def learned(turn: int, champion: str) -> list[str]:
    """Learn from a turn's log, at the second turn from what the first had learned; return the runs."""
    runs = []
    for algo, words in LEARNERS.items():
        before = f"{algo}_{turn - 1}"
        start = f"algo={algo}" if turn == 0 else f"from={CHAMPION if before == champion else before}"
        runs.append(f"{algo}_{turn}")
        recsys("train", start, f"data=turn_{turn}", *words, *QUIET, f"name={runs[-1]}")
    return runs


def difference(judgement: dict[str, Any], before: str, now: str) -> list[float]:
    """Return by how much a policy is better than the one before it, by a log, with the 95 % interval."""
    order = judgement["ranking"]["order"]
    sign = 1 if order[0] == now else -1
    over = judgement["ranking"]["best_over"][before if sign == 1 else now]
    found = [sign * over[key] for key in ("value", "low", "high")]
    return [found[0], *sorted(found[1:])]


def spelled(values: Sequence[float] | None, signed: bool = False) -> str:
    """Return a mean with its half-width, or a difference with its interval."""
    if values is None:
        return ""
    mean, low, high = values
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]" if signed else f"{mean:.1f} ± {(high - low) / 2:.1f}"


def write(turns: Sequence[Turn]) -> None:
    """Write the table and the figure."""
    (HERE / "results.json").write_text(json.dumps([asdict(turn) for turn in turns], indent=1) + "\n")
    header = ["turn", "served", "expected by the log before", "users' return"]
    header += ["better than the one before, by its own log", "simulator, as served", "simulator, greedy"]
    rows = []
    for i, turn in enumerate(turns):
        better = spelled(turn.better, signed=True)
        own = (turn.expected, turn.served, turn.truth, turn.greedy)
        expected, served, truth, greedy = map(spelled, own)
        rows.append([i, turn.policy, expected, served, better, truth, greedy])
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    (HERE / "results.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    figure(turns)


def figure(turns: Sequence[Turn]) -> None:
    """Draw the return over turns."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "loop"  # the same rows draw the same file
    fig, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    series = (
        ("users of the service", [turn.served for turn in turns], "C0o-", 0.0),
        ("simulator, as served", [turn.truth for turn in turns], "C1s", 0.06),
        ("expected by the log before (greedy)", [turn.expected for turn in turns], "C2^", -0.12),
        ("simulator, greedy", [turn.greedy for turn in turns], "C3v", -0.06),
    )
    for label, values, style, aside in series:
        known = [(i + aside, *each) for i, each in enumerate(values) if each is not None]
        if not known:
            continue
        x, y, low, high = zip(*known, strict=True)
        errors = [
            [m - each for m, each in zip(y, low, strict=True)],
            [each - m for m, each in zip(y, high, strict=True)],
        ]
        axes.errorbar(x, y, errors, fmt=style, label=label, markersize=5, capsize=2)
    axes.set_xticks(range(len(turns)), [f"{i}: {turn.policy.partition('/')[0]}" for i, turn in enumerate(turns)])
    axes.set_ylabel("return of a session")
    axes.legend()
    fig.savefig(HERE / "results.svg", metadata={"Date": None})
    plt.close(fig)


def main() -> None:
    """Run the loop in a fresh folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=60, help="of each turn but the first")
    parser.add_argument("--folder", type=Path, default=Path("runs/loop"), help="must not exist yet")
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    with chdir(args.folder):
        turns = loop(args.users)
    write(turns)


if __name__ == "__main__":
    main()
