"""The groups, options, keys and comments of the yaml files, read without a yaml library.

Help and completion must be fast and need the comments, which yaml parsers drop. So the files are read line by line,
which their plain form allows: block mappings, one key per line, comments after or above it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from recsys_cli.config import folders
from recsys_cli.config.paths import conf_dir

_KEY = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z_]\w*):(?: +(?P<rest>.*))?$")
_DEFAULT = re.compile(r"(?:optional +)?(?:override +)?/?(?P<group>\w+): *(?P<option>\S+)")
PRESET = "# @package _global_"
SELF = "_self_"


@dataclass(frozen=True)
class Key:
    """One key of a yaml: dotted name, value as written (empty for a mapping), comment."""

    name: str
    value: str
    comment: str

    @property
    def group(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Default:
    """One entry of a defaults list: group and chosen option (None for null)."""

    group: str
    option: str | None


@cache
def _lines(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except FileNotFoundError:
        return ()


def group_names() -> list[str]:
    """Return the config groups: the folders of `conf`."""
    return sorted(path.name for path in conf_dir().iterdir() if path.is_dir() and any(path.glob("*.yaml")))


def _layers() -> list[Path]:
    """Return the folders of options: this package's, then the user's own."""
    return [conf_dir(), *folders.named()]


def option_names(group: str) -> list[str]:
    """Return the options of a group: its yaml files, also in subfolders; `_name` files are parts of others."""
    found = set()
    for folder in (layer / group for layer in _layers()):
        files = (path for path in folder.rglob("*.yaml") if not path.name.startswith("_"))
        found |= {path.relative_to(folder).with_suffix("").as_posix() for path in files}
    return sorted(found)


def named_by(key: str) -> str | None:
    """Return the group whose chosen option a key names, as `env` for `env.name`; None for any other key."""
    group, _, name = key.partition(".")
    return group if name == "name" and group in group_names() else None


def root_names() -> list[str]:
    """Return the commands that have a root yaml."""
    return sorted(path.stem for path in conf_dir().glob("*.yaml"))


def option_path(group: str, option: str) -> Path:
    """Return the yaml file of an option; if it does not exist, its would-be path in this package."""
    paths = [layer / group / f"{option}.yaml" for layer in _layers()]
    return next((path for path in paths if path.is_file()), paths[0])


def root_path(root: str) -> Path:
    """Return the yaml file of a root."""
    return conf_dir() / f"{root}.yaml"


def target(path: Path) -> str:
    """Return the class named by a yaml's own or inherited `_target_`, else an empty string."""
    files = reversed(lineage(path))
    named = (line.partition(":")[2] for file in files for line in _lines(file) if line.startswith("_target_:"))
    return next(named, "").partition("#")[0].strip()


def is_preset(path: Path) -> bool:
    """Whether a yaml sets keys of a root instead of its own group's."""
    return PRESET in _lines(path)


def holds_presets(group: str) -> bool:
    """Whether a group's options are presets, of which several may be chosen at once."""
    return any(map(is_preset, (conf_dir() / group).rglob("*.yaml")))


def _head(path: Path) -> list[str]:
    """Return the leading comment lines of a file, without Hydra's `@package` line."""
    head = []
    for line in _lines(path):
        if not line.startswith("#"):
            break
        if "@package" not in line:
            head.append(line.lstrip("# ").rstrip())
    return head


def headline(path: Path) -> str:
    """Return the one-line description at the top of a yaml; in a preset it follows the command that runs it."""
    return next((line for line in _head(path) if not line.startswith("recsys ")), "")


def example(path: Path) -> str | None:
    """Return the command at the top of a preset."""
    return next((line for line in _head(path) if line.startswith("recsys ")), None)


def entries(path: Path) -> list[str]:
    """Return the entries of a yaml's defaults list as written: `[a, _self_]`, or one per line."""
    found: list[str] = []
    inside = False
    for line in _lines(path):
        body = line.partition(" #")[0].strip()
        if line.startswith("defaults:"):
            inside = True
            found += body.partition(":")[2].strip(" []").split(",")
        elif inside and body.startswith("-"):
            found.append(body[1:])
        elif inside and body and not body.startswith("#"):
            break
    return [entry.strip(" '\"") for entry in found if entry.strip()]


def parent(path: Path, name: str) -> Path:
    """Return the yaml named by an entry of a defaults list: of the same group, or for a root another root."""
    if path.parent == conf_dir():
        return root_path(name)
    folder = next((folder for folder in _layers() if path.is_relative_to(folder)), path.parent)
    return option_path(path.relative_to(folder).parts[0], name)


def parents(path: Path) -> list[Path]:
    """Return the yamls that a yaml inherits from: the entries of its defaults list that name no group."""
    return [parent(path, entry) for entry in entries(path) if entry != SELF and ":" not in entry]


def lineage(path: Path, below: tuple[Path, ...] = ()) -> list[Path]:
    """Return a yaml and all its ancestors, in the order in which they are merged."""
    if path in below:  # an error of the user's own, which `own_options` reports
        return []
    found: list[Path] = []
    order = entries(path)
    for entry in order if SELF in order else [*order, SELF]:
        if entry == SELF:
            found.append(path)
        elif ":" not in entry:
            found += lineage(parent(path, entry), (*below, path))
    return found


def defaults(path: Path) -> list[Default]:
    """Return the groups in a yaml's defaults list, in order, its parents' first."""
    found = []
    for entry in (entry for file in lineage(path) for entry in entries(file)):
        if match := _DEFAULT.match(entry):
            found.append(Default(match["group"], None if match["option"] == "null" else match["option"]))
    return found


def all_defaults() -> list[Default]:
    """Return the groups in the roots' defaults lists, the root with the most first."""
    listed = [defaults(root_path(root)) for root in root_names()]
    return [default for found in sorted(listed, key=len, reverse=True) for default in found]


def keys(path: Path) -> list[Key]:
    """Return the keys of a yaml in order, nested ones dotted, without `_target_` and the defaults list.

    Inherited keys follow, with the value and comment they have here, then `space`; `name` is the file's.
    """
    found: dict[str, Key] = {}
    files = [_own_keys(file) for file in lineage(path)]
    for key in (key for listed in files for key in listed):
        found[key.name] = Key(key.name, key.value, key.comment or found.get(key.name, key).comment)
    if "name" in found and name_of(path):
        found["name"] = Key("name", name_of(path), found["name"].comment)
    order = list(dict.fromkeys(key.group for listed in reversed(files) for key in listed))
    return sorted(found.values(), key=lambda key: (key.group == "space", order.index(key.group)))


def name_of(path: Path) -> str:
    """Return the name of an option that inherits another's keys and sets no name, else an empty string."""
    named = any(key.name == "name" for key in _own_keys(path))
    return "" if named or not parents(path) or path.parent == conf_dir() or is_preset(path) else path.stem


def _own_keys(path: Path) -> list[Key]:
    found: list[Key] = []
    parents: list[tuple[int, str]] = []
    above: list[str] = []
    for line in _lines(path):
        if line.lstrip().startswith("#"):
            above.append(line.strip("# "))
            continue
        if match := _KEY.match(line):
            indent = len(match["indent"])
            parents = [parent for parent in parents if parent[0] < indent]
            name = ".".join([parent[1] for parent in parents] + [match["name"]])
            value, behind = _split_comment(match["rest"] or "")
            found.append(Key(name, value, behind or " ".join(above)))
            if not value:
                parents.append((indent, match["name"]))
        above = []
    return [key for key in found if key.name not in ("defaults", "_target_")]


def _split_comment(rest: str) -> tuple[str, str]:
    value, mark, comment = rest.partition("#") if rest.startswith("#") else rest.partition(" #")
    return value.strip(), comment.strip() if mark else ""
