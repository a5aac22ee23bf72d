"""Serve trained policies over HTTP; of several, a bandit finds the best.

Examples:
    recsys serve checkpoint=<run id> explore=epsilon:0.05
    recsys serve checkpoint=[<run id>,<run id>] router=thompson
    recsys serve checkpoint=models:/slateq@champion serving=ray serving.replicas=4
"""

from __future__ import annotations

from recsys_cli.config.compose import compose


def run(overrides: list[str]) -> int:
    """Check the request and serve until stopped.

    Raises:
        ConfigError: the request is invalid.
    """
    config = compose("serve", overrides)
    print(config.to_yaml())
    return 0
