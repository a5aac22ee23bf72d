from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recsys_cli.cli import main
from recsys_cli.config.words import layered

Train = Callable[..., tuple[int, str]]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Train:
    """A function that runs `recsys train` in an empty folder and returns its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        code = main(["train", *layered(words)])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run
