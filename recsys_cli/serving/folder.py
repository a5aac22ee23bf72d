"""The folder of a service: what it was started with, its policies, and what it logs.

service.yaml               settings of the last start
policies.json              the pointer: which policies are live, in which version
policies/<name>-<version>/ their bundles, kept for replays
log/                       decisions and rewards (`serving.log`)
router.json, state.db      what follows from the log (`serving.router`)
key                        signs the sessions that clients carry (`serving.sessions`)
sessions.db                sessions kept here, with `serving.sessions=server` (`serving.sessions.server`)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.config.serving import ServeConfig
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.files import read_json, update_json, write_text
from recsys_cli.tracking.bundle import copy_bundle, read_bundle, version_of
from recsys_cli.tracking.references import resolve

CALLER = "caller"  # who decides if the caller's order is kept; no policy has this name


@dataclass(frozen=True)
class Pointed:
    """A live policy, as the pointer names it.

    Attributes:
        name: of the policy, which stays the same when another version takes its place.
        version: of its bundle (`tracking.bundle.version_of`).
        source: the reference that it was found by.
    """

    name: str
    version: str
    source: str


class ServiceFolder:
    """The paths and the pointer of a service."""

    def __init__(self, path: Path) -> None:
        """Name a folder."""
        self.path = path
        self.log, self.pointer = path / "log", path / "policies.json"
        self.router, self.state, self.key = path / "router.json", path / "state.db", path / "key"
        self.sessions = path / "sessions.db"
        self.settings, self.errors = path / "service.yaml", path / "errors.log"

    def bundle(self, name: str, version: str) -> Path:
        """Return the folder of a policy's bundle."""
        return self.path / "policies" / f"{name}-{version}"

    def prepare(self, config: ServeConfig) -> None:
        """Find the policies, copy their bundles, and point at them.

        Raises:
            ConfigError: a checkpoint that is not there or not sound, or of another problem than the folder's log.
        """
        found = {reference: finder(config)(reference) for reference in config.checkpoints}
        names = _names(config.checkpoints, found)
        self.path.mkdir(parents=True, exist_ok=True)
        pointed = [self.adopt(*each, found[each[1]]) for each in zip(names, config.checkpoints, strict=True)]
        self._require_same_problem(pointed[0], config.name)
        write_text(self.settings, config.to_yaml())
        update_json(self.pointer, lambda values: values.update(policies=[vars(each) for each in pointed]))

    def config(self) -> ServeConfig:
        """Return the settings of the last start.

        Raises:
            ConfigError: there are none, or not this version's.
        """
        try:
            values = yaml.safe_load(self.settings.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"{self.path} is not the folder of a service: it has no {self.settings.name}") from None
        except (yaml.YAMLError, ValueError) as error:
            raise ConfigError(f"{self.settings} is damaged: {one_line(error)}") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{self.settings} is damaged: it holds no settings")
        return ServeConfig.from_dict({name: value for name, value in values.items() if name != "_target_"})

    def spec(self) -> ProblemSpec:
        """Return the problem of the live policies, as the control knows it.

        Raises:
            ConfigError: there are none.
        """
        if not (pointed := self.pointed()):
            raise ConfigError(f"{self.path} is not the folder of a service: it has no {self.pointer.name}")
        return read_bundle(self.bundle(pointed[0].name, pointed[0].version)).spec

    def _require_same_problem(self, new: Pointed, name: str) -> None:
        if not self.pointed():
            return
        before, now = sizes(self.spec()), sizes(read_bundle(self.bundle(new.name, new.version)).spec)
        if differing := next((what for what in now if now[what] != before[what]), None):
            raise ConfigError(
                f"name={name}: the log in {self.path} is of another problem ({differing} {before[differing]}, now "
                f"{now[differing]}): give this service another name"
            )

    def adopt(self, name: str, reference: str, source: Path) -> Pointed:
        """Copy the bundle that a reference names, which was found in `source`, unless it is here.

        Raises:
            ConfigError: it is not sound.
        """
        read_bundle(source)
        version = version_of(source)
        target = self.bundle(name, version)
        if not target.is_dir():
            copy_bundle(source, target)
        return Pointed(name, version, reference)

    def pointed(self) -> list[Pointed]:
        """Return the live policies; the first is the control."""
        return [Pointed(**each) for each in read_json(self.pointer, {"policies": []})["policies"]]

    def swap(self, new: Pointed) -> bool:
        """Let a version take the place of the one of the same name; return whether anything changed."""
        changed = False

        def change(values: dict[str, Any]) -> None:
            nonlocal changed
            for each in values["policies"]:
                if each["name"] == new.name and each != vars(new):
                    each.update(vars(new))
                    changed = True

        update_json(self.pointer, change)
        return changed


def sizes(spec: ProblemSpec) -> dict[str, object]:
    """Return what requests and answers depend on."""
    return {
        "slates of": spec.slate_size,
        "user features": len(spec.user),
        "document features": len(spec.documents),
        "topics": spec.documents.topics,
        "response fields": [each.name for each in spec.response],
    }


def finder(config: ServeConfig) -> Callable[[str], Path]:
    """Return the function from a checkpoint reference to its folder."""
    uri = config.tracking.uri if config.tracking.enabled else None
    return lambda reference: resolve(reference, Path(config.output_dir), uri)


def _names(references: Sequence[str], found: Mapping[str, Path]) -> list[str]:
    """Return a name for each checkpoint: the registered model's or the algorithm's, numbered if several share it."""
    names = list[str]()
    for reference in references:
        if reference.startswith("models:/"):
            name = re.split("[/@]", reference.removeprefix("models:/"))[0].replace(" ", "_")
        else:
            name = str(read_bundle(found[reference]).config.get("algo", {}).get("name", "policy"))
        taken = sum(re.fullmatch(rf"{re.escape(name)}(_\d+)?", other) is not None for other in [*names, CALLER])
        names.append(f"{name}_{taken + 1}" if taken else name)
    return names
