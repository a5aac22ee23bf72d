"""Services' folders and logs, made of recorded play, so that what compaction must find is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recsys_cli.config import structured
from recsys_cli.config.compose import compose
from recsys_cli.config.explore import Explore
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.evaluation.behaviour import Behaviour
from recsys_cli.offline.recording import play_round
from recsys_cli.offline.steps import Steps
from recsys_cli.serving.folder import ServiceFolder
from recsys_cli.serving.log.records import DecisionRecord, Record, RewardRecord, encode_lines, pack
from recsys_cli.tracking.bundle import write_bundle

MINUTE = 60_000
NOW = 1_800_000_000_000  # ms


def env_of(name: str = "interest_evolution", **keys: Any) -> EnvConfig:
    env: EnvConfig = structured.load("env", name, **{"num_candidates": 6, **keys})
    return env


def bundle_of(folder: Path, env: EnvConfig, algo: str, seed: int = 0, **keys: Any) -> Path:
    """Return the bundle of a policy that has learned nothing."""
    made = structured.load("algo", algo, **keys)
    policy, config = (
        made.make_policy(env.spec, seed),
        {"env": structured.to_plain(env), "algo": structured.to_plain(made)},
    )
    info = {"steps": 0, "config_path": None, "versions": {}}
    write_bundle(folder, config=config, spec=env.spec, policy_state=policy.tensors(), info=info)
    return folder


def service_of(folder: Path, *bundles: Path, explore: str = "epsilon:0.3", words: Sequence[str] = ()) -> ServiceFolder:
    """Return the folder of a service."""
    service = ServiceFolder(folder / "service")
    overrides = [f"checkpoint=[{','.join(map(str, bundles))}]", f"explore={explore}", f"service_dir={folder}"]
    service.prepare(compose("serve", [*overrides, "name=service", "tracking=off", *words]))
    service.log.mkdir(exist_ok=True)
    return service


def played(env: EnvConfig, algo: str, explore: str, episodes: int, seed: int = 0) -> Steps:
    """Return steps as `recsys record` logs them; those of episodes that are truncated end with an observation."""
    behaviour = Behaviour.untrained(structured.load("algo", algo), env, Explore.parse(explore))
    return play_round(behaviour.acting, env, episodes, seed, 0)


def records_of(
    steps: Steps, spec: ProblemSpec, policy: str, version: str, explore: str, *, prefix: str = "", start: int = NOW
) -> Iterator[tuple[DecisionRecord, RewardRecord]]:
    """Yield the decision and the report of each step; sessions are interleaved, a step takes ten seconds."""
    clicks, doc = steps.clicks(), spec.documents.dense(steps.doc)
    last = np.append(steps.starts[1:], len(steps)) - 1
    for row in sorted(np.flatnonzero(steps.valid), key=lambda row: (steps.step[row], steps.episode[row])):
        episode, step = int(steps.episode[row]), int(steps.step[row])
        mask = np.ones(doc.shape[1], bool) if steps.mask is None else steps.mask[row]
        slate = steps.slate[row][steps.slate[row] >= 0]
        time_ms = start + 10_000 * step + episode % 100
        event_id = f"{prefix}e{episode}-{step}"
        log_p = None if steps.log_propensity is None else steps.log_propensity[row].tolist()[: len(slate)]
        decision = DecisionRecord(
            event_id=event_id,
            session=f"{prefix}s{episode}",
            first=step == 0,
            step=step,
            time_ms=time_ms,
            policy=policy,
            version=version,
            explore=explore,
            epoch=0,
            versions={policy: version},
            weights={policy: 1.0},
            user=steps.user[row].tolist(),
            ids=[f"d{i}" for i in range(doc.shape[1])],
            doc=pack(doc[row]),
            excluded=np.flatnonzero(~mask).tolist(),
            slate=slate.tolist(),
            log_propensity=log_p,
            log_total=None if log_p is None else sum(log_p),
            by_policy=None,
            scores=None,
        )
        response: Mapping[str, Any] = {name: values[row].tolist() for name, values in steps.response.items()}
        report = RewardRecord(
            event_id=event_id,
            time_ms=time_ms + 2_000,
            reward=float(steps.reward[row]),
            response={**response, "click": clicks[row].tolist()},
            final=bool(row == last[episode]),
        )
        yield decision, report


def write(service: ServiceFolder, records: Sequence[Record], name: str = "01800000000000-host-1.jsonl") -> Path:
    """Write a segment of the log."""
    path = service.log / name
    with path.open("ab") as file:
        file.write(encode_lines(records))
    return path


def flat(pairs: Sequence[tuple[Record, Record]]) -> list[Record]:
    return [record for pair in pairs for record in pair]
