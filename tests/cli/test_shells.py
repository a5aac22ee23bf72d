"""Completion typed into the shells themselves, on a pseudo-terminal: what would a person's Tab key do?"""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys_cli.completion import script, shells

# Stands for `recsys`: completes as the real one does, and shows the words of any other command line.
PROGRAM = """#!/bin/sh
case "$1" in __complete | completion) exec "{python}" -m recsys_cli "$@" ;; esac
printf 'WO''RDS'
printf '<%s>' "$@"
echo END
"""
PROMPT, END = b"READY>", b">END"
STARTUP = {
    "bash": ("rc", 'eval "$(recsys completion bash)"\nPS1="READ""Y>"\n'),
    "zsh": (".zshrc", 'eval "$(recsys completion zsh)"\nPS1="READ""Y>"\n'),
    "fish": (
        "fish/config.fish",
        "function fish_prompt; printf READ; printf 'Y>'; end\nset -g fish_greeting\nrecsys completion fish | source\n",
    ),
}
START = {
    "bash": ["bash", "--noprofile", "--rcfile", "{home}/rc", "-i"],
    "zsh": ["zsh", "-i"],
    "fish": ["fish", "-i"],
}
TYPED = [
    ("recsys li\tenvs", "<list><envs>"),
    ("recsys train env=long\tseeds=2", "<train><env=long_term_satisfaction><seeds=2>"),
    ("recsys train env=inter\tvol\t", "<train><env=interest_evolution>"),
    ("recsys train env=long\tenv.sens\t0.2", "<train><env=long_term_satisfaction><env.sensitivity=0.2>"),
    ("A=1 recsys train algo.network.ki\tcon\t+exp\tqui\t", "<algo.network.kind=concat><+experiment=quick_look>"),
    ("recsys train --cf\tj\t", "<train><--cfg><job>"),
    ("echo a:b=c; recsys evaluate ch\tmodels:/x/1 env.slate_si\t3", "<checkpoint=models:/x/1><env.slate_size=3>"),
]


def _type(argv: list[str], env: dict[str, str], line: str) -> str:
    """Start an interactive shell, type a line and Enter, and return all it showed."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe(argv[0], argv, env)
    shown = b""
    try:
        for keys, mark in ((b"", PROMPT), (line.encode() + b"\r", END)):
            os.write(terminal, keys)
            given_up = time.monotonic() + 30
            while mark not in shown and time.monotonic() < given_up:
                if select.select([terminal], [], [], 0.1)[0]:
                    shown += os.read(terminal, 65536)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)
    return shown.decode(errors="replace")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    program = tmp_path / "bin" / "recsys"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    home = {"HOME": str(tmp_path), "ZDOTDIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    path = f"{program.parent}:{os.environ['PATH']}"
    return {**os.environ, **home, "PATH": path, "TERM": "xterm", "INPUTRC": "/dev/null"}


@pytest.mark.parametrize("shell", shells())
@pytest.mark.parametrize(("line", "expected"), TYPED, ids=[line.replace("\t", "<Tab>") for line, _ in TYPED])
def test_tab_completes(shell: str, line: str, expected: str, environment: dict[str, str], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    name, text = STARTUP[shell]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    shown = _type([word.format(home=tmp_path) for word in START[shell]], environment, line)
    assert expected in shown.rpartition("WORDS")[2]


@pytest.mark.parametrize("shell", shells())
def test_script_is_printed_and_asks_the_program(run_cli, shell: str) -> None:
    assert run_cli("completion", shell).out == script(shell)
    assert " __complete " in script(shell)


@pytest.mark.parametrize("word_breaks", ["\"'><=;|&(:", "\"'><;|&("], ids=["default", "without = and :"])
def test_bash_replies_with_what_follows_the_last_word_break(word_breaks: str, environment: dict[str, str]) -> None:
    line = "recsys train env=long"
    code = f"""
        eval "$(recsys completion bash)"
        COMP_WORDBREAKS={shlex.quote(word_breaks)} COMP_LINE={line!r} COMP_POINT={len(line)}
        COMP_WORDS=(recsys train env = long) COMP_CWORD=4
        _recsys_complete recsys long =
        printf '[%s]' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == ("[long_term_satisfaction ]" if "=" in word_breaks else "[env=long_term_satisfaction ]")
