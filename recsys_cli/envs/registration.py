"""gymnasium's registry: every `env/<problem>.yaml`, of `conf` or the user's own, becomes `recsys/<Problem>-v0`.

Importing `recsys_cli.envs` registers them (gymnasium 1.0 and later do not load plugins), so nothing heavier than
gymnasium may be imported here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from recsys_cli.config import catalog

if TYPE_CHECKING:
    from recsys_cli.envs.single import SlateEnv
    from recsys_cli.envs.vector import SlateVectorEnv


def env_ids() -> Iterator[tuple[str, str]]:
    """Yield (problem, gymnasium id): `interest_evolution`, `recsys/InterestEvolution-v0`."""
    for problem in catalog.option_names("env"):
        camel = "".join(word.capitalize() for word in problem.replace("/", "_").split("_"))
        yield problem, f"recsys/{camel}-v0"


def register_envs() -> None:
    """Register all problems with gymnasium; calling it again adds those of newly named folders."""
    from gymnasium.envs.registration import register, registry

    for problem, env_id in env_ids():
        if env_id not in registry:
            register(
                env_id,
                entry_point=f"{__name__}:make_env",
                vector_entry_point=f"{__name__}:make_vector_env",
                kwargs={"problem": problem},
            )


def make_env(problem: str, doc_format: str = "dense", **overrides: Any) -> SlateEnv:
    """Build one user of a problem; `overrides` replace keys of its yaml.

    Raises:
        ConfigError: a key or value the problem does not have or allow.
    """
    from recsys_cli.config.structured import load
    from recsys_cli.envs.single import SlateEnv

    return SlateEnv(load("env", problem, **overrides), doc_format)


def make_vector_env(problem: str, num_envs: int, doc_format: str = "dense", **overrides: Any) -> SlateVectorEnv:
    """Build `num_envs` users of a problem that step together; `overrides` replace keys of its yaml.

    Raises:
        ConfigError: a key or value the problem does not have or allow.
    """
    from recsys_cli.config.structured import load

    return load("env", problem, **overrides).make_vec(num_envs, doc_format=doc_format)
