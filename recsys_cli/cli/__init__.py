"""The `recsys` program: dispatch, help, errors. Imports nothing heavy."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

from recsys_cli import commands
from recsys_cli.cli import helptext
from recsys_cli.config import catalog, folders, own_options
from recsys_cli.config.errors import ConfigError, closest, one_line
from recsys_cli.config.words import refuse_repeated, take_option

OK, FAILURE, USAGE, INTERRUPTED = 0, 1, 2, 130
HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        argv: the words after `recsys`; None: those of this process.

    Returns:
        The command's exit code; 2 for an invalid request; 1 for what else went wrong; 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(words)
    except ConfigError as error:
        print(f"recsys: error: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        print(f"recsys: error: {_file_error(error)}", file=sys.stderr)
        return FAILURE
    except Exception as error:
        print(f"recsys: error: {_bug(error)}", file=sys.stderr)
        return FAILURE


def _file_error(error: OSError) -> str:
    """Return the line about a file, a disk or a network that does not do what it should."""
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' -> '.join(names)}: {error.strerror}" if names and error.strerror else str(error) or repr(error)


def _bug(error: Exception) -> str:
    """Return the line about an error that should not have come so far; its traceback goes to a file."""
    with tempfile.NamedTemporaryFile("w", prefix="recsys-error-", suffix=".txt", delete=False) as file:
        file.write("".join(traceback.format_exception(error)))
    return f"{type(error).__name__}: {one_line(error)}. That is a bug of recsys; please report it with {file.name}"


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["__complete"]:
        from recsys_cli.completion import complete

        return complete(words[1:])
    words, own = take_option(words, folders.OPTION)
    with folders.using(own):
        own_options.check_folders()
        return _run(words)


def _run(words: list[str]) -> int:
    command, *rest = words or ["--help"]
    if command in (*HELP, "help"):
        return _print(helptext.command(_known(rest[0])) if rest else helptext.overview())
    if command in ("-V", "--version"):
        from recsys_cli import __version__

        return _print(f"recsys {__version__}")
    _known(command)
    if any(word in HELP for word in rest):
        return _print(helptext.command(command))
    refuse_repeated(rest)
    if any(word.partition("=")[0] == "--cfg" for word in rest):
        return _print_config(command, rest)
    return commands.load(command)(rest)


def _known(command: str) -> str:
    names = commands.command_names()
    if command in names:
        return command
    if "=" in command:
        raise ConfigError(f"{command}: a command comes first, as in 'recsys train {command}'")
    near = closest(command, names)
    kind = "an option" if command.startswith("-") else "a command"
    raise ConfigError(f"{command} is not {kind}. Commands: {', '.join(names)}{near and '.' + near}")


def _print_config(command: str, words: list[str]) -> int:
    """Print the resolved config instead of running the command."""
    if command not in catalog.root_names():
        raise ConfigError(f"--cfg: 'recsys {command}' has no config to print")
    return _print(commands.composer(command)(_without_cfg(words)).to_yaml().rstrip())


def _without_cfg(words: list[str]) -> list[str]:
    rest, asked = take_option(words, "--cfg")
    for what in asked:
        if what != "job":
            raise ConfigError(f"{f'--cfg {what}'.rstrip()}: write --cfg job, which prints the whole config")
    return rest


def _print(text: str) -> int:
    print(text)
    return OK
