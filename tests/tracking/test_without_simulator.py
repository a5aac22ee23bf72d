"""A bundle answers without the module of the simulator that it was trained on; only playing users needs that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recsys_cli.config import folders
from recsys_cli.config.structured import load, to_plain
from recsys_cli.tracking.bundle import write_bundle

CUSTOM = Path(__file__).parents[2] / "experiments" / "custom_simulator"

ANSWER = """
import json, sys
from pathlib import Path
import numpy as np
from recsys_cli.tracking.pyfunc import PolicyModel
model = PolicyModel(Path(sys.argv[1]))
print(json.dumps(model.predict(model.function.example(3)).tolist()))
user, doc = np.load(sys.argv[2])["user"], np.load(sys.argv[2])["doc"]
print(json.dumps(model.predict({"user": user, "doc": doc}).tolist()))
print("embedding_feed" in sys.modules)
"""

EVALUATE = "import sys; from recsys_cli.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def bundle_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of SlateQ on the custom simulator, with items out of a database, and users to ask about."""
    monkeypatch.setenv(folders.VARIABLE, str(CUSTOM))
    env, algo = load("env", "embedding_feed", items_in_db=50), load("algo", "slateq")
    policy = algo.make_policy(env.spec, seed=3)
    folder = tmp_path / "step_1"
    write_bundle(
        folder,
        config={"env": to_plain(env), "algo": to_plain(algo)},
        spec=env.spec,
        policy_state=policy.tensors(),
        info={"steps": 1, "config_path": [str(CUSTOM)]},
    )
    by_number, dense = (env.make_vec(4, doc_format=kind).reset(seed=0)[0] for kind in ("index", "dense"))
    slates = policy.distribution(by_number).mode()
    np.testing.assert_array_equal(slates, policy.distribution(dense).mode())
    np.savez(tmp_path / "users.npz", user=dense["user"], doc=dense["doc"], slates=slates)
    return folder


def run(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python that knows of no folder of the user's own."""
    environ = {key: value for key, value in os.environ.items() if key != folders.VARIABLE}
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=environ)


def test_it_answers_and_says_what_evaluating_takes(bundle_dir: Path, tmp_path: Path) -> None:
    done = run(ANSWER, str(bundle_dir), str(tmp_path / "users.npz"))
    assert done.returncode == 0, done.stderr
    example, slates, imported = done.stdout.splitlines()
    assert len(json.loads(example)) == 3 and imported == "False"
    assert json.loads(slates) == np.load(tmp_path / "users.npz")["slates"].tolist()
    refused = run(EVALUATE, "evaluate", f"checkpoint={bundle_dir}", "users=10", "tracking=off")
    assert refused.returncode == 2 and len(refused.stderr.strip().splitlines()) == 1
    assert f"trained with --config-dir {CUSTOM}" in refused.stderr
