"""What logging, compacting and replaying take, of a service with 10 candidates and slates of 2.

    uv run python -m experiments.serving.log                        # appending, a minute
    uv run python -m experiments.serving.log --compact 1000000      # compaction of so many decisions, and its memory
    uv run python -m experiments.serving.log --replay 20000         # the replay of so many

Times are CPU microseconds a record of the whole process, without HTTP. Prints Markdown tables, which `log.md` keeps.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recsys_cli.config import structured
from recsys_cli.config.compose import compose
from recsys_cli.config.explore import Explore
from recsys_cli.evaluation.behaviour import Behaviour
from recsys_cli.offline.dataset import BEHAVIOUR
from recsys_cli.serving.folder import ServiceFolder
from recsys_cli.serving.http.inputs import Inputs
from recsys_cli.serving.log.records import DecisionRecord, Record, RewardRecord, encode_lines, pack
from recsys_cli.serving.log.replay import replay_decisions
from recsys_cli.serving.log.segments import Durability, Segment
from recsys_cli.serving.service import Service
from recsys_cli.tracking.bundle import write_bundle

ROUNDS, RECORDS = 5, 2_000
CANDIDATES, FEATURES, SESSION = 10, 20, 10
DAY_MS = 86_400_000


def decisions(count: int, seed: int = 0, version: str = "0") -> Iterator[DecisionRecord]:
    """Yield decisions of sessions of ten, ten days ago."""
    rng, start = np.random.default_rng(seed), int(time.time() * 1000) - 10 * DAY_MS
    docs = np.eye(FEATURES, dtype=np.float32)[rng.integers(0, FEATURES, (1_000, CANDIDATES))]
    packed, users = [pack(doc) for doc in docs], rng.uniform(-1, 1, (1_000, FEATURES)).astype(np.float32).tolist()
    ids = [f"document-{number}" for number in range(CANDIDATES)]
    for number in range(count):
        session, step = divmod(number, SESSION)
        yield DecisionRecord(
            event_id=f"{number:032x}",
            session=f"session-{session:024x}",
            first=step == 0,
            step=step,
            time_ms=start + number,
            policy="random",
            version=version,
            explore="none",
            epoch=number // 10_000,
            versions={"random": version},
            weights={"random": 1.0},
            user=users[number % 1_000],
            ids=ids,
            doc=packed[number * 7 % 1_000],
            excluded=[],
            slate=[number % CANDIDATES, (number + 3) % CANDIDATES],
            log_propensity=[-2.302585092994046, -2.197224577336219],
            log_total=-4.499809670330265,
            by_policy={"random": 0.011111111111111112},
            scores=None,
        )


def reward(decision: DecisionRecord) -> RewardRecord:
    """Return a report about a decision."""
    response: dict[str, Sequence[float]] = {"click": [1.0, 0.0], "quality": [0.5, 0.25], "watch_time": [4.0, 0.0]}
    final = decision.step == SESSION - 1
    return RewardRecord(event_id=decision.event_id, time_ms=decision.time_ms + 5, response=response, final=final)


def spent(work: Callable[[], object], records: int) -> tuple[float, float]:
    """Return CPU and wall microseconds a record: medians over rounds."""
    cpu, wall = [], []
    for _ in range(ROUNDS):
        start = time.process_time(), time.perf_counter()
        work()
        cpu.append(time.process_time() - start[0])
        wall.append(time.perf_counter() - start[1])
    return statistics.median(cpu) / records * 1e6, statistics.median(wall) / records * 1e6


def appended(folder: Path, durability: Durability, clients: int, at_once: int, records: Sequence[Record]) -> None:
    """Let clients append records, each waiting for its own."""

    async def client(segment: Segment, mine: Sequence[Record]) -> None:
        for start in range(0, len(mine), at_once):
            await segment.append(*mine[start : start + at_once])

    async def main() -> None:
        segment = Segment(folder, durability)
        await asyncio.gather(*(client(segment, records[number::clients]) for number in range(clients)))
        segment.close()

    asyncio.run(main())


def appending() -> None:
    """Print what a record takes."""
    every = list(decisions(RECORDS))
    size = len(encode_lines(every)) / len(every)
    print(f"\nA decision is {size:,.0f} bytes.\n")
    print("| durability | clients | records a call | CPU us | wall us |\n|---|---|---|---|---|")
    encoding = spent(lambda: [encode_lines([each]) for each in every], len(every))
    print(f"| encoding alone | | 1 | {encoding[0]:.1f} | {encoding[1]:.1f} |")
    cases: list[tuple[Durability, int, int]] = [("process", 1, 1), ("process", 64, 1), ("process", 1, 64)]
    cases += [("machine", 1, 1), ("machine", 8, 1), ("machine", 64, 1), ("machine", 256, 1), ("machine", 1, 64)]
    for durability, clients, at_once in cases:
        records = every[:200] if durability == "machine" and clients * at_once == 1 else every
        with tempfile.TemporaryDirectory(dir=os.environ.get("LOG_DIR")) as name:
            work = partial(appended, Path(name), durability, clients, at_once, records)
            cpu, wall = spent(work, len(records))
        print(f"| {durability} | {clients} | {at_once} | {cpu:.1f} | {wall:.1f} |", flush=True)


def logged(folder: Path, count: int) -> ServiceFolder:
    """Return the folder of a service that has logged so many decisions, each with a report."""
    env = structured.load("env", "interest_evolution")
    Behaviour.untrained(structured.load("algo", "random"), env, Explore()).keep(folder)
    service = ServiceFolder(folder / "service")
    service.prepare(compose("serve", [f"checkpoint={folder / BEHAVIOUR}", f"service_dir={folder}"]))
    segment = Segment(service.log, "process")
    for each in decisions(count, version=service.pointed()[0].version):
        segment.write(each, reward(each))
    segment.close()
    return service


def compacting(service: ServiceFolder, count: int) -> None:
    """Print what it takes to compact a log of so many decisions."""
    size = sum(path.stat().st_size for path in service.log.iterdir())
    words = [f"log={service.path}", "name=data", f"data_dir={service.path.parent}"]
    process = subprocess.Popen([sys.executable, "-m", "recsys_cli", "compact", *words])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError("recsys compact failed")
    seconds = used.ru_utime + used.ru_stime
    print("\n| decisions | log MB | CPU s | decisions per CPU s | peak MB |\n|---|---|---|---|---|")
    print(f"| {count:,} | {size / 1e6:,.0f} | {seconds:.1f} | {count / seconds:,.0f} | {used.ru_maxrss / 1e3:,.0f} |")


def decided(folder: Path, count: int) -> ServiceFolder:
    """Return the folder of a service of two policies that has decided so often, for 64 users a request."""
    env = structured.load("env", "interest_evolution")
    options: dict[str, dict[str, Any]] = {"slateq": {"memory": "documents"}, "myopic": {}}
    for algo, keys in options.items():
        made = structured.load("algo", algo, **keys)
        config = {"env": structured.to_plain(env), "algo": structured.to_plain(made)}
        tensors = made.make_policy(env.spec, 0).tensors()
        info: dict[str, Any] = {"steps": 0, "config_path": None, "versions": {}}
        write_bundle(folder / algo, config=config, spec=env.spec, policy_state=tensors, info=info)
    words = [f"checkpoint=[{folder / 'slateq'},{folder / 'myopic'}]", "explore=epsilon:0.1", f"service_dir={folder}"]
    config_of_service = compose("serve", words)
    place = ServiceFolder(folder / config_of_service.name)
    place.prepare(config_of_service)
    service, rng = Service(place, config_of_service), np.random.default_rng(0)
    inputs, topics = Inputs(service.spec, config_of_service.serving), np.eye(FEATURES)

    async def ask() -> None:
        for turn in range(count // 64):
            body = [
                {
                    "event_id": f"e{turn}-{user}",
                    "session": f"s{turn // SESSION}-{user}",
                    "user": rng.uniform(-1, 1, FEATURES).tolist(),
                    "candidates": [
                        {"id": f"d{number}", "features": topics[topic].tolist()}
                        for number, topic in enumerate(rng.integers(0, FEATURES, CANDIDATES))
                    ],
                }
                for user in range(64)
            ]
            await service.rank(inputs.batch(json.dumps({"requests": body}).encode()))

    asyncio.run(ask())
    service.close()
    return place


def replaying(service: ServiceFolder) -> None:
    """Print what it takes to decide everything once more."""
    start = time.process_time()
    found = replay_decisions(service)
    seconds = time.process_time() - start
    print("\n| decisions | same | CPU s | decisions per CPU s |\n|---|---|---|---|")
    total = found.same + found.different
    print(f"| {total:,} | {found.same:,} | {seconds:.1f} | {total / seconds:,.0f} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compact", type=int, help="compact so many decisions instead")
    parser.add_argument("--replay", type=int, help="make so many decisions and replay them instead")
    asked = parser.parse_args()
    if asked.replay:
        with tempfile.TemporaryDirectory(dir=os.environ.get("LOG_DIR")) as name:
            replaying(decided(Path(name), asked.replay))
    elif asked.compact:
        with tempfile.TemporaryDirectory(dir=os.environ.get("LOG_DIR")) as name:
            compacting(logged(Path(name), asked.compact), asked.compact)
    else:
        appending()


if __name__ == "__main__":
    main()
