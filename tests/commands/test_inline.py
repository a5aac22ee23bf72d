"""`resources=inline`: the same training without Ray."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from running import LONG, Trained, children_of, policy_bytes, read

from recsys_cli.cli import main

pytestmark = pytest.mark.xdist_group("commands")

INLINE = "resources.inline=true"


def journal(seed: Path) -> list[tuple[int, dict[str, float]]]:
    """Return what was reported, without times."""
    rows = [json.loads(line) for line in (seed / "metrics.jsonl").read_text().splitlines()]
    return [(row["steps"], {k: v for k, v in row["metrics"].items() if not k.startswith("time/")}) for row in rows]


def test_stopped_and_continued_in_one_process_it_is_the_same_training(trained: Trained) -> None:
    recsys = trained.recsys
    process = recsys.start("train", *LONG, "name=inline", "output_dir=my runs", INLINE)
    seed = recsys.folder / "my runs/inline/seed_0"
    recsys.wait_for(lambda: (seed / "checkpoints/last.json").exists(), process)
    assert children_of(process.pid) == []
    process.send_signal(signal.SIGINT)
    stopped = recsys.finish(process)
    assert stopped.code == 130 and "continue: recsys train resume=inline" in stopped.out
    assert recsys.here("train", "resume=inline", "output_dir=my runs").code == 0
    assert policy_bytes(seed) == policy_bytes(trained.seed)
    assert policy_bytes(seed, "best") == policy_bytes(trained.seed, "best")
    assert journal(seed) == journal(trained.seed)
    own, other = (read(folder / "evaluation.json") for folder in (seed, trained.seed))
    assert own["policies"] == other["policies"]
    # Others evaluate that training again.
    assert {path.name for path in trained.seed.iterdir()} >= {path.name for path in seed.iterdir()} > {"seed.json"}


@pytest.mark.slow
def test_a_stopped_run_continues_on_ray(trained: Trained) -> None:
    """What `test_train` stops goes the other way round."""
    recsys = trained.recsys
    process = recsys.start("train", *LONG, "name=stopped", "output_dir=my runs", INLINE)
    seed = recsys.folder / "my runs" / "stopped" / "seed_0"
    recsys.wait_for(lambda: (seed / "checkpoints/last.json").exists(), process)
    process.send_signal(signal.SIGINT)
    assert recsys.finish(process).code == 130
    assert recsys("train", "resume=stopped", "output_dir=my runs", "resources.inline=false").code == 0
    assert policy_bytes(seed) == policy_bytes(trained.seed)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("train", "resources.env_runners=2"),
            "resources.env_runners=2: resources=inline trains in this",
        ),
        (("train", "resources.learners=1"), "resources.learners=1: resources=inline trains in this"),
        (("train", "resources.ray_address=auto"), "resources.ray_address=auto: resources=inline trains in this"),
        (("sweep", "algo.lr=1e-3,1e-4"), "resources.inline=true: a sweep's trials run on Ray Tune"),
    ],
)
def test_what_needs_ray_is_refused(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str) -> None:
    assert main([*words, "resources=inline"]) == 2
    assert message in capsys.readouterr().err
