"""Groups of users from the command line: trained, compared group by group, evaluated and gone on from."""

from __future__ import annotations

import json

import pytest
from running import SMOKE, Recsys, read

from recsys_cli.config.compose import compose
from recsys_cli.search.origin import expand

pytestmark = pytest.mark.xdist_group("commands")

OWN = ("env=groups", "policies=own", *(f"env.groups.{name}.time_budget=20" for name in ("serious", "casual")))
WORDS = (*SMOKE, *OWN, "algo.batch_size=32", "resources.inline=true", "progress=plain")


def test_each_group_is_trained_and_evaluated(recsys: Recsys) -> None:
    trained = recsys.here("train", *WORDS, "name=own")
    assert trained.code == 0, trained
    rows = [line.split()[0] for line in trained.out.splitlines() if "±" in line and "95" not in line]
    assert rows == ["slateq", "casual", "serious", "random", "casual", "serious"]
    seed = recsys.folder / "runs/own/seed_0"
    last = json.loads((seed / "metrics.jsonl").read_text().splitlines()[-1])["metrics"]
    assert {f"{section}/{group}/return" for section in ("eval", "train") for group in ("serious", "casual")} <= set(
        last
    )
    slateq = read(seed / "evaluation.json")["policies"]["slateq"]
    means = [slateq["groups"][name]["return"] for name in ("serious", "casual")]
    assert [each["n"] for each in means] == [14, 6]
    assert slateq["return"]["mean"] == pytest.approx(0.7 * means[0]["mean"] + 0.3 * means[1]["mean"])

    changed = ("env.groups.serious.weight=0", "env.groups.casual.video_length=3", "users=10", "baselines=[]")
    evaluated = recsys.here("evaluate", "checkpoint=own", *changed)
    assert evaluated.code == 0 and "casual" in evaluated.out and "serious" not in evaluated.out.split("written")[0]
    hidden = recsys.here("evaluate", "checkpoint=own", "env.group_observed=false")
    assert hidden.code == 2 and "policies=own needs groups" in hidden.err

    words = expand([f"from={seed}/last"]).words
    assert "policies=own" in words and "env.groups.casual.time_budget=20.0" in words
    assert compose("train", words).env.parts["casual"].env.document_quality_factor == -1.0
