"""The service behind the app, with real policies."""

import asyncio
import json

import numpy as np
import pytest

from recsys_cli.cli import main
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.folder import ServiceFolder, finder
from recsys_cli.serving.http.inputs import Inputs
from recsys_cli.serving.live import AliasWatcher
from recsys_cli.serving.log.reading import read_from
from recsys_cli.serving.log.records import DecisionRecord, PoliciesRecord, RewardRecord
from recsys_cli.serving.messages import PolicyChange, Reward, RouterChange
from recsys_cli.serving.service import Service

QUICKLY = (
    "resources=inline",
    "tracking=off",
    "steps=1000",
    "evaluation.users=5",
    "evaluation.baselines=[]",
    "progress=off",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, algo in (("chance", "random"), ("short", "myopic")):
        assert main(["train", f"algo={algo}", f"name={name}", f"output_dir={folder}", *QUICKLY]) == 0
    return folder


@pytest.fixture
def opened(runs, tmp_path):
    services = []

    def open_with(*words):
        config = compose("serve", [f"output_dir={runs}", f"service_dir={tmp_path}", "tracking=off", *words])
        folder = ServiceFolder(tmp_path / config.name)
        folder.prepare(config)
        services.append(Service(folder, config))
        return services[-1]

    yield open_with
    for service in services:
        service.close()


def body(rng, candidates=10, **more):
    features = np.eye(20)[rng.integers(0, 20, candidates)].tolist()
    offered = [{"id": f"d{number}", "features": each} for number, each in enumerate(features)]
    return {"user": rng.uniform(-1, 1, 20).tolist(), "candidates": offered, **more}


def ask(service, *requests):
    batch = Inputs(service.spec, service.config.serving).batch(json.dumps({"requests": requests}).encode())
    return asyncio.run(service.rank(batch))


def logged(service, kind):
    return [record for _, _, record in read_from(service.folder.log, {}) if isinstance(record, kind)]


def test_the_same_event_gets_the_same_answer_and_is_logged_once(opened):
    service, rng = opened("checkpoint=chance/seed_0"), np.random.default_rng(0)
    request = body(rng, event_id="e")
    first = ask(service, request)
    assert ask(service, request, body(rng))[0] == first[0]
    assert [record.event_id for record in logged(service, DecisionRecord)].count("e") == 1


def test_another_process_gives_the_same_answer(opened, monkeypatch):
    monkeypatch.setattr("recsys_cli.serving.service.RECENT_MS", -1_000_000)  # without the log's help
    service, rng = opened("checkpoint=[chance/seed_0,short/seed_0]", "explore=epsilon:0.5"), np.random.default_rng(0)
    requests = [body(rng, event_id=f"e{number}", session=f"s{number % 7}") for number in range(20)]
    answers = ask(service, *requests)
    other = Service(service.folder, service.folder.config())
    again = [ask(other, request)[0] for request in reversed(requests)][::-1]
    other.close()
    assert [(each.slate, each.policy, each.propensity) for each in again] == [
        (each.slate, each.policy, each.propensity) for each in answers
    ]


def test_answers_outlive_their_process(opened):
    """Also if the router, or what it allows, has changed meanwhile."""
    service, rng = opened("checkpoint=[chance/seed_0,short/seed_0]", "explore=epsilon:0.5"), np.random.default_rng(7)
    requests = [body(rng, 3 + number, event_id=f"e{number}", session=f"s{number}") for number in range(8)]
    answers = ask(service, *requests)
    service.change_router(RouterChange(only_control=True))
    other = Service(service.folder, service.folder.config())
    assert ask(other, *requests) == answers
    assert len(logged(other, DecisionRecord)) == len(requests)
    other.close()


def test_propensities_are_those_of_the_mixture(opened):
    service = opened("checkpoint=[chance/seed_0,short/seed_0]", "router.floor=0.25", "explore=epsilon:0.5")
    rng = np.random.default_rng(1)
    answers = ask(service, *(body(rng) for _ in range(50)))
    records = {record.event_id: record for record in logged(service, DecisionRecord)}
    for answer in answers:
        record = records[answer.event_id]
        assert sum(record.weights.values()) == pytest.approx(1)
        total = sum(record.weights[name] * record.by_policy[name] for name in record.weights)
        assert answer.propensity.total == pytest.approx(total)
        assert answer.propensity.policy == pytest.approx(record.by_policy[answer.policy])
        assert answer.propensity.router == record.weights[answer.policy]
        assert record.by_policy["random"] == pytest.approx(1 / 90)


def test_a_session_stays_with_its_policy_until_that_is_switched_off(opened):
    service, rng = opened("checkpoint=[chance/seed_0,short/seed_0]", "explore=epsilon:0.5"), np.random.default_rng(2)
    answer = next(a for n in range(50) for a in ask(service, body(rng, session=f"s{n}")) if a.policy == "myopic")
    session = logged(service, DecisionRecord)[-1].session
    for _ in range(5):
        (answer,) = ask(service, body(rng, session=session, session_state=answer.session_state))
        assert answer.policy == "myopic"
    assert [record.step for record in logged(service, DecisionRecord) if record.session == session] == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]
    policies = service.change_router(RouterChange(only_control=True))
    assert [each.share for each in policies.policies] == [1.0, 0.0]
    assert ask(service, body(rng, session=session, session_state=answer.session_state))[0].policy == "random"


def test_exclusions_and_short_lists(opened):
    service, rng = opened("checkpoint=chance/seed_0"), np.random.default_rng(3)
    (one,) = ask(service, body(rng, 3, exclude=["d0", "d2"]))
    assert [shown.id for shown in one.slate] == ["d1"]
    assert one.propensity.total == 1.0
    assert logged(service, DecisionRecord)[-1].excluded == [0, 2]


@pytest.mark.parametrize("router", ["apprentice", "logging_only"])
def test_the_callers_order_can_be_kept(opened, router):
    service, rng = opened("checkpoint=[chance/seed_0,short/seed_0]", f"router={router}"), np.random.default_rng(4)
    (answer,) = ask(service, body(rng, exclude=["d0"]))
    assert ([shown.id for shown in answer.slate], answer.policy) == (["d1", "d2"], "caller")
    assert answer.propensity.total == 1.0
    probabilities = logged(service, DecisionRecord)[-1].by_policy
    assert probabilities["random"] == (pytest.approx(1 / 72) if router == "apprentice" else None)


def test_policies_are_swapped_in_place(opened, runs):
    service, rng = opened("checkpoint=chance/seed_0"), np.random.default_rng(5)
    before = ask(service, body(rng))[0].version
    with pytest.raises(Refused, match="there are: random"):
        service.change_policy("other", PolicyChange(checkpoint="short/seed_0"))
    with pytest.raises(ConfigError, match="was not found"):
        service.change_policy("random", PolicyChange(checkpoint="nowhere"))
    after = service.change_policy("random", PolicyChange(checkpoint="short/seed_0")).policies[0]
    assert (after.name, after.algo) == ("random", "myopic")
    assert ask(service, body(rng))[0].version == after.version != before
    assert [record.policies["random"][0] for record in logged(service, PoliciesRecord)] == [before, after.version]


def test_another_process_follows_the_pointer(opened):
    service = opened("checkpoint=chance/seed_0")
    other = Service(service.folder, service.folder.config())
    new = service.change_policy("random", PolicyChange(checkpoint="short/seed_0")).policies[0].version
    other.poll()
    assert other.policies().policies[0].version == new
    other.close()


def test_an_alias_is_followed(opened, runs):
    service = opened("checkpoint=chance/seed_0")
    folder, where = service.folder, {"models:/a@champion": runs / "chance/seed_0", "models:/b/1": runs}
    find = finder(service.config)
    watcher = AliasWatcher(folder, lambda reference: find(str(where[reference])))
    assert not watcher.needed
    folder.swap(folder.adopt("random", "models:/a@champion", find(str(where["models:/a@champion"]))))
    assert watcher.needed
    where["models:/a@champion"] = runs / "short/seed_0"
    watcher.step()
    service.poll()
    assert service.policies().policies[0].algo == "myopic"
    del where["models:/a@champion"]
    where["models:/a@champion"] = runs / "nowhere"
    watcher.step()  # stays as it is
    assert service.policies().policies[0].algo == "myopic"


def test_rewards_are_in_the_log_when_they_are_accepted(opened):
    service = opened("checkpoint=chance/seed_0")
    asyncio.run(service.reward("e", Reward(reward=1.5, final=True)))
    (record,) = logged(service, RewardRecord)
    assert (record.event_id, record.reward, record.final) == ("e", 1.5, True)


def test_policies_of_different_problems_are_refused(opened, runs):
    words = ["resources=inline", "tracking=off", "evaluation.users=5", "evaluation.baselines=[]", "progress=off"]
    assert (
        main(["train", "algo=random", "env.slate_size=3", "name=k3", f"output_dir={runs}", "steps=1000", *words]) == 0
    )
    with pytest.raises(ConfigError, match="slates of 3, and random has 2"):
        opened("checkpoint=[chance/seed_0,k3/seed_0]")


def test_sessions_that_the_service_keeps_need_no_token(opened, runs):
    service, rng = (
        opened("checkpoint=[chance/seed_0,short/seed_0]", "serving.sessions=server"),
        np.random.default_rng(6),
    )
    answers = [ask(service, body(rng, session="s"))[0] for _ in range(4)]
    assert {answer.session_state for answer in answers} == {None}
    assert len({answer.policy for answer in answers}) == 1
    assert [record.step for record in logged(service, DecisionRecord)] == [0, 1, 2, 3]
