"""From command-line overrides to a typed config: Hydra composes, the schemas check."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recsys_cli.config import catalog, folders, own_classes, own_options, structured
from recsys_cli.config.errors import ConfigError, about_length, closest, one_line
from recsys_cli.config.memory import check_training
from recsys_cli.config.overrides import Option, read, resolve
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.resources import check_resources
from recsys_cli.config.types import convert, show


def compose(root: str, overrides: Sequence[str]) -> Any:
    """Compose `conf/<root>.yaml` with overrides and return the root's typed object, fully checked.

    Args:
        root: the command, such as `train`.
        overrides: words in Hydra's grammar, such as `["env=long_term_satisfaction", "algo.lr=1e-3"]`.

    Returns:
        An object of the dataclass named by the root's `_target_` (`TrainConfig`, `EvaluateConfig`).

    Raises:
        ConfigError: the request is invalid, in one line.
    """
    return Composer(root)(overrides)


class Composer:
    """Composes one root repeatedly; groups composed before are not read again."""

    def __init__(self, root: str) -> None:
        """Compose nothing yet."""
        self.root = root
        self._groups: dict[tuple[str, ...], tuple[dict[str, Any], dict[str, Option]]] = {}

    def __call__(self, overrides: Sequence[str]) -> Any:
        """Do as `compose`."""
        request = read(overrides, self.root)
        values, chosen = self._compose_groups(request.options)
        if (origin := values.pop(structured.ORIGIN, None)) is not None:
            raise ConfigError(f"from={origin}: where a training starts is said on the command line, not in a yaml")
        values.get("algo", {}).pop(structured.SPACE, None)
        merge = _Merge(values, chosen)
        for key, value in request.values:
            merge(_nested(key, value))
        resolved = resolve(values)
        _refuse_missing(resolved, self.root, chosen)
        if "algo" in chosen and resolved.get("data") is not None:
            named = "env" in request.options or any(key.split(".")[0] == "env" for key, _ in request.values)
            _learn_from_data(resolved, named)
        built = structured.build_as(structured.schema_of(resolved["_target_"]), resolved, "")
        _check_together(built)
        if "algo" in chosen and hasattr(built, "steps") and not chosen.get("debug"):  # which learns nothing, on purpose
            share = min(built.env.shares.values(), default=1.0) if built.policies == "own" else 1.0
            built.learner.check_steps(int(share * built.steps))
        return built

    def space(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Return the search space in the chosen algorithm's yaml, empty if it has none."""
        values, _ = self._compose_groups(read(overrides, self.root).options)
        return dict(values.get("algo", {}).get(structured.SPACE) or {})

    def _compose_groups(self, options: Mapping[str, Option]) -> tuple[dict[str, Any], dict[str, Option]]:
        key = tuple(f"{group}={show(option)}" for group, option in options.items())
        if key not in self._groups:
            self._groups[key] = _compose_groups(self.root, options)
        values, chosen = self._groups[key]
        return deepcopy(values), chosen


def apply_env_overrides(saved: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's env values with changes applied; `structured.build` checks the result.

    Args:
        saved: the env's plain values, such as `TrainConfig.to_dict()["env"]`.
        changes: nested values, such as `EvaluateConfig.env`.

    Raises:
        ConfigError: a changed key that the env does not have.
    """
    merged = {"env": deepcopy(dict(saved))}
    _Merge(merged, {})({"env": changes})
    return merged["env"]


def merge_changes(saved: Mapping[str, Any], changes: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a saved root's plain values with dotted keys set, `${...}` among the new values resolved.

    Raises:
        ConfigError: a key that the saved values do not have, or `${...}` that names nothing.
    """
    merged = deepcopy(dict(saved))
    merge = _Merge(merged, {})
    for key, value in changes:
        merge(_nested(key, value))
    return resolve(merged)


def _compose_groups(root: str, options: Mapping[str, Option]) -> tuple[dict[str, Any], dict[str, Option]]:
    """Let Hydra compose a root with the requested options; return its values and every group's option."""
    words = [f"{group}={show(option)}" for group, option in options.items() if option]
    for group, option in options.items():
        for one in [option] if isinstance(option, str) else option or []:
            own_options.check_option(group, one)
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir()), job_name="recsys"):
            config = hydra_compose(root, overrides=[*words, _search_path()], return_hydra_config=True)
        chosen = {group: option for group, option in config.hydra.runtime.choices.items() if "/" not in group}
        OmegaConf.set_struct(config, False)
        del config["hydra"]
        values = OmegaConf.to_container(config, resolve=False)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{' '.join(words) or root}: {one_line(error)}") from None
    assert isinstance(values, dict)
    for group, option in chosen.items():
        if isinstance(values.get(group), dict) and isinstance(option, str):
            values[group] = structured.named(values[group], catalog.option_path(group, option))
            values[group] = structured.with_options(values[group], group)
    return {str(key): value for key, value in values.items()}, chosen


def _search_path() -> str:
    """Return the override that adds the user's own folders to Hydra's search path."""
    quoted = [str(folder).replace("\\", "\\\\").replace("'", "\\'") for folder in folders.named()]
    return "hydra.searchpath=[" + ",".join(f"'file://{folder}'" for folder in quoted) + "]"


def _nested(key: str, value: Any) -> dict[str, Any]:
    """Return `{"a": {"b": value}}` for `a.b`."""
    for name in reversed(key.split(".")):
        value = {name: value}
    nested: dict[str, Any] = value
    return nested


def _dotted(values: Mapping[str, Any], at: str = "") -> Iterator[str]:
    for key, value in values.items():
        if key != structured.TARGET:
            yield f"{at}{key}"
            if isinstance(value, Mapping):
                yield from _dotted(value, f"{at}{key}.")


@dataclass
class _Merge:
    """Applies changes to nested values; only existing keys may be set, except below an empty mapping."""

    values: dict[str, Any]
    chosen: Mapping[str, Option]

    def __post_init__(self) -> None:
        self.allowed = list(_dotted(self.values))
        self.opened = {key for key in self.allowed if self._at(key) == {}}

    def __call__(self, changes: Mapping[str, Any]) -> None:
        """Merge nested changes.

        Raises:
            ConfigError: an unknown key, with its full name and the closest one.
        """
        self._merge(self.values, changes, "")

    def _at(self, key: str) -> Any:
        value: Any = self.values
        for name in key.split("."):
            value = value[name]
        return value

    def _merge(self, into: dict[str, Any], changes: Mapping[str, Any], at: str) -> None:
        for key, value in changes.items():
            full = f"{at}{key}"
            if key == structured.TARGET:
                raise ConfigError(f"{full} cannot be set")
            if (group := catalog.named_by(full)) is not None:
                another = f"; {group}=<option> chooses another" if group in self.chosen else ""
                raise ConfigError(f"{full}={show(value)}: a name cannot be set{another}")
            if key not in into and not any(full.startswith(f"{opened}.") for opened in self.opened):
                raise ConfigError(self._unknown(full, value))
            if isinstance(into.get(key), dict) and isinstance(value, Mapping):
                self._merge(into[key], value, f"{full}.")
            else:
                into[key] = value

    def _unknown(self, full: str, value: Any) -> str:
        while isinstance(value, Mapping) and len(value) == 1:  # `algo.a.b=1` if `algo.a` is already unknown
            ((name, value),) = value.items()
            full = f"{full}.{name}"
        group, dot, _ = full.partition(".")
        option = self.chosen.get(group)
        where = f" with {group}={show(option)}" if dot and option is not None else ""
        near = about_length(full) or closest(full, [key for key in self.allowed if not dot or self._is_leaf(key)])
        return f"{full} is unknown{where}." + (near or self._siblings(full))

    def _is_leaf(self, key: str) -> bool:
        return not isinstance(self._at(key), dict)

    def _siblings(self, full: str) -> str:
        at = full.rpartition(".")[0]
        keys = [key.rpartition(".")[2] for key in self.allowed if key.rpartition(".")[0] == at]
        return f" Keys{at and f' of {at}'}: {', '.join(keys)}" if keys else self._siblings(at)


def _learn_from_data(values: dict[str, Any], simulated: bool) -> None:
    """Let `env` be the problem of the log, with the simulator that was named, if one was."""
    problem = importlib.import_module("recsys_cli.offline.problem")  # of a layer above; only now is it needed
    data = convert(values["data"], str, "data")
    values["env"] = problem.logged_values(data, str(values["data_dir"]), values["env"] if simulated else None)
    values["data"] = values["env"]["data"]


def _refuse_missing(values: Mapping[str, Any], root: str, chosen: Mapping[str, Option], at: str = "") -> None:
    for key, value in values.items():
        full = f"{at}{key}"
        if isinstance(value, Mapping):
            _refuse_missing(value, root, chosen, f"{full}.")
        elif value == structured.MISSING:
            about = _comment(full, root, chosen)
            raise ConfigError(f"{full} is required: set {full}=<value>" + (f", {about}" if about else ""))


def _comment(full: str, root: str, chosen: Mapping[str, Option]) -> str:
    """Return the yaml's comment on a key."""
    group, _, name = full.partition(".")
    option = chosen.get(group)
    in_group = isinstance(option, str) and bool(name)
    path = catalog.option_path(group, str(option)) if in_group else catalog.root_path(root)
    comments = {key.name: key.comment for key in catalog.keys(path)}
    return comments.get(name if in_group else full, "")


def _check_together(built: Any) -> None:
    """Check groups against each other: algorithm against env, resources against this machine."""
    env, algo = getattr(built, "env", None), getattr(built, "algo", None)
    if env is not None and hasattr(env, "try_out") and own_classes.is_own(type(env)):
        with own_classes.reported_in_one_line(type(env).__module__):
            env.try_out()
    if env is not None and algo is not None and hasattr(algo, "check"):
        if hasattr(built, "data"):
            _check_source(algo, built.data)
        if hasattr(built, "check_policies"):
            built.check_policies()
        getattr(built, "learner", algo).check(env.spec)
    if hasattr(built, "check_reports"):
        built.check_reports()
        check_machine(built)


def _check_source(algo: Any, data: str | None) -> None:
    """Refuse an algorithm that does not learn from what it is given."""
    source = "env" if data is None else "data"
    if source in algo.learns_from:
        return
    if source == "env":
        raise ConfigError(f"algo={algo.name} learns from logged data only: set data=<data set>")
    able = [name for name in catalog.option_names("algo") if "data" in _learns_from(name)]
    raise ConfigError(f"algo={algo.name} learns by playing only, not from data={data}; from data: {', '.join(able)}")


def _learns_from(option: str) -> tuple[str, ...]:
    target = catalog.target(catalog.option_path("algo", option))
    found: tuple[str, ...] = structured.schema_of(target).learns_from  # type: ignore[attr-defined]
    return found


def check_machine(config: Any) -> None:
    """Refuse a training that the algorithm or this machine has no room for; a Ray cluster's is not known.

    Raises:
        ConfigError: with the keys, what they need and what there is.
    """
    resources = config.resources
    check_resources(resources, config.framework)
    config.learner.check_resources(resources, config.framework)
    if resources.ray_address is None:
        check_training(config, min(resources.trials_at_once(), config.seeds))
