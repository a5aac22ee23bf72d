"""The texts of `recsys --help` and `recsys <command> --help`, from docstrings and yaml comments."""

from __future__ import annotations

from recsys_cli import __version__, commands
from recsys_cli.config import catalog, describe

_OVERVIEW = """\
recsys {version}: reinforcement learning for recommender systems

usage: recsys <command> [group=option ...] [key=value ...]

Commands:
{commands}

Examples:
{examples}

  recsys <command> --help     what a command does, its groups and keys
  recsys list                 all problems, algorithms and presets
  recsys --config-dir <folder> ...  add your own: yamls such as env/my_problem.yaml, and their modules
  recsys completion --help    set up Tab completion
"""

_OPTIONS = (
    ("--config-dir <folder>", "add your own problems, algorithms and presets"),
    ("--cfg job", "print the resulting config and stop"),
    ("-h, --help", "print this text"),
)


def overview() -> str:
    """Return the text of `recsys --help`: one line per command, and the first examples of each root."""
    names = commands.command_names()
    rows = [(name, commands.summary(name)) for name in names]
    examples = [_examples(name)[:2] for name in sorted(catalog.root_names(), reverse=True) if name in names]
    lines = [f"  {line}" for listed in examples for line in listed]
    return _OVERVIEW.format(
        version=__version__, commands=describe.table(rows, 2), examples="\n".join(lines) or "  recsys list"
    ).rstrip()


def command(name: str) -> str:
    """Return the text of `recsys <name> --help`."""
    about, _, examples = commands.docstring(name).partition("\nExamples:\n")
    has_root = name in catalog.root_names()
    usage = f"usage: recsys {name} " + ("[group=option ...] [key=value ...]" if has_root else "[words ...]")
    parts = [f"recsys {name}: {about.strip()}", usage]
    if has_root:
        parts += [_groups(name), _keys(name), _section("Options", describe.table(_OPTIONS, 2))]
    if examples:
        parts.append(_section("Examples", "\n".join(f"  {line}" for line in _examples(name))))
    return "\n\n".join(part for part in parts if part)


def _section(title: str, body: str) -> str:
    return f"{title}:\n{body}"


def _examples(name: str) -> list[str]:
    _, _, listed = commands.docstring(name).partition("\nExamples:\n")
    return [line.strip() for line in listed.splitlines() if line.strip()]


def _groups(root: str) -> str:
    blocks = []
    for default in catalog.defaults(catalog.root_path(root)):
        title = f"  {default.group}=" + ("" if default.option else "  (none by default)")
        blocks.append(f"{title}\n{describe.options(default.group, default.option, 4)}")
    if not blocks:
        return ""
    hint = "Groups (* is the default; keys of an option: recsys list <group>=<option>)"
    return _section(hint, "\n".join(blocks))


def _keys(root: str) -> str:
    return _section("Keys", describe.keys(catalog.root_path(root)))
