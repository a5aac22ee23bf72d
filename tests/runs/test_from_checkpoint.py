"""`recsys train from=<checkpoint>`: what is said and kept, and that a killed run goes on with its own state."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from recsys_cli.files import read_json
from recsys_cli.runs.inline import without_ray
from recsys_cli.runs.resume import resumed
from recsys_cli.runs.seed import SeedTraining
from recsys_cli.tracking.bundle import read_bundle, version_of
from recsys_cli.tracking.references import resolve

SMOKE = ("debug=smoke", "resources=inline", "progress=plain", "tracking=off", "evaluation.baselines=[]")
SMALL = (*SMOKE, "algo.network.hidden=[8]", "algo.learning_starts=100", "algo.batch_size=32")
Train = Callable[..., tuple[int, str]]


def policy(run: str, alias: str = "last") -> bytes:
    return (resolve(f"{run}/{alias}", Path("runs"), None) / "policy.safetensors").read_bytes()


def test_a_killed_run_goes_on_with_its_own_state(train: Train) -> None:
    assert train(*SMALL, "name=champion", "steps=500")[0] == 0
    version = version_of(resolve("champion/last", Path("runs"), None))
    words = (*SMOKE, "steps=1500", "report_every=500", "checkpoint.every=500", "checkpoint.keep=9")
    code, printed = train(*words, "from=champion/last", "name=whole")
    assert code == 0, printed
    steps = read_bundle(Path("runs/whole/start")).info["steps"]
    assert f"\nstarts from the parameters of slateq after {steps:,} steps (version {version})\n" in printed
    shutil.rmtree("runs/champion")
    whole = sorted(Path("runs/whole/seed_0/checkpoints").glob("step_*"))
    for name, kept in (("halfway", 1), ("unborn", 0)):
        shutil.copytree("runs/whole", f"runs/{name}")
        for gone in whole[kept:]:
            shutil.rmtree(f"runs/{name}/seed_0/checkpoints/{gone.name}")
        config, run_dir = resumed([f"resume={name}"], "train")
        with without_ray():
            seed = SeedTraining(config, 0, run_dir / "seed_0")
            begun = seed.training.policy().tensors()
        of_champion = read_bundle(run_dir / "start").tensors
        assert all((begun[weight] == of_champion[weight]).all() for weight in begun) == (not kept)
        code, printed = train(f"resume={name}")
        assert code == 0, printed
        assert (f"continues from {int(whole[0].name[5:]):,}" in printed) == bool(kept)
        assert f"(version {version})" in printed
        assert policy(name) == policy("whole")


def test_what_cannot_be_started_from_takes_one_line(train: Train) -> None:
    assert train(*SMALL, "name=a", "steps=500")[0] == 0
    for words, message in (
        (["from=a", "algo.network.hidden=[4]"], "from=a: the checkpoint's parameters do not fit this env or algo"),
        (["from=a/seed_7"], "from='a/seed_7' was not found"),
        (["from=a", "resume=a"], "from: a continued run keeps its from"),
        (["from=a", "algo.lr=-1"], "algo.lr=-1"),
    ):
        code, printed = train(*words)
        refusal = [line for line in printed.splitlines() if line.startswith("recsys: error")]
        assert (code, len(refusal)) == (2, 1), printed
        assert message in refusal[0]
        assert [run.name for run in Path("runs").iterdir() if run.is_dir()] == ["a"]


def test_the_start_is_remembered_by_the_command_and_the_run(train: Train) -> None:
    assert train(*SMALL, "name=a", "steps=500")[0] == 0
    assert train(*SMOKE, "name=b", "from=a/last", "steps=500", "algo.lr=0.01")[0] == 0
    run = read_json(Path("runs/b/run.json"))
    assert "from=a/last" in run["command"]
    assert (
        read_bundle(Path("runs/b/start")).tensors.keys() == read_bundle(resolve("b", Path("runs"), None)).tensors.keys()
    )
    code, printed = train("from=b/last", "--cfg", "job", "tracking=off")
    assert (code, "lr: 0.01" in printed, "hidden:\n    - 8" in printed) == (0, True, True)
