"""`mlflow models serve` of a registered model shows the policy's slates, with and without session memory."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3

from recsys_cli.cli import main
from recsys_cli.tracking.pyfunc import PolicyModel

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mlflow")]

USERS = 3
QUICKLY = ("resources=inline", "steps=1500", "algo.learning_starts=200", "evaluation.users=5", "progress=off")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of SlateQ with and without memory, registered."""
    runs = tmp_path_factory.mktemp("runs")
    for memory in ("documents", "none"):
        words = [
            "algo=slateq",
            f"algo.memory={memory}",
            f"name={memory}",
            "evaluation.baselines=[]",
            "env.num_topics=5",
        ]
        assert main(["train", *words, f"output_dir={runs}", *QUICKLY]) == 0
        assert main(["register", f"checkpoint={runs / memory}/last", f"name={memory}", f"output_dir={runs}"]) == 0
    return runs


@contextlib.contextmanager
def served(runs: Path, model: str) -> Iterator[str]:
    """Yield the address of MLflow's own server of a registered model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", "1"]
    command += ["--model-uri", f"models:/{model}/1", "--host", "127.0.0.1", "--port", str(port)]
    where = {"MLFLOW_TRACKING_URI": f"sqlite:///{runs / 'mlflow.db'}", "PYTHONPATH": os.pathsep.join(sys.path)}
    log = runs / f"{model}.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            command, env=os.environ | where, stdout=file, stderr=file, cwd=runs, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 120
        while not _answers(f"http://127.0.0.1:{port}/ping"):
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def ask(url: str, inputs: dict[str, Any]) -> tuple[int, Any]:
    plain = {name: np.asarray(value).tolist() for name, value in inputs.items()}
    answer = urllib3.request("POST", url, json={"inputs": plain}, retries=False, timeout=30)
    return answer.status, answer.json()


def model_of(runs: Path, name: str) -> PolicyModel:
    (folder,) = (runs / name).glob("**/checkpoints/step_*")
    return PolicyModel(folder)


def test_a_session_played_through_mlflow_is_the_policy_s(trained: Path) -> None:
    model = model_of(trained, "documents")
    policy, env = model.checkpoint.policy, model.checkpoint.env
    vec, kept = env.make_vec(USERS), policy.new_memory(USERS)
    observation, _ = vec.reset(seed=3)
    memory: Any = np.zeros((USERS, model.function.memory_size))
    with served(trained, "documents") as url:
        for _ in range(4):
            given = {"user": observation["user"], "doc": observation["doc"], **observation["response"]}
            wanted = policy.served(kept.extend(observation)).mode()
            status, answer = ask(url, {**given, "memory": memory})
            assert status == 200, answer
            np.testing.assert_array_equal(answer["predictions"]["slate"], wanted)
            before, memory = observation, answer["predictions"]["memory"]
            observation, *_ = vec.step(wanted)
            kept.step(before, wanted, observation, np.zeros(USERS, bool))
        refused(url, {**given, "memory": np.zeros((USERS, 7))}, "Shape of input (3, 7) does not match expected shape")
        refused(url, given, "Model is missing inputs ['memory'].")


def test_slates_without_memory_and_wrong_shapes(trained: Path) -> None:
    checkpoint = model_of(trained, "none").checkpoint
    observation, _ = checkpoint.env.make_vec(USERS).reset(seed=3)
    user, doc = observation["user"], observation["doc"]
    with served(trained, "none") as url:
        status, answer = ask(url, {"user": user, "doc": doc})
        assert status == 200, answer
        np.testing.assert_array_equal(answer["predictions"], checkpoint.policy.served(observation).mode())
        refused(url, {"user": user, "doc": doc[..., :-1]}, "Shape of input (3, 10, 4) does not match expected shape")
        refused(url, {"user": user[:2], "doc": doc}, "input 'doc' has shape [3, 10, 5] and must have [2, C, 5]")
        refused(url, {"user": user}, "Model is missing inputs ['doc'].")


def refused(url: str, inputs: dict[str, Any], line: str) -> None:
    """Check that the last line of a refusal says why; MLflow repeats the inputs before it."""
    status, answer = ask(url, inputs)
    assert status == 400 and line in answer["message"].splitlines()[-1]
