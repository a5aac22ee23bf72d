"""A first mapping from a log's columns: by their names, types and ranges, as far as these say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from recsys_cli.config.errors import ConfigError
from recsys_cli.files import write_text
from recsys_cli.offline.dataset import MANIFEST, Dataset
from recsys_cli.offline.importing.names import NUMBERED, RESPONSE, USER, by_role
from recsys_cli.offline.importing.own import mapping_of
from recsys_cli.offline.importing.profiles import Profile, first_rows, groups_of, profiles_of
from recsys_cli.offline.importing.readers import SUFFIXES, Reader, expand, format_of

OPEN = "???"


@dataclass
class _Guess:
    """What has been guessed.

    Attributes:
        keys: of the mapping, in order.
        notes: comments on keys.
        doubts: what could not be guessed, or only with doubt.
    """

    keys: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)


def guess(path: Path, out: Path | None = None) -> list[str]:
    """Write a first mapping of a log; return what to print.

    Args:
        path: the log, or a data set or one of its parts.
        out: the mapping to write; None: `<log's name>.mapping.yaml` in the current folder.

    Raises:
        ConfigError: the log cannot be read, or the mapping is there already.
    """
    folder = path if path.is_dir() else path.parent
    out = out or Path(f"{(folder if path.is_dir() else path).name.partition('.')[0]}.mapping.yaml")
    if out.exists():
        raise ConfigError(f"{out} is there already; remove it to guess again")
    if (folder / MANIFEST).is_file() and (path.is_dir() or path.suffix == ".parquet"):
        dataset = Dataset.open(folder)
        write_text(out, yaml.safe_dump(mapping_of(dataset), sort_keys=False, width=120))
        return [f"{folder} is a data set: its own mapping is written to {out}"]
    (path,) = expand(str(path))[:1]
    reader = Reader(path, format_of(path, key="its name"))
    table = first_rows(reader)
    columns = profiles_of(table)
    guessed = _guessed(table, columns, path)
    unused = [name for name in columns if name not in _used(guessed.keys)]
    write_text(out, _text(guessed, columns, unused, path))
    lines = [f"{name}: {profile.words()}" for name, profile in columns.items()]
    lines += [f"not used: {', '.join(unused)}"] if unused else []
    lines += [f"could not guess: {doubt}" for doubt in guessed.doubts]
    complete = OPEN not in str(guessed.keys)
    then = f"recsys import mapping={out} data={path} name={out.name.partition('.')[0]}"
    return [*lines, f"written to {out}; " + (f"next: {then}" if complete else f"fill in {OPEN}, then: {then}")]


def _guessed(table: pa.Table, columns: dict[str, Profile], path: Path) -> _Guess:
    found, guessed = by_role(columns), _Guess()
    keys = guessed.keys
    shown = _shown(found, columns)
    if shown is None:
        guessed.doubts.append("what was shown: set slate.columns to the column of items, or of lists of items")
    slates = shown is not None and (len(shown) > 1 or columns[shown[0]].is_list)
    keys["rows"] = "slate" if slates or shown is None else "impression"
    _order(found, columns, guessed)
    if features := _user(found, columns):
        keys["user"] = features
    keys["slate"] = {"columns": _short(shown) if shown else OPEN}
    if keys["rows"] == "impression":
        _impressions(found, table, guessed)
    if offered := found.get("candidates"):
        keys["candidates"] = {"columns": _short(offered)}
    else:
        keys["candidates"] = {"otherwise": "log"}
        guessed.doubts.append("what was offered: all items of the log are taken as candidates (candidates.otherwise)")
    if items := _items_file(path, shown, columns):
        keys["items"] = items
    _outcome(found, columns, guessed, shown)
    if keys["rows"] == "impression" and keys["reward"].get("of") == "row" and "slate_id" in keys:
        groups, pairs = groups_of(table, _slate_key(keys), keys["reward"]["columns"])
        keys["reward"]["of"] = "row" if groups == pairs else "sum"
    return guessed


def _shown(found: dict[str, list[str]], columns: dict[str, Profile]) -> list[str] | None:
    names = found.get("slate", [])
    lists = [name for name in names if columns[name].is_list]
    numbered = [name for name in names if NUMBERED.fullmatch(name)]
    return lists[:1] or (numbered if len(numbered) > 1 else names[:1]) or None


def _order(found: dict[str, list[str]], columns: dict[str, Profile], guessed: _Guess) -> None:
    keys = guessed.keys
    times = [name for name in found.get("time", []) if columns[name].is_time or columns[name].kind == "number"]
    if sessions := found.get("session"):
        keys["session"] = sessions[0]
    elif users := found.get("user_id"):
        keys["session"] = users[0]
        if times:
            keys["session_gap"] = "30m"
            guessed.doubts.append(f"sessions: {users[0]} is taken as a user, whose session ends after 30m of nothing")
    else:
        guessed.doubts.append("sessions: no column of a session's or a user's id; every slate is a session of its own")
    if times:
        keys["time"] = times[0]
        if not columns[times[0]].is_time:
            keys["time_unit"] = columns[times[0]].time_unit()
    if steps := found.get("step"):
        keys["step"] = steps[0]


def _user(found: dict[str, list[str]], columns: dict[str, Profile]) -> list[str]:
    taken = {name for names in found.values() for name in names}
    return [
        name
        for name, profile in columns.items()
        if name not in taken and USER.fullmatch(name.lower()) and profile.is_feature
    ]


def _impressions(found: dict[str, list[str]], table: pa.Table, guessed: _Guess) -> None:
    """Guess which impressions are one slate: by its id, or by a session's step or time, if that has several rows."""
    keys = guessed.keys
    if slates := found.get("slate_id"):
        keys["slate_id"] = slates[0]
    elif (at := _shared_by_rows(keys, table)) is not None:
        keys["slate_id"] = at
        guessed.doubts.append(f"slates: no column of a slate's id; rows of one {at} are one slate (slate_id)")
    if "slate_id" not in keys:
        guessed.doubts.append("slates: no column of a slate's id; every shown item is a slate of its own (slate_id)")
    elif positions := found.get("position"):
        keys["slate"]["position"] = positions[0]


def _shared_by_rows(keys: dict[str, Any], table: pa.Table) -> str | None:
    at: str | None = keys.get("step", keys.get("time"))
    if at is None or "session" not in keys or groups_of(table, [keys["session"]], at)[1] == len(table):
        return None
    return at


def _slate_key(keys: dict[str, Any]) -> list[str]:
    return [keys[name] for name in ("session", "slate_id") if name in keys]


def _outcome(
    found: dict[str, list[str]], columns: dict[str, Profile], guessed: _Guess, shown: list[str] | None
) -> None:
    keys, size = guessed.keys, _size(shown, columns)
    clicks, rewards = found.get("clicks", []), found.get("reward", [])
    if not clicks:
        guessed.doubts.append("clicks: no column looks like one; set clicks.columns, else nothing counts as clicked")
    if clicks:
        keys["clicks"] = _clicks(clicks, columns, guessed, shown, size)
    if rewards:
        keys["reward"] = {"columns": rewards[0], "of": "sum" if columns[rewards[0]].is_list else "row"}
    elif clicks:
        keys["reward"] = {"of": "click"}
        guessed.doubts.append("reward: no column looks like one; a click is worth 1")
    else:
        keys["reward"] = {"columns": OPEN, "of": "row"}
        guessed.doubts.append("reward and clicks: set reward.columns, or clicks.columns")
    taken = _used(keys)
    responses = {
        name: name for name in columns if name not in taken and _is_response(name, columns, keys["rows"], size)
    }
    if responses:
        keys["response"] = {re.sub(r"\W", "_", name.lower().removeprefix("response_")): name for name in responses}
    if propensities := found.get("propensity"):
        keys["propensity"] = _propensity(propensities, columns, guessed, size)
    else:
        guessed.doubts.append("propensity: none is logged; it will be estimated")
    for role in ("terminated", "truncated", "valid"):
        if role in found:
            keys[role] = found[role][0]


def _size(shown: list[str] | None, columns: dict[str, Profile]) -> int:
    return 1 if shown is None else len(shown) if len(shown) > 1 else max(columns[shown[0]].width, 1)


def _is_response(name: str, columns: dict[str, Profile], rows: str, size: int) -> bool:
    profile = columns[name]
    fits = profile.is_list and profile.width == size if rows == "slate" else profile.kind == "number"
    return bool(RESPONSE.fullmatch(name.lower())) and profile.inner == "number" and fits


def _clicks(
    names: list[str], columns: dict[str, Profile], guessed: _Guess, shown: list[str] | None, size: int
) -> dict[str, Any]:
    profile = columns[names[0]]
    if guessed.keys["rows"] == "impression" or len(names) == size > 1 or (profile.is_list and profile.is_flag):
        return {"columns": _short(names if len(names) > 1 and guessed.keys["rows"] == "slate" else names[:1])}
    if shown and profile.texts and profile.texts <= set().union(*(columns[name].texts for name in shown)):
        inside = profile.kind == "text" or (profile.low >= 0 and profile.high > size)
        if inside:
            return {"columns": names[0], "of": "items"}
    click: dict[str, Any] = {"columns": names[0], "of": "positions", "first": 0}
    if profile.high == size:
        none_is_zero = profile.low == 0 and not profile.missing
        click |= {"first": 1} if none_is_zero or profile.low == 1 else {"none": size}
        what = "0 as no click, 1 as the first position" if "none" not in click else f"{size} as no click"
        guessed.doubts.append(f"clicks: {names[0]} goes from {profile.low:g} to {size}; it is read with {what}")
    return click


def _propensity(names: list[str], columns: dict[str, Profile], guessed: _Guess, size: int) -> dict[str, Any]:
    profile = columns[names[0]]
    entry: dict[str, Any] = {"columns": _short(names if len(names) == size else names[:1])}
    if size > 1 and len(names) == 1 and not profile.is_list and guessed.keys["rows"] == "slate":
        entry["of"] = "slate"
    if profile.high <= 0:
        entry["scale"] = "log"
        guessed.doubts.append(f"the logarithm's base of {names[0]}: natural is taken; the import checks it")
    return entry


def _items_file(path: Path, shown: list[str] | None, columns: dict[str, Profile]) -> dict[str, Any] | None:
    """Return the table beside the log that holds the shown items, if there is one."""
    if not shown:
        return None
    ids = set().union(*(columns[name].texts for name in shown))
    for other in sorted(path.parent.iterdir()):
        if (
            other == path
            or other.suffix.lstrip(".") not in SUFFIXES
            or not re.search("item|movie|video|product|news", other.name)
        ):
            continue
        try:
            table = profiles_of(first_rows(Reader(other, format_of(other))))
        except ConfigError:
            continue
        for name, profile in table.items():
            if profile.unique and ids and ids <= profile.texts and re.search("id|item", name.lower()):
                return {"file": str(other.resolve()), "id": name}
    return None


def _short(names: list[str]) -> str | list[str]:
    return names[0] if len(names) == 1 else names


def _used(keys: dict[str, Any]) -> set[str]:
    def leaves(value: Any) -> Iterable[Any]:
        if isinstance(value, dict):
            for name, item in value.items():
                if name not in ("file", "id"):
                    yield from leaves(item)
        elif isinstance(value, list):
            yield from value
        else:
            yield value

    return set(leaves(keys))


def _text(guessed: _Guess, columns: dict[str, Profile], unused: list[str], path: Path) -> str:
    head = [f"# A first mapping of {path.name}, guessed by `recsys import --guess`: check it."]
    head += [f"# Could not guess: {doubt}" for doubt in guessed.doubts]
    head += ["# Columns:"] + [
        f"#   {name}: {columns[name].words()}{' (not used)' * (name in unused)}" for name in columns
    ]
    return "\n".join(head) + "\n" + yaml.safe_dump(guessed.keys, sort_keys=False, width=120)
