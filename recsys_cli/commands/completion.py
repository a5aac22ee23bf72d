"""Print the completion script for a shell: bash, zsh or fish.

Tab then completes commands, groups, options, keys and their values. The script asks `recsys` itself, so it knows
every new problem, algorithm and key.

Examples:
    eval "$(recsys completion bash)"                                  # in ~/.bashrc
    eval "$(recsys completion zsh)"                                   # in ~/.zshrc
    recsys completion fish > ~/.config/fish/completions/recsys.fish   # once
"""

from __future__ import annotations

from recsys_cli.completion import script, shells
from recsys_cli.config.errors import ConfigError, closest


def run(overrides: list[str]) -> int:
    """Print the completion script for one shell.

    Raises:
        ConfigError: no shell, more than one, or an unknown one.
    """
    if len(overrides) != 1:
        raise ConfigError(f"completion: one shell is expected, as in 'recsys completion bash'. Shells: {_shells()}")
    if overrides[0] not in shells():
        near = closest(overrides[0], shells())
        raise ConfigError(
            f"completion {overrides[0]}: there is no such shell. Shells: {_shells()}{near and '.' + near}"
        )
    print(script(overrides[0]), end="")
    return 0


def _shells() -> str:
    return ", ".join(shells())
