"""gymnasium's registry: every `env/<problem>.yaml`, of `conf` or the user's own, becomes `recsys/<Problem>-v0`.

Importing `recsys_cli.envs` registers them (gymnasium 1.0 and later do not load plugins), so nothing heavier than
gymnasium may be imported here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from recsys_cli.config import catalog

if TYPE_CHECKING:
    from recsys_cli.envs.flat import FlatEnv, FlatVectorEnv
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


def make_env(
    problem: str,
    doc_format: str = "dense",
    render_mode: str | None = None,
    flat: bool = False,
    sequential: bool = False,
    **overrides: Any,
) -> SlateEnv | FlatEnv:
    """Build one user of a problem; `overrides` replace keys of its yaml.

    Args:
        problem: its name.
        doc_format: `dense` or `index`.
        render_mode: None or `ansi`.
        flat: observations are vectors, and actions numbers that cannot repeat a candidate (see `envs.flat`).
        sequential: the same, and a slate is chosen in as many steps as it has positions.
        overrides: keys of the yaml.

    Raises:
        ConfigError: a key or value the problem does not have or allow.
    """
    from recsys_cli.config.structured import load
    from recsys_cli.envs.flat import FlatEnv, SequentialEnv
    from recsys_cli.envs.single import SlateEnv

    env = SlateEnv(load("env", problem, **overrides), doc_format, render_mode)
    return SequentialEnv(env) if sequential else FlatEnv(env) if flat else env


def make_vector_env(
    problem: str,
    num_envs: int,
    doc_format: str = "dense",
    render_mode: str | None = None,
    flat: bool = False,
    sequential: bool = False,
    max_episode_steps: int | None = None,
    **overrides: Any,
) -> SlateVectorEnv | FlatVectorEnv:
    """Build `num_envs` users of a problem that step together; arguments as of `make_env`.

    Args:
        problem: its name.
        num_envs: number of users.
        doc_format: `dense` or `index`.
        render_mode: None.
        flat: as for one user.
        sequential: not for users that step together.
        max_episode_steps: steps after which an episode is truncated, if it has not ended before.
        overrides: keys of the yaml.

    Raises:
        ConfigError: a key or value the problem does not have or allow.
    """
    from recsys_cli.config.structured import load
    from recsys_cli.envs.checks import require
    from recsys_cli.envs.flat import FlatVectorEnv

    alone = "is for single users; allowed here: vectorization_mode='sync'"
    require(render_mode is None, f"render_mode={render_mode!r} {alone}, or None")
    require(not sequential, f"sequential={sequential} {alone}, or flat=True")
    users = load("env", problem, **overrides).make_vec(num_envs, doc_format=doc_format)
    if max_episode_steps is not None:
        require(max_episode_steps > 0, f"max_episode_steps={max_episode_steps} must be at least 1")
        users.truncate_after(max_episode_steps)
    return FlatVectorEnv(users) if flat else users
