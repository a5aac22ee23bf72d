"""What the yaml files offer: groups, options, keys and their comments, read without a yaml library.

Help and completion must answer at once and need the comments, which yaml parsers drop. So the files are read
line by line, which their plain form allows: block mappings, one key a line, comments behind or above.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from recsys_cli.config import folders
from recsys_cli.config.paths import conf_dir

_KEY = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z_]\w*):(?: +(?P<rest>.*))?$")
_BASE = re.compile(r" *- +(?P<root>[a-z]\w*) *$")
_DEFAULT = re.compile(r" *- +(?P<optional>optional +)?(?:override +)?/?(?P<group>\w+): *(?P<option>[^\s#]+)")


@dataclass(frozen=True)
class Key:
    """One key of a yaml: dotted name, value as written (empty for a mapping), comment."""

    name: str
    value: str
    comment: str


@dataclass(frozen=True)
class Default:
    """One entry of a defaults list: group, chosen option (None for null), whether null is allowed."""

    group: str
    option: str | None
    optional: bool


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
    """Return the folders that options lie in: this package's, then the user's own."""
    return [conf_dir(), *folders.named()]


def option_names(group: str) -> list[str]:
    """Return the options of a group: its yaml files, those in folders too; `_name` files are parts of others."""
    found = set()
    for folder in (layer / group for layer in _layers()):
        files = (path for path in folder.rglob("*.yaml") if not path.name.startswith("_"))
        found |= {path.relative_to(folder).with_suffix("").as_posix() for path in files}
    return sorted(found)


def root_names() -> list[str]:
    """Return the commands that have a root yaml."""
    return sorted(path.stem for path in conf_dir().glob("*.yaml"))


def option_path(group: str, option: str) -> Path:
    """Return the yaml file of an option; of one that is not there, where this package would have it."""
    paths = [layer / group / f"{option}.yaml" for layer in _layers()]
    return next((path for path in paths if path.is_file()), paths[0])


def root_path(root: str) -> Path:
    """Return the yaml file of a root."""
    return conf_dir() / f"{root}.yaml"


def target(path: Path) -> str:
    """Return the class that a yaml's `_target_` names, or an empty text."""
    named = (line.partition(":")[2] for line in _lines(path) if line.startswith("_target_:"))
    return next(named, "").partition("#")[0].strip()


def _head(path: Path) -> list[str]:
    """Return the comment lines that a file opens with, Hydra's `@package` line left out."""
    head = []
    for line in _lines(path):
        if not line.startswith("#"):
            break
        if "@package" not in line:
            head.append(line.lstrip("# ").rstrip())
    return head


def headline(path: Path) -> str:
    """Return the one-line description a yaml opens with; in a preset it follows the command that runs it."""
    return next((line for line in _head(path) if not line.startswith("recsys ")), "")


def example(path: Path) -> str | None:
    """Return the command a preset opens with."""
    return next((line for line in _head(path) if line.startswith("recsys ")), None)


def bases(path: Path) -> list[Path]:
    """Return the roots that a root takes over: entries of its defaults list that are no group."""
    if path.parent != conf_dir():
        return []
    return [root_path(match["root"]) for line in _lines(path) if (match := _BASE.match(line))]


def defaults(path: Path) -> list[Default]:
    """Return the groups that a yaml's defaults list chooses, in order; those of a root taken over first."""
    found = [default for base in bases(path) for default in defaults(base)]
    for line in _lines(path):
        if match := _DEFAULT.match(line):
            option = None if match["option"] == "null" else match["option"]
            found.append(Default(match["group"], option, bool(match["optional"])))
    return found


def all_defaults() -> list[Default]:
    """Return the groups that the roots choose, the root with the most of them first."""
    listed = [defaults(root_path(root)) for root in root_names()]
    return [default for found in sorted(listed, key=len, reverse=True) for default in found]


def keys(path: Path) -> list[Key]:
    """Return the keys of a yaml in order, nested ones dotted, without `_target_` and the defaults list.

    Those of a root taken over come first.
    """
    found = [key for base in bases(path) for key in keys(base)]
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
