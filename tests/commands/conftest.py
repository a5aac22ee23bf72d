"""One training that most tests look at; lets tests import their helper module, whatever pytest's import mode."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import LONG, Recsys, Trained, assert_nothing_is_left


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One training of `LONG`, in a folder whose name has a space."""
    recsys = Recsys(tmp_path_factory.mktemp("my work"))
    process = recsys.start("train", *LONG, "name=whole", "output_dir=my runs")
    outcome = recsys.finish(process)
    assert outcome.code == 0, outcome
    assert_nothing_is_left(process.pid)
    return Trained(recsys, outcome, recsys.folder / "my runs" / "whole")


@pytest.fixture
def recsys(tmp_path: Path) -> Recsys:
    """`recsys` in an empty folder."""
    return Recsys(tmp_path)
