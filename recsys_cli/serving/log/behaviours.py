"""What a data set of a service says of the policies that decided."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.notices import warn
from recsys_cli.evaluation.behaviour import behaviour_of
from recsys_cli.offline.dataset import BEHAVIOUR, Dataset
from recsys_cli.serving.folder import CALLER, ServiceFolder
from recsys_cli.tracking.bundle import copy_bundle, plain, read_bundle

Law = tuple[str, str, str]
"""Policy, version and exploration: what slates were drawn from."""
COMPARED = 5_000  # steps
SAME = 1e-3  # difference of log-probabilities: the service computes sums in another order


def about_policies(service: ServiceFolder, laws: Mapping[Law, int]) -> dict[str, Any]:
    """Return who decided, in plain values.

    Args:
        service: whose bundles are looked at.
        laws: number of decisions of each.
    """
    total, sources = sum(laws.values()), {(each.name, each.version): each.source for each in service.pointed()}
    several = {
        "policies": [
            {"name": name, "version": version, "explore": explore, "decisions": count, "share": round(count / total, 6)}
            | ({"source": source} if (source := sources.get((name, version))) else {})
            for (name, version, explore), count in sorted(laws.items())
        ]
    }
    explorations = sorted({explore for _, _, explore in laws})
    about = {"behaviour": ", ".join(sorted({name for name, _, _ in laws})), "explore": ", ".join(explorations)}
    if (bundle := _only(service, laws)) is None:
        return {**about, **several}
    read = read_bundle(bundle)
    trained = {"trained_steps": int(read.info.get("steps", 0)), "env": plain(read.config.get("env"), "env")}
    return {**about, **trained, **several}


def keep_behaviour(service: ServiceFolder, laws: Mapping[Law, int], folder: Path) -> None:
    """Copy the bundle of the only policy that decided into a data set, if it explains what was logged.

    Args:
        service: that has the bundle.
        laws: number of decisions of each.
        folder: of the data set, which is complete.
    """
    if (bundle := _only(service, laws)) is None:
        return
    copy_bundle(bundle, folder / BEHAVIOUR)
    if problem := _differing(Dataset.open(folder)):
        shutil.rmtree(folder / BEHAVIOUR)
        warn(f"the data set doesn't hold the policy that decided: {problem}")


def _only(service: ServiceFolder, laws: Mapping[Law, int]) -> Path | None:
    if len(laws) != 1:
        return None
    ((name, version, _),) = laws
    folder = service.bundle(name, version)
    return folder if name != CALLER and folder.is_dir() else None


def _differing(dataset: Dataset) -> str:
    """Return why a data set's policy isn't what logged its first steps; empty if it is."""
    steps = next(dataset.batches(COMPARED))
    if steps.log_propensity is None:
        return "its propensities aren't known"
    try:
        policy = behaviour_of(dataset)
    except ConfigError as error:
        return str(error)
    if policy is None:
        return "it acts on hidden states"
    law = policy.distribution(steps.remembering(policy.new_memory).observation())
    own = np.where(steps.slate >= 0, law.position_log_prob(steps.slate.astype(np.int64)), 0)
    apart = ~np.isclose(own, steps.log_propensity, rtol=0, atol=SAME).all(1)
    if not apart.any():
        return ""
    return (
        f"on {apart.mean():.1%} of {len(steps):,} steps it has other propensities than logged: it breaks ties between "
        "candidates that are the same otherwise, or remembers responses that weren't reported"
    )
