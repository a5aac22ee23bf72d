"""Bundles keep what they are given, say clearly what is wrong with them, and never unpickle."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.tracking.bundle import MANIFEST, TENSORS, plain, read_bundle, write_bundle

PARTS: dict[str, Any] = {
    "config": {"env": {"slate_size": 2}, "algo": {"lr": 1e-3}},
    "spec": load("env", "interest_evolution").spec,
    "info": {"steps": 50_000, "seed": 0},
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"])
def test_tensors_come_back_as_they_were(tmp_path: Path, dtype: str) -> None:
    state = {
        "matrix": np.arange(6).reshape(2, 3).astype(dtype),
        "scalar": np.array(1).astype(dtype),
        "empty": np.zeros((0, 3), dtype),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype)),
        "strided": np.arange(10).astype(dtype)[::3],
        "reversed_bytes": np.arange(3).astype(np.dtype(dtype).newbyteorder(">")),
    }
    write_bundle(tmp_path, policy_state=state, **PARTS)
    bundle = read_bundle(tmp_path)
    assert bundle.tensors.keys() == state.keys()
    for name, value in state.items():
        assert bundle.tensors[name].dtype == np.dtype(dtype) and bundle.tensors[name].shape == value.shape
        np.testing.assert_array_equal(bundle.tensors[name], value)
    assert {name: getattr(bundle, name) for name in PARTS} == PARTS
    assert bundle.training_state is None


def test_torch_tensors_come_back_and_shared_or_transposed_ones_too(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    weight = torch.arange(6, dtype=torch.float32).reshape(2, 3).requires_grad_()
    write_bundle(tmp_path, policy_state={"a": weight, "b": weight, "t": weight.T}, **PARTS)
    tensors = read_bundle(tmp_path).tensors
    for name, value in {"a": weight, "b": weight, "t": weight.T}.items():
        np.testing.assert_array_equal(tensors[name], value.detach().numpy())
    with pytest.raises(TypeError, match="bfloat16"):
        write_bundle(tmp_path, policy_state={"a": torch.zeros(2, dtype=torch.bfloat16)}, **PARTS)


def test_a_policy_without_tensors(tmp_path: Path) -> None:
    write_bundle(tmp_path, policy_state={}, **PARTS)
    assert read_bundle(tmp_path).tensors == {}


def test_numpy_values_and_paths_become_plain_yaml(tmp_path: Path) -> None:
    info = {"steps": np.int64(3), "low": np.zeros(2, np.float32), "where": Path("a/b"), "shape": (1, 2), "rate": 1e-5}
    write_bundle(tmp_path, policy_state={}, **{**PARTS, "info": info})
    assert read_bundle(tmp_path).info == {"steps": 3, "low": [0.0, 0.0], "where": "a/b", "shape": [1, 2], "rate": 1e-5}
    with pytest.raises(TypeError, match=r"info\.bad: a object"):
        write_bundle(tmp_path, policy_state={}, **{**PARTS, "info": {"bad": object()}})


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    write_bundle(tmp_path, policy_state={"w": np.ones(2)}, **PARTS)
    code = "import sys, pathlib; from recsys_cli.tracking.bundle import read_bundle\n"
    code += "read_bundle(pathlib.Path(sys.argv[1])); print(sorted({'torch', 'ray', 'mlflow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _edit(folder: Path, **changes: Any) -> None:
    manifest = yaml.safe_load((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(yaml.safe_dump({**manifest, **changes}))


def _spec() -> dict[str, Any]:
    return plain(PARTS["spec"].to_dict())


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "is not a checkpoint"),
    "no tensors": (lambda folder: (folder / TENSORS).unlink(), r"policy\.safetensors is missing"),
    "cut tensors": (lambda folder: (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:-1]), "is damaged"),
    "other tensors": (lambda folder: (folder / TENSORS).write_bytes(b"\0" * 8), "is not the file"),
    "no yaml": (lambda folder: (folder / MANIFEST).write_text("a: [1"), "is damaged"),
    "no text": (lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe\x00"), "is damaged"),
    "other yaml": (lambda folder: (folder / MANIFEST).write_text("- 1"), "no format number"),
    "newer format": (
        lambda folder: _edit(folder, format=3, info={"versions": {"recsys-cli": "9.8"}}),
        r"recsys\.yaml has format 3, written by recsys-cli 9\.8; this recsys-cli \S+ reads format 2: upgrade",
    ),
    "older format": (
        lambda folder: _edit(folder, format=1, info=None),
        "has format 1, written by recsys-cli of unknown version.*train it again, or use that version",
    ),
    "format true": (lambda folder: _edit(folder, format=True), "no format number"),
    "unknown key": (lambda folder: _edit(folder, configs={}), "configs is unknown. Did you mean 'config'"),
    "deep yaml": (lambda folder: (folder / MANIFEST).write_text("[" * 9000), "is damaged"),
    "steps of text": (lambda folder: _edit(folder, info={"steps": "many"}), "info.steps=many"),
    "metrics of text": (lambda folder: _edit(folder, info={"metrics": "x"}), "info.metrics=x"),
    "spec of text": (lambda folder: _edit(folder, spec={**_spec(), "slate_size": "two"}), "slate_size=two: an integer"),
    "no users": (lambda folder: _edit(folder, spec={**_spec(), "user": None}), "spec is damaged: TypeError"),
    "huge users": (
        lambda folder: _edit(folder, spec={**_spec(), "user": {"size": 10**12, "low": 0.0, "high": 1.0}}),
        "size=1000000000000 must be",
    ),
    "few bounds": (
        lambda folder: _edit(folder, spec={**_spec(), "user": {"size": 2, "low": [0.0], "high": 1.0}}),
        "size=2, but low has 1",
    ),
    "unknown choice": (
        lambda folder: _edit(folder, spec={**_spec(), "choice": {"kind": "multinomial_logits", "observable": True}}),
        "choice.kind=multinomial_logits is not allowed.*Did you mean 'multinomial_logit'",
    ),
    "no spec": (lambda folder: _edit(folder, spec={"name": "x"}), "spec is damaged"),
    "no config": (lambda folder: _edit(folder, config=None), "has no 'config'"),
    "no digest": (lambda folder: _edit(folder, policy_sha256=None), "has no 'policy_sha256'"),
    "python tag": (
        lambda folder: (folder / MANIFEST).write_text("format: !!python/object/apply:os.system ['touch x']"),
        "is damaged",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_no_whole_bundle_is_reported_in_one_line(tmp_path: Path, kind: str) -> None:
    write_bundle(tmp_path, policy_state={"w": np.ones(2)}, **PARTS)
    damage, message = DAMAGE[kind]
    damage(tmp_path)
    with pytest.raises(ConfigError, match=message) as caught:
        read_bundle(tmp_path)
    assert "\n" not in str(caught.value)


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_pickles_beside_or_in_place_of_tensors_are_never_loaded(
    tmp_path: Path, make_seed: Callable[..., Path], make_bundle: Callable[..., Path], output_dir: Path
) -> None:
    from recsys_cli.tracking.references import resolve

    exploded = tmp_path / "exploded"
    bomb = pickle.dumps(_Bomb(exploded))
    bundle_dir = make_bundle(make_seed(), 50_000, "best", state=True)
    names = ("class_and_ctor_args.pkl", "module_state.pkl", "policy.pkl", "policy.pt", "training_state/state.pkl")
    for name in names:
        (bundle_dir / name).write_bytes(bomb)
    tensors = read_bundle(resolve(str(bundle_dir), output_dir, None)).tensors
    assert tensors.keys() == {"arms.first", "arms.pulls", "arms.sums", "arms.total"}
    (bundle_dir / TENSORS).write_bytes(bomb)
    with pytest.raises(ConfigError):
        read_bundle(bundle_dir)
    assert not exploded.exists()
    pickle.loads(bomb)
    assert exploded.exists(), "the bomb works"
