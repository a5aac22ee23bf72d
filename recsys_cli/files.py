"""Files that are whole or absent: atomic writes, an append-only journal, locks between processes.

Every write goes to a temporary sibling named `.tmp-<host>-<pid>-<random>-<name>`, is synced to disk and renamed
into place, so a reader (or a process killed at any moment) never meets half a file. The names say who wrote them:
what a killed writer left behind is removed by the next writer in the same folder.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import platform
import re
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.notices import warn

if TYPE_CHECKING:
    import numpy as np

try:
    import fcntl
except ImportError:  # Windows: then the user must run one process per run folder
    fcntl = None  # type: ignore[assignment]

HOST = re.sub(r"\W", "", platform.node())[:20] or "host"
_LEFTOVER = re.compile(r"^\.tmp-(?P<host>\w+)-(?P<pid>\d+)-[0-9a-f]{8}-")
_DAY = 86_400.0
_threads = threading.RLock()


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically; missing parent folders are made."""
    _write(path, text.encode())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name as a NumPy `.npz` file, atomically."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # a name may be any but `file`
    _write(path, buffer.getvalue())


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling file to write; on leaving it is synced and becomes `path`.

    After an exception nothing is left and `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    temporary = _temporary(path)
    try:
        yield temporary
        sync_path(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_path(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path, default: Any = None) -> Any:
    """Read a JSON object from a file; `default` if there is none.

    Raises:
        ConfigError: the file holds no JSON object (it was edited by hand: our own writes are atomic).
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return default
    except ValueError as error:
        raise ConfigError(f"{path} is damaged: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path} is damaged: it holds no JSON object")
    return value


def read_if_sound(path: Path) -> dict[str, Any]:
    """Return a JSON object; an empty one if there is none or, with a warning, if the file cannot be read.

    For what is read in passing: a damaged file of one run must not stop a command about another.
    """
    try:
        return dict(read_json(path, default={}))
    except (ConfigError, OSError) as error:
        warn(f"{error}; skipped")
        return {}


def update_json(path: Path, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Read a JSON object (or `{}`), let `change` edit it, write it back; safe among threads and processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _threads, locked(path.parent):
        value = read_json(path, default={})
        before = json.dumps(value)
        change(value)
        if json.dumps(value) != before or not path.exists():
            write_json(path, value)
        return value


@contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling folder to fill; on leaving it is synced and becomes `path`.

    An existing `path` is replaced. After an exception nothing is left and `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        yield temporary
        for folder, _, names in os.walk(temporary, topdown=False):
            for name in names:
                sync_path(Path(folder, name))
            sync_path(Path(folder))
        _put(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync_path(path.parent)


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """Append one row to a journal: one write, synced. A torn last line of a killed writer is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(row) + "\n").encode()
    with path.open("a+b") as file:
        _cut_torn_line(file)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return a journal's rows; a torn last line (no line end) does not count, a missing file has none."""
    return [row for row, _ in read_jsonl_from(path, 0)]


def read_jsonl_from(path: Path, offset: int) -> list[tuple[dict[str, Any], int]]:
    """Return the rows after byte `offset`, each with the byte offset where it ends.

    A whole line that holds no JSON object (the file was edited by hand, or its disk is failing) is left out, with a
    warning.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return []
    rows = []
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        offset += len(line)
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append((row, offset))
        else:
            warn(f"{path} is damaged before byte {offset}: a line is left out")
    return rows


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock on a file or folder among processes; it ends with the process, however it dies.

    Yields:
        Whether the lock is held; False only with `wait=False` while another holder has it.
    """
    if fcntl is None:
        yield True
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT)
    try:
        yield hold(descriptor, wait=wait)
    finally:
        os.close(descriptor)


def hold(descriptor: int, *, wait: bool = False) -> bool:
    """Lock an open file or folder among processes until it is closed; return whether the lock is held."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _put(new: Path, path: Path) -> None:
    """Rename a folder to `path`; an existing one there becomes `new`, atomically if the system can."""
    if not path.exists():
        new.rename(path)
        return
    exchange = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    here, flag = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if exchange is None or exchange(here, os.fsencode(new), here, os.fsencode(path), flag) != 0:
        old = _temporary(path)
        path.rename(old)
        new.rename(path)
        old.rename(new)


def _temporary(path: Path) -> Path:
    return path.with_name(f".tmp-{HOST}-{os.getpid()}-{uuid.uuid4().hex[:8]}-{path.name}")


def _remove_leftovers(folder: Path) -> None:
    """Remove files left by killed writers: of this host with a dead process id, or older than a day."""
    for path in folder.glob(".tmp-*"):
        match = _LEFTOVER.match(path.name)
        if match is None or not _is_left(path, match["host"], int(match["pid"])):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_left(path: Path, host: str, pid: int) -> bool:
    if host == HOST and not _alive(pid):
        return True
    try:
        return time.time() - path.stat().st_mtime > _DAY
    except OSError:  # its writer has just renamed it
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _cut_torn_line(file: IO[bytes]) -> None:
    """Shorten an open journal to the end of its last whole line."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65_536)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    file.truncate(end)


def sync_path(path: Path) -> None:
    """Force a file's or folder's content to disk; folders only if the system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)
