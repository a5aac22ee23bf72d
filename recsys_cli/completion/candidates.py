"""What may come next on the command line, from yaml files, sources and run folders; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from recsys_cli import commands
from recsys_cli.completion import shells
from recsys_cli.config import catalog, folders
from recsys_cli.config.annotations import choices, limits
from recsys_cli.config.words import take_option

Candidate = tuple[str, str]
_MAPPINGS = ("", "{}")
_OWN_FOLDER = (folders.OPTION, "a folder with your own problems and algorithms")
_PATHS = ("checkpoint", "from", "resume", "output", "output_dir", "data", "data_dir", "mapping")
_RUNS = ("checkpoint", "resume", "from")


def candidates(words: Sequence[str]) -> list[Candidate]:
    """Return the candidates for the last word, each with a short description.

    A candidate ending in `=`, `.` or `/` is to be continued; any other is complete.

    Args:
        words: the words after `recsys` up to the cursor, the last one being typed, perhaps empty.
    """
    *before, current = words or [""]
    flag, equals, value = current.partition("=")
    if before and before[-1] == folders.OPTION:
        return [(path, "") for path in _folders(current)]
    if equals and flag == folders.OPTION:
        return [(f"{flag}={path}", "") for path in _folders(value)]
    before, own = take_option(before, folders.OPTION)
    with folders.using(own):
        return [(text, about) for text, about in _offered(before, current) if text.startswith(current)]


def _offered(before: Sequence[str], current: str) -> Iterator[Candidate]:
    if not before:
        yield from ((name, commands.summary(name)) for name in commands.command_names())
        if current.startswith("-"):
            yield from (("--help", "overview of commands"), ("--version", "the version of recsys"), _OWN_FOLDER)
    elif before[0] == "help":
        yield from ((name, commands.summary(name)) for name in commands.command_names())
    elif current.startswith("-"):
        yield "--help", "what the command does, its groups and its keys"
        if before[0] in catalog.root_names():
            yield "--cfg", "print the config and stop: --cfg job"
        yield _OWN_FOLDER
    elif before[-1] == "--cfg":
        yield "job", "the whole config"
    elif before[0] == "completion":
        yield from ((shell, "") for shell in shells())
    elif before[0] == "list":
        yield from _listable(current)
    elif before[0] in catalog.root_names():
        yield from _overrides(before[0], before[1:], current)


def _listable(current: str) -> Iterator[Candidate]:
    group, equals, _ = current.partition("=")
    if equals:
        yield from _options(group)
    for group in catalog.group_names():
        yield group if group.endswith("s") else f"{group}s", ""
        yield f"{group}=", ""


def _overrides(root: str, before: Sequence[str], current: str) -> Iterator[Candidate]:
    plus = current[: len(current) - len(current.lstrip("+"))]
    key, equals, value = current.removeprefix(plus).partition("=")
    groups = catalog.defaults(catalog.root_path(root))
    if equals and key in [default.group for default in groups]:
        offered = _options(key)
    elif equals:
        offered = _values(root, before, key, value)
    else:
        offered = _names(root, before, key, groups)
    yield from ((plus + text, about) for text, about in offered)


def _options(group: str) -> Iterator[Candidate]:
    for option in catalog.option_names(group):
        yield f"{group}={option}", catalog.headline(catalog.option_path(group, option))


def _values(root: str, before: Sequence[str], key: str, value: str) -> Iterator[Candidate]:
    if key in (*_PATHS, *_RUNS):
        found = dict(_runs(root, before, key, value)) if key in _RUNS else {}
        found |= {name: "data set" for name in _data_sets(root, before)} if key == "data" else {}
        if key in _PATHS:
            found |= {path: "" for path in _paths(value) if path.rstrip("/") not in found}
        yield from ((f"{key}={text}", about) for text, about in found.items())
        return
    group, _, name = key.partition(".")
    values = dict.fromkeys(choices(catalog.root_path(root)).get(key, ()))
    for path in _files(root, before, group) if name else ():
        values |= dict.fromkeys(choices(path).get(name, ()))
    if set(values) != {"null"}:  # any text, or null: nothing to choose from
        yield from ((f"{key}={choice}", "") for choice in values)


def _runs(root: str, before: Sequence[str], key: str, value: str) -> Iterator[Candidate]:
    from recsys_cli.completion.runs import named

    return named(root, key, value, _folder(root, before, "output_dir"))


def _data_sets(root: str, before: Sequence[str]) -> list[str]:
    """Return the names of the data sets there are; `recsys import` takes none."""
    if root == "import":
        return []
    return sorted(path.parent.name for path in _folder(root, before, "data_dir").glob("*/dataset.yaml"))


def _folder(root: str, before: Sequence[str], key: str) -> Path:
    """Return the folder that a key was set to, or its default."""
    defaults = [each.value for each in catalog.keys(catalog.root_path(root)) if each.name == key]
    typed = [word.partition("=")[2].strip("'\"") for word in before if word.startswith(f"{key}=")]
    return Path([*defaults, *typed][-1]).expanduser()


def _names(root: str, before: Sequence[str], current: str, groups: Sequence[catalog.Default]) -> Iterator[Candidate]:
    """Yield one level of keys: those of the root, or those below the dots typed so far."""
    at = current.rpartition(".")[0]
    if not at:
        yield from ((f"{default.group}=", f"default: {default.option or 'none'}") for default in groups)
    prefix = f"{at}." if at else ""
    steps: dict[str, str] = {}
    for name, about in _keys(root, before, at.partition(".")[0]):
        if name.startswith(prefix):
            step, dot, _ = name.removeprefix(prefix).partition(".")
            steps.setdefault(step + (dot or "="), f"keys of {prefix}{step}" if dot else about)
    yield from ((prefix + step, about) for step, about in steps.items())


def _keys(root: str, before: Sequence[str], group: str) -> Iterator[Candidate]:
    """Yield all dotted keys of the root, and those of each group's chosen option."""
    yield from _described(catalog.root_path(root), "")
    for each in [group] if group else catalog.group_names():
        for path in _files(root, before, each):
            yield from _described(path, f"{each}.")


def _described(path: Path, at: str) -> Iterator[Candidate]:
    """Yield the keys of a yaml, each with comment, range and default."""
    allowed = limits(path)
    for key in catalog.keys(path):
        if key.value not in _MAPPINGS and not catalog.named_by(at + key.name):
            words = allowed.get(key.name)
            about = key.comment + (f" [{words}]" if words else "")
            yield at + key.name, f"{about} ({key.value})" if about else key.value


def _files(root: str, before: Sequence[str], group: str) -> list[Path]:
    """Return the yaml of a group's chosen option; of all options if the root opens the group (evaluate's `env: {}`)."""
    chosen = {default.group: default for default in catalog.defaults(catalog.root_path(root))}
    if group not in chosen:
        opened = [key.name for key in catalog.keys(catalog.root_path(root)) if key.value == "{}"]
        return [catalog.option_path(group, option) for option in catalog.option_names(group) if group in opened]
    option = chosen[group].option
    for word in before:
        name, _, value = word.lstrip("+").partition("=")
        if name == group:
            option = value
        elif name in chosen and catalog.holds_presets(name):  # a preset may choose for other groups
            listed = catalog.defaults(catalog.option_path(name, value))
            option = next((default.option for default in reversed(listed) if default.group == group), option)
    if not option or catalog.holds_presets(group):
        return []
    return [catalog.option_path(group, option)]


def _folders(typed: str) -> Iterator[str]:
    return (path for path in _paths(typed) if path.endswith("/") and path.startswith(typed))


def _paths(typed: str) -> Iterator[str]:
    folder, _, _ = typed.rpartition("/")
    head = f"{folder}/" if "/" in typed else ""
    try:
        found = sorted(Path(head or ".").expanduser().iterdir())
    except OSError:
        return
    for path in found:
        if not path.name.startswith("."):
            yield head + path.name + ("/" if path.is_dir() else "")
