"""Running the command line inside the test process, which takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from recsys_cli.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str


RunCli = Callable[..., Outcome]


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> RunCli:
    """Return a function that runs `recsys <words>` and returns exit code, output and errors."""

    def run(*words: str) -> Outcome:
        code = main(words)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
