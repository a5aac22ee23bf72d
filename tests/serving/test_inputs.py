"""From bytes to arrays: what is sound comes through unchanged, and what is not is named by its place."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving.bodies import TOPICS, rank_body
from serving.services import limits_of

from recsys_cli.config.structured import load
from recsys_cli.envs.spec import Documents, Features, ProblemSpec, ResponseField
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.http.inputs import Batch, Inputs

LIMITS = limits_of("max_candidates=50", "max_body_bytes=20000")
EVOLUTION = load("env", "interest_evolution").spec
INPUTS = Inputs(EVOLUTION, LIMITS)


def batch_of(body: Any, inputs: Inputs = INPUTS) -> Batch:
    return inputs.batch(json.dumps(body).encode())


def refusal(body: Any, inputs: Inputs = INPUTS) -> str:
    with pytest.raises(Refused) as caught:
        batch_of(body, inputs)
    assert caught.value.status == 422
    return caught.value.message


def packed(body: dict[str, Any]) -> dict[str, Any]:
    """Return the same request with packed candidates."""
    rows = np.array([candidate["features"] for candidate in body["candidates"]], "<f4")
    ids = [candidate["id"] for candidate in body["candidates"]]
    return body | {"candidates": {"ids": ids, "features_b64": base64.b64encode(rows.tobytes()).decode()}}


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    pack=st.lists(st.booleans(), min_size=6, max_size=6),
    excluded=st.integers(0, 3),
)
def test_requests_of_any_sizes_in_either_format_become_one_batch(
    sizes: list[int], pack: list[bool], excluded: int
) -> None:
    asked = [rank_body(size, exclude=[f"d{i}" for i in range(min(excluded, size - 1))]) for size in sizes]
    sent = [packed(one) if pack[i] else one for i, one in enumerate(asked)]
    batch = batch_of({"requests": sent})
    assert batch.many and batch.doc.shape == (len(sizes), max(sizes), TOPICS) and batch.doc.dtype == np.float32
    for i, (one, size) in enumerate(zip(asked, sizes, strict=True)):
        np.testing.assert_array_equal(batch.user[i], np.float32(one["user"]))
        features = np.float32([candidate["features"] for candidate in one["candidates"]])
        np.testing.assert_array_equal(batch.doc[i, :size], features)
        assert not batch.doc[i, size:].any() and not batch.mask[i, size:].any()
        allowed = [name for name in batch.ids[i] if name not in one["exclude"]]
        assert [batch.ids[i][j] for j in np.flatnonzero(batch.mask[i])] == allowed


def test_what_the_problem_generates_is_accepted() -> None:
    for problem in ("interest_evolution", "interest_exploration", "long_term_satisfaction"):
        spec = load("env", problem).spec
        space = spec.observation_space()
        space.seed(7)
        inputs = Inputs(spec, LIMITS)
        for _ in range(5):
            seen = space.sample()
            if topics := spec.documents.topics:
                seen["doc"][:, :topics] = np.eye(topics)[np.arange(len(seen["doc"])) % topics]
            candidates = [{"id": str(i), "features": row.tolist()} for i, row in enumerate(seen["doc"])]
            response = {name: values.tolist() for name, values in seen["response"].items()}
            body = {"user": seen["user"].tolist(), "candidates": candidates, "response": response}
            np.testing.assert_array_equal(batch_of(body, inputs).doc[0], seen["doc"])


def test_a_rounding_beyond_the_bounds_is_put_on_them() -> None:
    body = rank_body(2, user=[1.000001, -1.000001] + [0.0] * 18)
    body["candidates"][0]["features"] = [0.9999999, 1e-7] + [0.0] * 18
    batch = batch_of(body)
    assert batch.user[0, :2].tolist() == [1.0, -1.0]
    assert batch.doc[0, 0, 0] == np.float32(0.9999999) and not batch.many
    assert refusal(rank_body(2, user=[1.001] + [0.0] * 19)) == "user[0]: must be from -1 to 1"


def test_the_path_leads_to_the_fault_in_a_batch() -> None:
    requests = [rank_body(3), rank_body(7), rank_body(8), rank_body(9)]
    requests[3]["candidates"][7]["features"][2] = 4
    assert refusal({"requests": requests}) == "requests[3].candidates[7].features[2]: must be from 0 to 1"
    requests = [rank_body(3), packed(rank_body(4) | {"exclude": ["d9"]})]
    assert refusal({"requests": requests}) == "requests[1].exclude[0]: must be the id of a candidate"
    requests[1]["exclude"], requests[1]["candidates"]["ids"][2] = [], "d0"
    assert refusal({"requests": requests}) == "requests[1].candidates.ids[2]: must differ from the others"
    requests = [rank_body(3), rank_body(4, response={"click": [0, 0]}), rank_body(4, response={"click": [0, 3]})]
    assert refusal({"requests": requests}) == "requests[2].response.click[1]: must be 0 or 1"
    body = rank_body(5)
    body["candidates"][4]["features"] = ["x"]
    assert refusal(body) == "candidates[4].features[0]: expected float, got str"


def test_a_few_wide_requests_among_many_narrow_ones_are_not_padded_without_end() -> None:
    assert "several bodies" in refusal({"requests": [rank_body(50), *[rank_body(1) for _ in range(60)]]})
    assert batch_of({"requests": [rank_body(50), *[rank_body(1) for _ in range(30)]]}).doc.shape[0] == 31


def test_each_kind_of_response_has_its_values() -> None:
    sound = {"click": [1, 0], "watch_time": [3.25, 0], "liked": [0], "quality": [-100, 0], "cluster_id": [19, 0]}
    assert batch_of(rank_body(response=sound)).requests[0].response == sound
    assert batch_of(rank_body(response={})).requests[0].response == {}
    assert refusal(rank_body(response={"quality": [0, 101]})) == "response.quality[1]: must be from -100 to 100"
    wrong = refusal(rank_body(response={"cluster_id": [1.5]}))
    assert wrong == "response.cluster_id[0]: must be a whole number from 0 to 19"
    assert (
        refusal(rank_body(response={"click": [0, 0, 1]})) == "response.click: must be at most 2 numbers, one a position"
    )
    assert "click, watch_time" in refusal(rank_body(response={"clicks": [0, 0]}))


def test_features_without_bounds_are_finite_and_of_a_size_that_can_be_squared() -> None:
    free = Features.of(2, -np.inf, np.inf)
    spec = ProblemSpec("free", Features.of(0), Documents(free), (ResponseField("click"),), 1, None)
    inputs = Inputs(spec, LIMITS)
    body = {"candidates": [{"id": "a", "features": [-1e12, 3.5]}]}
    assert batch_of(body, inputs).user.shape == (1, 0)
    body["candidates"][0]["features"][1] = 1e13
    assert refusal(body, inputs) == "candidates[0].features[1]: must be from -1e+12 to 1e+12"
    rows = np.array([[np.nan, 0], [0, 0]], "<f4")
    content = base64.b64encode(rows.tobytes()).decode()
    assert refusal({"candidates": {"ids": ["a", "b"], "features_b64": content}}, inputs).startswith("candidates[0].fea")


def test_a_reward_says_something() -> None:
    assert INPUTS.reward(b'{"final": true}').final
    assert INPUTS.reward(b'{"response": {"click": [0, 1]}}').response == {"click": [0.0, 1.0]}
    for body in (b"{}", b'{"final": false}', b'{"response": {"click": [7]}}', b'{"reward": null}'):
        with pytest.raises(Refused):
            INPUTS.reward(body)
