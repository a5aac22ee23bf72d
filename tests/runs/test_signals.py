"""Signals to a run: asked to stop, forced to stop, and what trains ending by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys_cli.runs import signals
from recsys_cli.runs.stopping import OnRequest

ENTRY = "import recsys_cli.__main__ as program; print(flush=True); program.entry()"


@pytest.fixture
def stopper() -> OnRequest:
    return OnRequest(idle=lambda: True)


def wait(seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def signalled(*numbers: int) -> None:
    """Send signals to this process, and wait for what comes of them."""
    for number in numbers:
        os.kill(os.getpid(), number)
    wait()


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_the_first_signal_asks_and_the_second_ends(stopper: OnRequest, number: int) -> None:
    said: list[str] = []
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), signals.stop_on_signal(stopper, said.append):
        signalled(number, number)
    assert stopper.requested and len(said) == 1 and said[0].startswith("stopping after the next report")
    assert signal.getsignal(number) is before


def test_nobody_waits_longer_after_a_sigterm(stopper: OnRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "GRACE_S", 0.1)
    with pytest.raises(KeyboardInterrupt), signals.stop_on_signal(stopper, print):
        signalled(signal.SIGTERM)


def test_ctrl_c_has_no_deadline(stopper: OnRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "GRACE_S", 0.1)
    with signals.stop_on_signal(stopper, print):
        os.kill(os.getpid(), signal.SIGINT)
        wait(1.2)


def test_what_trains_may_end_by_itself(stopper: OnRequest) -> None:
    with pytest.raises(signals.Lost), signals.stop_on_signal(stopper, print, gone=lambda: True):
        wait()


def test_what_was_asked_to_stop_is_not_lost(stopper: OnRequest) -> None:
    with pytest.raises(KeyboardInterrupt), signals.stop_on_signal(stopper, print, gone=lambda: stopper.requested):
        signalled(signal.SIGTERM)


def test_an_ignored_signal_stays_ignored(stopper: OnRequest) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does it
    try:
        with signals.stop_on_signal(stopper, print):
            os.kill(os.getpid(), signal.SIGHUP)
        assert not stopper.requested
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("after_s", [0.1, 0.4])
def test_ctrl_c_while_libraries_are_imported_ends_the_command(tmp_path: Path, after_s: float) -> None:
    # Python alone would raise an exception there that libraries may handle.
    words = (sys.executable, "-c", ENTRY, "train", "debug=smoke")
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == -signal.SIGINT
    assert [path for path in tmp_path.rglob("*.json") if not path.read_text()] == []
