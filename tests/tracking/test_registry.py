"""A registered checkpoint is an MLflow model and a checkpoint reference, by version and by alias."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_cli.cli import main
from recsys_cli.config.errors import ConfigError
from recsys_cli.files import read_json
from recsys_cli.tracking.bundle import read_bundle
from recsys_cli.tracking.loading import load_checkpoint
from recsys_cli.tracking.pyfunc import PolicyModel
from recsys_cli.tracking.references import resolve
from recsys_cli.tracking.registering import register_checkpoint
from recsys_cli.tracking.tracker import Tracker

pytestmark = pytest.mark.xdist_group("mlflow")  # one worker imports MLflow, which takes seconds

README = Path(__file__).parents[2] / "README.md"
(SNIPPET,) = re.findall(r"```python\n(import mlflow\n.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
LOAD = f"""{SNIPPET}
import json, sys
print(slates.shape, slates.dtype, slates.min() >= 0, slates.max() < 10)
print(json.dumps(model.predict(model.input_example)["slate"].tolist()))
print(sorted({{"ray", "hydra"}} & set(sys.modules)))
user[1, 2] = np.nan
try:
    model.predict({{**start, "user": user, "doc": doc}})
except mlflow.MlflowException as error:
    print(error)
"""


@pytest.fixture
def seed_dir(
    client: Any, make_tracker: Callable[..., Tracker], make_seed: Callable[..., Path], make_bundle: Callable[..., Path]
) -> Path:
    """A tracked seed whose checkpoints stand in MLflow: 50 is the best, 100 the last."""
    folder, tracker = make_seed(), make_tracker()
    tracker.open(folder, params={}, tags={})
    tracker.upload_bundle(folder, make_bundle(folder, 50, "best", policy="slateq", memory="raw"), "best")
    tracker.upload_bundle(folder, make_bundle(folder, 100, "last", policy="slateq", memory="raw"), "last")
    tracker.log_evaluation(folder, {"return": 1.0})
    tracker.set_status(folder, "finished")
    assert tracker.close() == []
    return folder


def test_an_alias_is_a_checkpoint_and_mlflow_alone_loads_the_model(
    client: Any, seed_dir: Path, output_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["register", "name=slateq", "alias=champion", f"output_dir={output_dir}"]
    name = seed_dir.parent.name
    assert main([*words, f"checkpoint={name}"]) == 0
    run_id = read_json(seed_dir / "uploaded.json")["run_id"]
    printed = capsys.readouterr().out
    assert (
        f"models:/slateq/1 created: step_000000050 of run {run_id}\nmodels:/slateq@champion points at it\n" in printed
    )
    assert main([*words, f"checkpoint={run_id}"]) == 0
    assert "models:/slateq/1 already exists" in capsys.readouterr().out
    assert main([*words, f"checkpoint={name}/last"]) == 0
    assert "models:/slateq@champion points at it, no longer at models:/slateq/1" in capsys.readouterr().out
    shutil.rmtree(seed_dir.parent)
    for reference, steps in {"@champion": 100, "/1": 50, "/latest": 100}.items():
        assert read_bundle(resolve(f"models:/slateq{reference}", output_dir, None)).info == {"steps": steps}
    champion = resolve("models:/slateq@champion", output_dir, None)
    assert read_json(champion.parent / "evaluation.json") == {"return": 1.0}, "the run's own comes along"
    again = register_checkpoint(champion, name="slateq", alias="twin", uri=None, output_dir=output_dir)
    assert (again.version, again.new) == ("models:/slateq/2", False), "a downloaded one is known too"

    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "runs").symlink_to(output_dir)
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=False, cwd=fresh)
    assert done.returncode == 0, done.stderr
    of_readme, slates, imported, refused = done.stdout.splitlines()[-4:]
    assert of_readme == "(3, 2) int64 True True"
    assert "input 'user' is nan at [1, 2] and must be finite" in refused
    assert [path.name for path in fresh.iterdir()] == ["runs"], "no stray database"
    example = PolicyModel(champion).function.example(2)
    policy = load_checkpoint(champion).policy
    first = policy.new_memory(2).extend({name: example[name] for name in ("user", "doc")})
    assert json.loads(slates) == policy.distribution(first).mode().tolist()
    assert "ray" not in imported
    assert "\nWARNING" not in done.stderr, done.stderr

    local = Path(client.download_artifacts(run_id, client.get_run(run_id).data.tags["checkpoint.last"]))
    assert {"MLmodel", "requirements.txt", "input_example.json"} <= {path.name for path in local.iterdir()}
    wanted = (local / "requirements.txt").read_text().split()
    assert {line.partition("==")[0] for line in wanted} >= {"recsys-cli", "mlflow", "numpy", "torch", "safetensors"}
    assert not [path for path in local.iterdir() if pickle.PROTO in path.read_bytes()[:1]]


def test_an_alias_that_moves_always_names_a_whole_version(seed_dir: Path, output_dir: Path) -> None:
    references = [f"{seed_dir.parent.name}/{alias}" for alias in ("best", "last")]
    bundles = [resolve(reference, output_dir, None) for reference in references]
    moves, steps = 4, set[int]()
    register_checkpoint(bundles[0], name="m", alias="champion", uri=None, output_dir=output_dir)

    def move() -> None:
        for number in range(moves):
            register_checkpoint(bundles[number % 2 - 1], name="m", alias="champion", uri=None, output_dir=output_dir)

    mover = threading.Thread(target=move)
    mover.start()
    while mover.is_alive():  # as a service does that follows the alias
        steps.add(read_bundle(resolve("models:/m@champion", output_dir, None)).info["steps"])
    mover.join()
    assert steps == {50, 100}
    assert resolve("models:/m@champion", output_dir, None) == resolve("models:/m/1", output_dir, None)


def test_a_model_takes_any_number_of_candidates_that_its_policy_does(
    make_seed: Callable[..., Path], make_bundle: Callable[..., Path]
) -> None:
    bundle_dir = make_bundle(make_seed(), 50, policy="ucb1")
    model = PolicyModel(bundle_dir)
    for candidates in (10, 17):
        loaded = load_checkpoint(bundle_dir, {"num_candidates": candidates})
        observation = loaded.env.make_vec(3).reset(seed=0)[0]
        slates = model.predict({"user": observation["user"], "doc": observation["doc"]})
        np.testing.assert_array_equal(slates, loaded.policy.distribution(observation).mode())


REFUSED = [
    (["checkpoint=RUN"], "name is required"),
    (["checkpoint=RUN", "name=a/b"], "name=a/b must be letters"),
    (["checkpoint=RUN", "name=m", "alias=latest"], "alias=latest is reserved by MLflow"),
    (["checkpoint=RUN", "name=m", "alias=a b"], "alias=a b must be letters"),
    (["checkpoint=nothing", "name=m"], "checkpoint='nothing' was not found"),
    (["checkpoint=RUN", "name=m", "tracking=off"], "tracking=off has no model registry"),
    (["checkpoint=models:/none@champion", "name=m"], "registered: no model"),
    (
        ["checkpoint=RUN", "name=m", "tracking.uri=http://127.0.0.1:1"],
        "is not in MLflow at http://127.0.0.1:1: ",
    ),
]


def test_refusals_take_one_line(seed_dir: Path, output_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in REFUSED:  # of one run, whose upload takes longer than all of them
        words = [word.replace("RUN", seed_dir.parent.name) for word in words]
        assert main(["register", f"output_dir={output_dir}", *words]) == 2, words
        printed = capsys.readouterr().err
        assert message in printed and len(printed.strip().splitlines()) == 1, words


def test_what_cannot_be_served_or_belongs_to_no_run_is_refused(
    client: Any,
    seed_dir: Path,
    output_dir: Path,
    tmp_path: Path,
    make_bundle: Callable[..., Path],
    make_seed: Callable[..., Path],
) -> None:
    where: dict[str, Any] = {"name": "m", "alias": None, "uri": None, "output_dir": output_dir}
    oracle = make_bundle(seed_dir, 200, policy="oracle")
    with pytest.raises(ConfigError, match="algo=oracle cannot be served as a model: an oracle acts on"):
        register_checkpoint(oracle, **where)
    assert client.search_model_versions("name='m'") == []
    loose = shutil.copytree(seed_dir / "checkpoints" / "step_000000050", tmp_path / "loose" / "bundle")
    with pytest.raises(ConfigError, match="belongs to no run"):
        register_checkpoint(loose, **where)
    untracked = make_bundle(make_seed(name="untracked"), 50, "best")
    with pytest.raises(ConfigError, match=r"is not in MLflow \(tracking=off\): upload it first with recsys sync"):
        register_checkpoint(untracked, **where)
