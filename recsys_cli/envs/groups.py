"""Several groups of users, each a problem of its own with the same observations."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import NonNegative
from recsys_cli.config.structured import TARGET, build, schema_of, to_plain
from recsys_cli.config.types import convert, show
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.checks import require
from recsys_cli.envs.features import Features
from recsys_cli.envs.spec import ChoiceSpec, Documents, ProblemSpec, ResponseField

if TYPE_CHECKING:
    from recsys_cli.envs.groups_env import GroupsVectorEnv

WEIGHT = "weight"
COMMON = ("num_candidates", "slate_size", "resample_documents", "backend")  # keys of all groups together


def group_problems(spec: ProblemSpec) -> dict[str, ProblemSpec]:
    """Return the problem of each group of users, with as many candidates as the whole problem has."""
    most, fewest = spec.num_candidates, spec.min_candidates
    return {
        name: dataclasses.replace(each, num_candidates=most, min_candidates=fewest)
        for name, each in spec.groups.items()
    }


@dataclass(frozen=True)
class Group:
    """A group of users.

    Attributes:
        share: of all users, 0 to 1.
        env: its problem.
    """

    share: float
    env: EnvConfig


@dataclass
class GroupsConfig(EnvConfig):
    """Groups of users with parameters of their own; what is observed of users and documents has the same form.

    Attributes:
        group_observed: whether a user's last features are its group, one-hot.
        groups: keys of each group's problem and `weight`, its share of the users in proportion to the others', by name.
    """

    group_observed: bool
    groups: dict[str, dict[str, Any]]

    def __post_init__(self) -> None:
        """Build the groups' problems, and hold them against each other."""
        super().__post_init__()
        require(bool(self.groups), "env.groups={} must name at least one group")
        weights, envs = dict[str, float](), dict[str, EnvConfig]()
        for name, values in self.groups.items():
            at = f"env.groups.{name}"
            require(re.fullmatch(r"[A-Za-z]\w*", name) is not None, f"{at}: a group's name is letters, digits and _")
            weights[name] = convert(values.get(WEIGHT, 1.0), NonNegative, f"{at}.{WEIGHT}")
            envs[name] = self._built(at, values)
        plain = {
            name: {key: value for key, value in to_plain(env).items() if key not in COMMON}
            for name, env in envs.items()
        }
        self.groups = {name: {WEIGHT: weights[name], **values} for name, values in plain.items()}
        total = sum(weights.values())
        require(total > 0, f"env.groups: one of {', '.join(f'{name}.{WEIGHT}' for name in weights)} must be above 0")
        self.parts = {name: Group(weights[name] / total, env) for name, env in envs.items()}
        _check_alike({name: env.spec for name, env in envs.items()})

    def _built(self, at: str, values: Mapping[str, Any]) -> EnvConfig:
        own = {key: value for key, value in values.items() if key != WEIGHT}
        for key in COMMON:
            require(key not in own, f"{at}.{key} cannot be set: env.{key} is that of all groups")
        nested = TARGET in own and schema_of(own[TARGET]) is GroupsConfig
        require(not nested, f"{at}: a group of users cannot be of groups itself")
        try:
            env = build(own | {key: getattr(self, key) for key in COMMON}, at)
        except ConfigError as error:
            raise ConfigError(str(error) if at in str(error) else f"{at}: {error}") from None
        require(isinstance(env, EnvConfig), f"{at} must have a problem's keys")
        found: EnvConfig = env
        return found

    @property
    def shares(self) -> dict[str, float]:
        """See `EnvConfig.shares`."""
        return {name: group.share for name, group in self.parts.items()}

    def describe(self) -> ProblemSpec:
        """Return what all groups have in common, with the widest bounds.

        How users choose is unknown unless all do alike.
        """
        specs = {name: group.env.spec for name, group in self.parts.items()}
        first, all_of = next(iter(specs.values())), list(specs.values())
        attended = None if any(spec.choice.attended is None for spec in all_of) else max(s.attended for s in all_of)
        horizons = [spec.horizon for spec in all_of]
        return self.problem_spec(
            user=self._users(_widest([spec.user for spec in all_of])),
            documents=dataclasses.replace(
                first.documents, features=_widest([spec.documents.features for spec in all_of])
            ),
            response=tuple(map(_widest_response, *(spec.response for spec in all_of))),
            choice=_common([spec.choice for spec in all_of]) or ChoiceSpec(attended=attended),
            reward=_common([spec.reward for spec in all_of]),
            truncation=first.truncation and max(spec.truncation or 0 for spec in all_of),
            horizon=None if None in horizons else max(horizon or 0 for horizon in horizons),
            groups=specs if self.group_observed else {},
        )

    def _users(self, own: Features) -> Features:
        if not self.group_observed:
            return own
        more = len(self.groups)
        names = (*(own.names or map(str, range(len(own)))), *self.groups)
        return Features((*own.low, *(0.0,) * more), (*own.high, *(1.0,) * more), names)

    def native_env(self, num_envs: int, doc_format: str) -> GroupsVectorEnv:
        """Build the vectorised users."""
        from recsys_cli.envs.groups_env import GroupsVectorEnv

        return GroupsVectorEnv(self, num_envs, doc_format)

    def try_out(self) -> None:
        """See `EnvConfig.try_out`, for each group."""
        for group in self.parts.values():
            group.env.try_out()


def _common(values: list[Any]) -> Any:
    """Return what is the same in all groups; None if it differs."""
    return values[0] if all(value == values[0] for value in values) else None


def _widest(features: list[Features]) -> Features:
    low, high = zip(*(each.low for each in features), strict=True), zip(*(each.high for each in features), strict=True)
    return Features(tuple(map(min, low)), tuple(map(max, high)), features[0].names)


def _widest_response(*fields: ResponseField) -> ResponseField:
    low, high = min(field.low for field in fields), max(field.high for field in fields)
    return dataclasses.replace(fields[0], low=low, high=high)


def _check_alike(specs: Mapping[str, ProblemSpec]) -> None:
    """Refuse groups whose observations are not of one form.

    Raises:
        ConfigError: names the first two that differ, and in what.
    """
    (one, first), *others = specs.items()
    for other, spec in others:
        for (what, mine), (_, yours) in zip(_form(first), _form(spec), strict=True):
            require(
                mine == yours,
                f"env.groups: all groups need the same {what}, but {one} has {show(mine)} and {other} {show(yours)}",
            )
        require(_same_items(first.documents, spec.documents), f"env.groups: {one} and {other} have different items")


def _form(spec: ProblemSpec) -> Iterator[tuple[str, Any]]:
    documents = spec.documents
    yield "number of user features", len(spec.user)
    yield "user features", spec.user.names
    yield "number of document features", len(documents)
    yield "document features", documents.features.names
    yield "number of topics", documents.topics
    yield "place of a document's quality", documents.quality
    yield "response fields", [f"{field.name} ({field.kind})" for field in spec.response]
    yield "kind of ending, truncated or not", "truncated" if spec.truncation else "not truncated"


def _same_items(one: Documents, other: Documents) -> bool:
    if one.items is None or other.items is None:
        return one.items is other.items
    return one.items.shape == other.items.shape and bool((one.items == other.items).all())
