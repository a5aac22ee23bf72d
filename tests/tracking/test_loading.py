"""A policy is rebuilt only if its config, its spec and its tensors fit together; else there is one line."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from recsys_cli import __version__
from recsys_cli.cli import main
from recsys_cli.config import structured
from recsys_cli.tracking.bundle import MANIFEST, TENSORS, write_bundle

LAYER = "values.user_tower.2.weight"


@pytest.fixture
def bundle_dir(tmp_path: Path) -> Path:
    """An untrained SlateQ."""
    env, algo = structured.load("env", "interest_evolution"), structured.load("algo", "slateq")
    parts: dict[str, Any] = {"config": {name: structured.to_plain(of) for name, of in (("env", env), ("algo", algo))}}
    tensors = algo.make_policy(env.spec).tensors()
    assert LAYER in tensors
    info = {"steps": 1, "versions": {"recsys-cli": "0.0.9"}}
    write_bundle(tmp_path / "bundle", policy_state=tensors, spec=env.spec, info=info, **parts)
    return tmp_path / "bundle"


@pytest.fixture
def refusal(bundle_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that evaluates the bundle, which must be refused, and returns the line."""

    def run(*words: str) -> str:
        code = main(["evaluate", f"checkpoint={bundle_dir}", "users=2", "log=false", f"output_dir={tmp_path}", *words])
        lines = capsys.readouterr().err.splitlines()
        assert (code, len(lines)) == (2, 1), lines
        return lines[0]

    return run


def edit(bundle_dir: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = yaml.safe_load((bundle_dir / MANIFEST).read_text())
    change(manifest)
    (bundle_dir / MANIFEST).write_text(yaml.safe_dump(manifest))


def put(bundle_dir: Path, data: bytes) -> None:
    """Write other tensors, and the digest that fits them."""
    (bundle_dir / TENSORS).write_bytes(data)
    edit(bundle_dir, lambda manifest: manifest.update(policy_sha256=hashlib.sha256(data).hexdigest()))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_tensors_that_are_not_finite_are_neither_written_nor_read(
    bundle_dir: Path, tmp_path: Path, refusal: Callable[..., str], value: float
) -> None:
    tensors = load_file(bundle_dir / TENSORS)
    tensors[LAYER][2, 1] = value
    spec = structured.load("env", "interest_evolution").spec
    with pytest.raises(FloatingPointError, match=rf"the policy has diverged: {LAYER}\[2, 1\] is {value}"):
        write_bundle(tmp_path / "other", policy_state=tensors, spec=spec, info={}, config={})
    assert not list((tmp_path / "other").iterdir())
    save_file(tensors, tmp_path / "bad")
    put(bundle_dir, (tmp_path / "bad").read_bytes())
    assert f"is of a policy that diverged, or damaged: {TENSORS}: {LAYER}[2, 1] is {value}" in refusal()


def test_sizes_are_compared_before_they_take_memory(bundle_dir: Path, refusal: Callable[..., str]) -> None:
    edit(bundle_dir, lambda manifest: manifest["config"]["algo"]["network"].update(hidden=[1_000_000, 1_000_000]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "the checkpoint's parameters do not fit this env or algo" in refusal()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20, "in KiB"


CONFIG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no env": (lambda config: config.update(env=None), f"is damaged: {MANIFEST} has no 'config.env'"),
    "no algo": (lambda config: config.pop("algo"), f"is damaged: {MANIFEST} has no 'config.algo'"),
    "a list": (lambda config: config.update(algo=[1]), "has no 'config.algo'"),
    "an old key": (lambda config: config["algo"].update(old_key=1), "algo.old_key is unknown"),
    "a missing key": (lambda config: config["algo"].pop("lr"), "algo.lr is required"),
    "a new value": (lambda config: config["env"].update(choice_model="new"), "env.choice_model=new"),
    "an old class": (
        lambda config: config["env"].update(_target_="recsys_cli.envs.old.Old"),
        "no such class in",
    ),
    "another problem": (lambda config: config["env"].update(slate_size=3), "the policy's problem, {'env.num_candida"),
}


@pytest.mark.parametrize("kind", CONFIG)
def test_what_does_not_fit_is_the_file_s_fault(bundle_dir: Path, refusal: Callable[..., str], kind: str) -> None:
    change, message = CONFIG[kind]
    edit(bundle_dir, lambda manifest: change(manifest["config"]))
    line = refusal()
    assert message in line and str(bundle_dir) in line
    if message.startswith(("algo.", "env.")):
        assert f"{MANIFEST}, written by recsys-cli 0.0.9, does not fit this recsys-cli {__version__}: {message}" in line
        assert line.endswith("Train it again, or use recsys-cli 0.0.9")


def test_what_was_typed_is_not(refusal: Callable[..., str]) -> None:
    assert refusal("env.slate_size=30") == "recsys: error: env.slate_size=30 must be <= env.num_candidates=10"


def header(**tensors: Any) -> bytes:
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text


FLOATS = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
FILES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut in the header": lambda data: data[:40],
    "cut in the tensors": lambda data: data[:-100],
    "more behind": lambda data: data + b"\0" * 8,
    "a long header": lambda data: (2**62).to_bytes(8, "little") + data[8:],
    "no json": lambda data: (4).to_bytes(8, "little") + b"[[[[",
    "a list": lambda data: (2).to_bytes(8, "little") + b"[]",
    "no tensors": lambda data: header(),
    "other tensors": lambda data: header(a=FLOATS) + b"\0" * 8,
    "a huge shape": lambda data: header(a={**FLOATS, "shape": [2**40, 2**40]}) + b"\0" * 8,
    "an unknown dtype": lambda data: header(a={**FLOATS, "dtype": "X9"}) + b"\0" * 8,
    "bfloat16": lambda data: header(a={**FLOATS, "dtype": "BF16", "shape": [4]}) + b"\0" * 8,
    "float8": lambda data: header(a={**FLOATS, "dtype": "F8_E4M3", "shape": [8]}) + b"\0" * 8,
    "items of text": lambda data: header(**{"problem.items": {**FLOATS, "dtype": "I64", "shape": [1]}}) + b"\0" * 8,
}


@pytest.mark.parametrize("kind", FILES)
def test_damaged_tensors_are_refused_in_one_line(bundle_dir: Path, refusal: Callable[..., str], kind: str) -> None:
    put(bundle_dir, FILES[kind]((bundle_dir / TENSORS).read_bytes()))
    assert f"checkpoint {bundle_dir}" in refusal()


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_wrong_tensors_are_refused_in_one_line(
    bundle_dir: Path, tmp_path: Path, refusal: Callable[..., str], change: str
) -> None:
    tensors = load_file(bundle_dir / TENSORS)
    if change == "missing":
        del tensors[LAYER]
    if change == "extra":
        tensors["one more"] = np.zeros(1, np.float32)
    if change == "shape":
        tensors[LAYER] = tensors[LAYER][:-1]
    save_file(tensors, tmp_path / "bad")
    put(bundle_dir, (tmp_path / "bad").read_bytes())
    assert "the checkpoint's parameters do not fit" in refusal()
