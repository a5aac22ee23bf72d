"""Versions, commit and flat parameters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from recsys_cli.tracking.provenance import flatten, git_commit, mask, versions


def test_versions_are_found_without_imports() -> None:
    code = "import sys; from recsys_cli.tracking.provenance import versions; v = versions()\n"
    code += "print(v['numpy'], sorted({'numpy', 'ray', 'torch', 'mlflow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [versions()["numpy"], "[]"]
    assert {"python", "ray", "torch", "recsim", "gymnasium", "mlflow", "recsys-cli"} <= versions().keys()


def test_git_commit_and_dirty_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None

    def git(*words: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    assert git_commit(tmp_path) is None, "no commit yet"
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "a")
    commit = git_commit(tmp_path)
    assert commit is not None and len(commit) == 40
    (tmp_path / "untracked").write_text("1")
    assert git_commit(tmp_path) == commit
    (tmp_path / "a").write_text("2")
    assert git_commit(tmp_path) == f"{commit}-dirty"
    monkeypatch.setenv("PATH", "")
    assert git_commit(tmp_path) is None, "no git"


def test_flatten_dots_keys_and_hides_passwords() -> None:
    config = {
        "env": {"k": 3, "sizes": [1, 2], "empty": {}},
        "seed": 0,
        "lr": 1e-3,
        "name": None,
        "double": True,
        "uri": "https://me:secret@host:5000/x",
    }
    assert flatten(config) == {
        "env.k": 3,
        "env.sizes": "[1, 2]",
        "env.empty": "{}",
        "seed": 0,
        "lr": 1e-3,
        "name": "null",
        "double": "true",
        "uri": "https://***@host:5000/x",
    }
    assert mask("sqlite:////a@b/c") == "sqlite:////a@b/c"
