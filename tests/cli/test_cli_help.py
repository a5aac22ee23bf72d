"""The texts that a newcomer meets, and that they come at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from recsys_cli import __version__, commands
from recsys_cli.cli import main
from recsys_cli.config import catalog

HEAVY = ("hydra", "omegaconf", "yaml", "ray", "torch", "mlflow", "gymnasium", "numpy", "rich", "recsim")
LIGHT_LINES = [
    [],
    ["--help"],
    ["--version"],
    ["train", "--help"],
    ["evaluate", "-h"],
    ["list"],
    ["list", "env=interest_evolution"],
    ["completion", "bash"],
    ["__complete", "train", "env="],
    ["__complete", "train", "algo.network.kind="],
    ["nonsense"],
]


@pytest.mark.parametrize("words", LIGHT_LINES, ids=" ".join)
def test_nothing_heavy_is_imported(words: list[str]) -> None:
    code = (
        "import sys; from recsys_cli.cli import main; main(sys.argv[1:]);"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",)])
def test_overview_names_every_command(run_cli, words: tuple[str, ...]) -> None:
    outcome = run_cli(*words)
    assert outcome.code == 0
    for name in commands.command_names():
        assert f"\n  {name} " in outcome.out
        assert commands.summary(name)[:40] in outcome.out
    assert "recsys train env=interest_evolution algo=slateq" in outcome.out


def test_version(run_cli) -> None:
    assert run_cli("--version").out == f"recsys {__version__}\n"


@pytest.mark.parametrize("command", commands.command_names())
def test_every_command_has_help_that_opens_with_one_sentence(run_cli, command: str) -> None:
    outcome = run_cli(command, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"recsys {command}: ")
    assert commands.summary(command).endswith(".")
    assert "\nExamples:\n" in outcome.out
    assert run_cli("help", command).out == outcome.out


@pytest.mark.parametrize("root", catalog.root_names())
def test_help_of_a_root_tells_groups_options_and_keys(run_cli, root: str) -> None:
    out = run_cli(root, "env.num_candidates=3", "--help").out
    flat = " ".join(out.split())
    for default in catalog.defaults(catalog.root_path(root)):
        assert f"\n  {default.group}=" in out
        for option in catalog.option_names(default.group):
            mark = " *" if option == default.option else ""
            headline = catalog.headline(catalog.option_path(default.group, option))
            assert f"{option}{mark} {headline}" in flat
    for key in catalog.keys(catalog.root_path(root)):
        assert f"\n  {key.name} " in out
        assert key.comment.split()[0] in out


def test_cfg_job_prints_the_whole_config_after_overrides(run_cli) -> None:
    import yaml

    outcome = run_cli("train", "env.slate_size=3", "--cfg=job", "seeds=2")
    config = yaml.safe_load(outcome.out)
    assert outcome.code == 0
    assert (config["env"]["slate_size"], config["seeds"]) == (3, 2)
    assert "hydra" not in config
    assert config["evaluation"]["users"] == 2000


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(command: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "load", interrupted)
    assert main(["list"]) == 130


@pytest.mark.parametrize("words", ["train --help", "list", "completion bash"])
def test_a_reader_that_has_gone_is_no_error(words: str) -> None:
    line = f"(sleep 0.2; exec {sys.executable} -m recsys_cli {words}) | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
