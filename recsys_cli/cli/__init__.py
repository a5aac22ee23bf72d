"""The `recsys` program: dispatch, help, errors. Imports nothing heavy."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Sequence

from recsys_cli import commands
from recsys_cli.cli import helptext
from recsys_cli.config import catalog, folders, own_options
from recsys_cli.config.errors import ConfigError, closest
from recsys_cli.config.words import take_option

OK, USAGE, INTERRUPTED = 0, 2, 130
HELP = ("-h", "--help")


def entry() -> None:
    """Run this process's command line and end the process: what `recsys` calls.

    Ctrl-C ends it at once: Python would first let the library that is being imported finish, or even handle the
    exception. A training, which has something to save, changes that while it lasts.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # More threads gain nothing on small matrices, and sums would depend on the machine's cores; a training's torch has
    # `resources.threads`.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe
        code = OK
    # Python would take half a second to unload everything, and abort if a thread is still in a library's C++.
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        argv: the words after `recsys`; None: those of this process.

    Returns:
        The command's exit code; 2 for an invalid request; 130 after Ctrl-C.
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
