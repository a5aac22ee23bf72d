"""A run's config that this version does not take is its file's fault, not that of what was typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from recsys_cli import __version__
from recsys_cli.cli import main
from recsys_cli.config.compose import compose


@pytest.mark.parametrize("typed", [[], ["steps=500"]])
def test_an_old_key_names_the_file_and_both_versions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: list[str]
) -> None:
    config = yaml.safe_load(compose("train", ["tracking=off", f"output_dir={tmp_path}", "name=old"]).to_yaml())
    config["algo"]["old_key"] = 1
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "old" / "run.json").write_text(json.dumps({"name": "old", "versions": {"recsys-cli": "0.0.9"}}))
    assert main(["train", "resume=old", f"output_dir={tmp_path}", *typed]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        f"{tmp_path / 'old' / 'config.yaml'}, written by recsys-cli 0.0.9, does not fit this recsys-cli {__version__}"
        in line
    )
    assert "algo.old_key is unknown" in line and line.endswith("Train it again, or use recsys-cli 0.0.9")
