"""The offline half of the tutorial of 2022, rebuilt: an old JSON file of sample batches, and what is learned from it.

    uv run python -m experiments.tutorial_2022.offline

A half-trained SlateQ that shows random slates now and then plays interest evolution (20 candidates, slates of 2, as in
the tutorial). Its steps are written as RLlib wrote them then: JSON lines of sample batches, observations flattened,
packed. `recsys import format=rllib_json` reads the file; `recsys train data=...` learns from it, five seeds each. Fresh
users judge, whom no learner has seen. Writes `offline.csv`, `offline.md` and `offline_seeds.csv` beside this file; run
again, it continues where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from ray.rllib.offline.json_writer import _to_json  # as its workers wrote it
from ray.rllib.policy.sample_batch import SampleBatch

from experiments.runs import Entry, results, train
from experiments.runs import scores as scores_of
from experiments.tutorial_2022.run import BASELINES, HERE, write
from recsys_cli.cli import main as recsys
from recsys_cli.config.explore import Explore
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.evaluation.behaviour import Behaviour
from recsys_cli.evaluation.statistics import mean_interval
from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.recording import play_round
from recsys_cli.offline.steps import Steps
from recsys_cli.tracking.references import resolve

ENV = ("env=interest_evolution", "env.num_candidates=20", "env.slate_size=2")
COMMON = (*ENV, "resources=inline", "tracking=off", "evaluation.every=0", "checkpoint.every=0")
BEHAVIOUR = Entry("behaviour", (*COMMON, BASELINES, "algo=slateq", "steps=20_000"))
EXPLORE, EPISODES, FRAGMENT = "epsilon:0.3", 400, 200
LEARNERS = {"bc": "100_000", "marwil": "100_000", "slateq": "200_000", "lspi": "100_000"}


def flattened(steps: Steps, rows: np.ndarray, answered: np.ndarray, spec: ProblemSpec) -> np.ndarray:
    """Return observations as RLlib's RecSim wrapper flattened them.

    Args:
        steps: the log.
        rows: whose user and documents are observed, `[n]`.
        answered: the rows whose response is observed, `[n]`; -1: none yet.
        spec: the problem.
    """
    fields = {"click": steps.clicks(), **steps.response}
    parts = []
    for field in sorted(spec.response, key=lambda field: field.name):
        values = np.where(answered[:, None] >= 0, fields[field.name][answered], 0)
        size = {"flag": 2, "category": int(field.high) if field.kind == "category" else 0}.get(field.kind)
        parts.append(values[..., None] if size is None else np.eye(size)[values.astype(int)])
    doc = spec.documents.dense(steps.doc[rows]).reshape(len(rows), -1)
    response = np.concatenate(parts, axis=-1).reshape(len(rows), -1)
    return np.concatenate([steps.user[rows], doc, response], axis=1).astype(np.float32)


def write_json(path: Path, steps: Steps, spec: ProblemSpec) -> None:
    """Write steps as one of RLlib's workers did: fragments of a few hundred steps, whatever episode they are of."""
    rows = np.arange(len(steps))
    after = np.where(steps.following() < 0, rows, steps.following())
    columns = {
        "obs": flattened(steps, rows, np.where(steps.step > 0, rows - 1, -1), spec),
        "new_obs": flattened(steps, after, rows, spec),
        "actions": steps.slate.astype(np.int64),
        "rewards": steps.reward,
        "dones": steps.terminated,
        "eps_id": steps.episode,
        "t": steps.step,
        "action_logp": np.zeros(len(steps), np.float32),  # what its exploration logged, also for random slates
    }
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, len(steps), FRAGMENT):
            batch = SampleBatch({name: values[start : start + FRAGMENT] for name, values in columns.items()})
            file.write(_to_json(batch, ["obs", "new_obs"]) + "\n")


def json_log(runs: Path) -> Path:
    """Train the behaviour, let it play, write the JSON file; return the data set made of it."""
    data = runs / "data" / "tutorial"
    if data.is_dir():
        return data
    train(BEHAVIOUR, [0], runs)
    bundle = resolve(f"{runs / BEHAVIOUR.name}/last", runs, None)
    by = Behaviour.of_checkpoint(bundle, Explore.parse(EXPLORE), {})
    steps = play_round(by.acting, by.env, EPISODES, seed=0, number=0)
    file = runs / "output-worker-0_0.json"
    write_json(file, steps, by.env.spec)
    words = ["import", "format=rllib_json", f"data={file}", *ENV, "name=tutorial", f"data_dir={data.parent}"]
    if recsys(words):
        raise RuntimeError("the import failed")
    return data


def main() -> None:
    """Run what is missing, and write what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/tutorial_2022_offline"), help="folder that gets the runs"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = json_log(args.runs)
    steps = Dataset.open(data).load()
    alone = (*COMMON, "evaluation.baselines=[]", f"data={data}")
    entries = [Entry(name, (*alone, f"algo={name}", f"steps={count}")) for name, count in LEARNERS.items()]
    scores = results(entries, args.seeds, args.runs, HERE / "offline_seeds.csv", training=True)
    (behaviour,) = scores_of(BEHAVIOUR, args.runs)
    rows = [["the log itself", mean_interval(steps.returns()), f"{len(steps.starts)} users"]]
    for name in LEARNERS:
        own = [score.score for score in scores if score.name == name]
        rows.append([f"algo={name}", mean_interval(own), f"{len(own)} seeds"])
    rows.append(["its behaviour, greedy", behaviour.score, "2,000 users"])
    rows += [[name, getattr(behaviour, name), "2,000 users"] for name in ("random", "myopic", "oracle")]
    write("offline", ("policy", "return", "over"), rows)


if __name__ == "__main__":
    main()
