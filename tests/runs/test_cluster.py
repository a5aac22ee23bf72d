"""Sweeps on several real Ray nodes, of which one fails; refusals where there is no cluster; the examples' syntax."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

import recsys_cli
from recsys_cli.cli import main
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.files import read_json, read_jsonl
from recsys_cli.runs.callbacks import Reporting
from recsys_cli.runs.cluster import shipped

EXAMPLES = conf_dir().parent / "experiments" / "cluster"
OWN = """from dataclasses import dataclass
from pathlib import Path

from recsys_cli.algos.slateq.config import SlateQConfig

with Path({mark!r}).open("a") as file:
    file.write(__file__ + "\\n")


@dataclass
class OwnConfig(SlateQConfig):
    pass
"""


@pytest.mark.xdist_group("sweeps")
@pytest.mark.usefixtures("one_cpu_ray")
@pytest.mark.parametrize(
    ("command", "losses", "code", "state"),
    [
        ("sweep algo.lr=1e-3,1e-4", 1, 0, "finished"),
        pytest.param("sweep algo.lr=1e-3,1e-4", 0, 1, "failed", marks=pytest.mark.slow),
        pytest.param("train seeds=2", 1, 0, "finished", marks=pytest.mark.slow),
    ],
)
def test_a_trial_whose_process_is_gone_goes_on_unless_that_happens_too_often(
    command: str,
    losses: int,
    code: int,
    state: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    killed: list[int] = []
    spared, victim = ("seed_0", "seed_1") if command.startswith("train") else ("p000-seed_0", "p001-seed_0")

    class Deadly(Reporting):
        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            super().on_trial_result(iteration, trials, trial, result)
            if trial.config["seeds"][0]["folder"].endswith(victim) and not killed:
                killed.append(result["pid"])
                os.kill(result["pid"], signal.SIGKILL)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("recsys_cli.runs.driver.ray_session", lambda *_: nullcontext(lambda: False))
    monkeypatch.setattr("recsys_cli.runs.session.begin", lambda *_: None)
    monkeypatch.setattr("recsys_cli.runs.driver.Reporting", Deadly)
    monkeypatch.setattr("recsys_cli.runs.callbacks.LOSSES", losses)
    words = ["debug=smoke", "steps=2000", "tracking=off", "progress=plain", "evaluation.baselines=[random]"]
    words += ["resources.users_per_runner=50", "name=a"]
    monkeypatch.setattr("recsys_cli.runs.plan.Plan.retries", 0)  # a training's, at once
    assert main([*command.split(), *words]) == code
    expected = "lost its process or node" if losses else "failed: The actor is dead because its worker process has died"
    assert f"{victim} {expected}" in capsys.readouterr().out
    states = {path.parent.name: read_json(path)["status"] for path in tmp_path.glob("runs/a/*/seed.json")}
    assert states == {spared: "finished", victim: state}
    steps = [row["steps"] for row in read_jsonl(tmp_path / "runs/a" / victim / "metrics.jsonl")]
    assert len(set(steps)) == len(steps) and (max(steps) >= 2000) == (state == "finished")


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that refuses."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_cluster_that_does_not_answer_is_refused_at_once(
    command: str, free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port}")
    values = ["algo.lr=1e-3,1e-4"] if command == "sweep" else []
    assert main([command, "resources=cluster", *values]) == 2
    printed = capsys.readouterr().err
    expected = f"resources.ray_address=auto (127.0.0.1:{free_port}): no Ray answers at"
    assert expected in printed and printed.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("resources.ray_address=auto", "this machine is in no Ray cluster, and RAY_ADDRESS is not set"),
        ("resources.ray_address=ray://head:10001", "<host>:<port> of the cluster's head is expected"),
        ("resources.ray_address=head", "<host>:<port> of the cluster's head is expected"),
        ("output_dir=s3://bucket/runs", "mount the bucket on all nodes"),
    ],
)
def test_what_is_no_cluster_or_no_folder_is_refused(
    word: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda _: None)
    assert main(["train", word]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_all_of_our_code_is_shipped() -> None:
    package = Path(recsys_cli.__file__).parent
    resources = load("resources", "cluster", ship_code=True)
    with shipped(resources) as environment:
        copy = Path(environment["working_dir"]) / "recsys_cli"
        found = {path.relative_to(copy).as_posix() for path in copy.rglob("*.py")}
        assert (copy / "conf/train.yaml").is_file()
    assert found == {path.relative_to(package).as_posix() for path in package.rglob("*.py")}


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_bash(script: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n", str(script)], check=True)


def test_the_ray_job_is_whole_and_asks_for_a_sweep_that_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    claim, job = yaml.safe_load_all((EXAMPLES / "kuberay.yaml").read_text())
    spec = job["spec"]["rayClusterSpec"]
    assert spec["rayVersion"] == next(iter(_pinned("ray")))
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (volume,) = pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert all(container["volumeMounts"][0]["name"] == volume["name"] for container in pod["containers"])
    words = job["spec"]["entrypoint"].partition("else")[2].partition("; fi")[0].split()
    assert words[:2] == ["recsys", "sweep"]
    env = spec["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    for variable in env:
        monkeypatch.setenv(variable["name"], variable["value"])
    assert main(["sweep", *words[2:], "dry_run=true"]) == 0


def _pinned(package: str) -> list[str]:
    lines = (conf_dir().parent / "pyproject.toml").read_text().splitlines()
    return [line.strip(' ",').partition("==")[2] for line in lines if line.strip().startswith(f'"{package}==')]


@pytest.mark.slow
@pytest.mark.xdist_group("sweeps")
def test_a_sweep_survives_the_loss_of_a_node_a_process_and_its_driver(tmp_path: Path) -> None:
    from experiments.cluster.run import disturb

    outcome = disturb(tmp_path, ("algo.lr=1e-3,3e-4", "algo.n_step=1,3"), env_steps=30_000)
    assert (outcome.points, outcome.codes) == (4, [-9, 0])
    assert outcome.same_results and outcome.same_reports
    assert (outcome.trained_again, outcome.reports_twice) == ([], [])


@pytest.mark.slow
@pytest.mark.xdist_group("sweeps")
def test_nodes_without_our_code_get_it_and_the_users(tmp_path: Path) -> None:
    from experiments.cluster.nodes import Nodes
    from experiments.cluster.run import WORDS, Driver

    mark, own, elsewhere = tmp_path / "imported", tmp_path / "own", tmp_path / "elsewhere"
    (own / "algo").mkdir(parents=True)
    elsewhere.mkdir()
    slateq = (conf_dir() / "algo" / "slateq.yaml").read_text()
    slateq = slateq.replace("recsys_cli.algos.slateq.config.SlateQConfig", "mine.OwnConfig")
    (own / "algo/mine.yaml").write_text(slateq.replace("name: slateq", "name: mine"))
    (own / "mine.py").write_text(OWN.format(mark=str(mark)))
    with Nodes(workers=0, head_cpus=0) as nodes:
        nodes.add_bare(elsewhere)
        words = [word.replace("algo=slateq", "algo=mine") for word in WORDS]
        words += [
            "algo.lr=1e-3,1e-4",
            "evaluation.every=1000",
            f"--config-dir={own}",
            f"resources.ray_address={nodes.address}",
        ]
        shipped = Driver(tmp_path, *words, "name=shipped", "resources.ship_code=true")
        assert shipped.finish() == 0, shipped.output()
        used = set(mark.read_text().split())
        assert str(own / "mine.py") in used and any("/working_dir_files/" in path for path in used)
        bare = Driver(tmp_path, *words, "name=bare", "resources.ship_code=false")
        assert bare.finish() == 1
        for error in tmp_path.glob("runs/bare/tune/*/error.txt"):
            assert "No module named 'recsys_cli" in error.read_text()
