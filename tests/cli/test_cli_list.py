"""`recsys list`."""

from __future__ import annotations

import pytest

from recsys_cli.completion.candidates import candidates
from recsys_cli.config import catalog


@pytest.mark.parametrize("group", catalog.group_names())
def test_singular_and_plural_name_the_same_group(run_cli, group: str) -> None:
    singular = run_cli("list", group)
    assert singular.code == 0
    assert run_cli("list", f"{group.removesuffix('s')}s").out == singular.out
    listed = {line.split()[0] for line in singular.out.splitlines() if not line.startswith(" ")}
    assert listed == set(catalog.option_names(group))


def test_without_a_word_everything_is_listed(run_cli) -> None:
    out = run_cli("list").out
    for group in catalog.group_names():
        assert f"\n{group}:\n" in out
        assert all(f"\n  {option} " in out for option in catalog.option_names(group))
    assert out.index("\nenv:") < out.index("\nalgo:") < out.index("\ntracking:")


def test_commands_are_listed(run_cli) -> None:
    assert "\nlist " in run_cli("list", "commands").out


@pytest.mark.parametrize("group", catalog.group_names())
def test_keys_of_every_option_are_listed(run_cli, group: str) -> None:
    for option in catalog.option_names(group):
        outcome = run_cli("list", f"{group}={option}")
        assert outcome.code == 0
        for key in catalog.keys(catalog.option_path(group, option)):
            assert not key.value or key.name in outcome.out


def test_ranges_are_shown_by_list_and_completion(run_cli) -> None:
    out = " ".join(run_cli("list", "algo=slateq").out.split())
    assert "initial learning rate [above 0]" in out
    assert "widths of the hidden layers [each at least 1]" in out
    assert "number of seeds: seed, seed+1, ... [at least 1]" in " ".join(run_cli("train", "--help").out.split())
    about = dict(candidates(["train", "seed"]))
    assert about == {"seed=": "the first seed [from 0 to 4,294,967,295] (0)", "seeds=": about["seeds="]}
