"""The user's own options: the yamls in the named folders, checked before they are composed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recsys_cli.config import catalog, folders
from recsys_cli.config.errors import ConfigError, closest, one_line
from recsys_cli.config.paths import conf_dir, show_path


def check_folders() -> None:
    """Refuse folders in use that repeat an existing option or hold nothing usable.

    Raises:
        ConfigError: in one line, with the files.
    """
    if not folders.named():
        return
    seen: dict[str, Path] = {}
    for folder in (conf_dir(), *folders.named()):
        files = list(_yamls(folder))
        for file in files:
            name = file.relative_to(folder).as_posix()
            if name in seen:
                raise ConfigError(f"{show_path(file)}: {show_path(seen[name])} already exists: rename yours")
            seen[name] = file
        _refuse_misnamed(folder)
        if not files and not any(folder.glob("*.py")) and not any(folder.glob("*/__init__.py")):
            groups = ", ".join(catalog.group_names())
            raise ConfigError(
                f"{folders.OPTION} {show_path(folder)} holds neither modules nor options; an option's yaml goes in the "
                f"folder of its group, as in env/my_problem.yaml. Groups: {groups}"
            )


def _yamls(folder: Path) -> Iterator[Path]:
    """Yield the yamls that Hydra would find: those of groups, and those named like a command's."""
    for group in catalog.group_names():
        yield from sorted((folder / group).rglob("*.yaml"))
    yield from (path for name in catalog.root_names() if (path := folder / f"{name}.yaml").is_file())


def _refuse_misnamed(folder: Path) -> None:
    for group in catalog.group_names():
        plural = folder / f"{group}s"
        if plural.name not in catalog.group_names() and any(plural.glob("*.yaml")):
            raise ConfigError(f"{show_path(plural)} is not a group's folder. Did you mean {group!r}?")


def check_option(group: str, option: str) -> None:
    """Refuse an own option that is not valid yaml or does not declare what it is.

    Raises:
        ConfigError: in one line that names the file.
    """
    path = catalog.option_path(group, option)
    if path.is_relative_to(conf_dir()):
        return
    values, shown = read_values(path), show_path(path)
    _check_parents(group, path, (path,))
    if catalog.holds_presets(group):
        if not catalog.is_preset(path):
            raise ConfigError(f"{shown}: a preset must start with the line {catalog.PRESET!r}")
        for file in (each for each in catalog.lineage(path) if not each.is_relative_to(conf_dir())):
            _check_preset(file)
        return
    if not catalog.target(path):
        raise ConfigError(f"{shown}: _target_ is missing: it must name the dataclass that checks these keys")
    if values.get("name", path.stem) != path.stem:
        raise ConfigError(f"{shown}: name={values['name']} must be the name of the file, {path.stem}")


def _check_preset(path: Path) -> None:
    """Refuse what would be dropped without a word."""
    values = read_values(path)
    named = [f"{key}.name" for key, value in values.items() if isinstance(value, dict) and "name" in value]
    hydra = [entry for entry in catalog.entries(path) if re.match(r"(override +)?/?hydra\b", entry)]
    refused = [*({"_target_", "hydra"} & set(values)), *hydra, *(key for key in named if catalog.named_by(key))]
    for key in refused:
        raise ConfigError(f"{show_path(path)}: {key!r} cannot be set in a preset")


def _check_parents(group: str, path: Path, below: tuple[Path, ...]) -> None:
    """Refuse a defaults list that Hydra and help read differently, that names nothing, or that is circular."""
    for entry in catalog.entries(path):
        if entry == catalog.SELF or (":" in entry and catalog.holds_presets(group)):
            continue
        parent = catalog.parent(path, entry)
        if not parent.is_file():
            names = catalog.option_names(group)
            near = closest(entry, names) or f" Allowed: {', '.join(names)}"
            raise ConfigError(f"{show_path(path)}: defaults names {entry!r}, which is not an option of {group}.{near}")
        if parent in below:
            raise ConfigError(f"{show_path(path)}: defaults names {entry!r}, which inherits from this file itself")
        if not parent.is_relative_to(conf_dir()):
            read_values(parent)
        _check_parents(group, parent, (*below, parent))


def read_values(path: Path) -> dict[str, Any]:
    """Return an option's values as written, `${...}` included.

    Raises:
        ConfigError: no yaml, or one without keys; names the file.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{show_path(path)}{line}: {one_line(error.problem)}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{show_path(path)} cannot be read: {one_line(error)}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{show_path(path)} holds no keys")
    return {str(key): value for key, value in values.items()}
