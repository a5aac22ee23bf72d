"""The page's addresses: what is open, what is sent, and users who are what follows from their seed and acts."""

import json
import re
from importlib.resources import files

import numpy as np
import pytest
from serving.asgi import request
from serving.service_logs import bundle_of, env_of, service_of

from recsys_cli.serving.errors import Refused
from recsys_cli.serving.http.app import make_app
from recsys_cli.serving.page import users
from recsys_cli.serving.page.cards import cards
from recsys_cli.serving.page.routes import POLICY, document
from recsys_cli.serving.page.state import example_of
from recsys_cli.serving.page.users import NOBODY, Act, Ask, Users
from recsys_cli.serving.service import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    path = tmp_path_factory.mktemp("page")
    folder = service_of(path, *(bundle_of(path / algo, env_of(), algo) for algo in ("random", "myopic")))
    service = Service(folder, folder.config())
    yield service
    service.close()


@pytest.fixture
def app(service):
    return make_app(service, service.config.serving, None)


def user(app, seed=1, acts=()):
    return request(app, "POST", "/ui/user", {"seed": seed, "acts": list(acts)})


def test_the_page_is_one_file_with_a_policy_that_allows_nothing_else(app):
    answers = [request(app, "GET", "/") for _ in range(2)]
    nonces = [
        re.search(r"script-src 'nonce-([^']+)'", answer.headers["content-security-policy"])[1] for answer in answers
    ]
    assert nonces[0] != nonces[1] and all(answer.status == 200 for answer in answers)
    assert answers[0].headers["content-security-policy"] == POLICY.format(nonce=nonces[0])
    page = answers[0].body.decode()
    assert answers[0].headers["content-type"] == "text/html; charset=utf-8"
    assert page.count(f'nonce="{nonces[0]}"') == 2 == page.count("<script") + page.count("<style")
    assert not re.search(r"\son\w+=|javascript:|style=\"", page) and "{{" not in page
    assert not re.findall(r"(?:src|href|action)=\"(?!#|/openapi\.json|/metrics|data:)", page)


def test_the_page_is_package_data():
    assets = files("recsys_cli.serving.page") / "assets"
    assert (assets / "page.html").is_file() and len(document()) < 100_000


def test_the_page_is_open_and_what_it_asks_is_not(service):
    app = make_app(service, service.config.serving, "s3cret")
    assert request(app, "GET", "/").status == 200 and b"s3cret" not in request(app, "GET", "/").body
    assert request(app, "GET", "/ui/state").status == user(app).status == 401
    assert request(app, "GET", "/ui/state", authorization="Bearer s3cret").status == 200


def test_a_foreign_page_cannot_make_a_browser_play(app):
    """Other types than JSON need no question of the browser in advance."""
    asked = b'{"seed": 1, "acts": []}'
    assert request(app, "POST", "/ui/user", asked, headers={"content-type": "text/plain"}).status == 415
    assert "access-control-allow-origin" not in request(app, "OPTIONS", "/ui/user").headers


def test_state_tells_policies_router_and_load(app, service):
    state = request(app, "GET", "/ui/state").json
    assert [policy["name"] for policy in state["policies"]] == ["random", "myopic"]
    assert [policy["share"] for policy in state["policies"]] == [0.5, 0.5] and state["router"]["mode"] == "online"
    assert state["problem"]["simulated"] and state["process"]["decided"] == 0 and state["router"]["unit"] == "session"
    assert request(app, "GET", "/ui/state").body == request(app, "GET", "/ui/state").body  # made once a second
    assert str(service.folder.path) not in json.dumps(state)


def test_the_example_is_answered(app, service):
    for name in ("interest_evolution", "interest_exploration", "long_term_satisfaction"):
        spec = env_of(name).spec
        example = example_of(spec)
        assert len(example["candidates"]) > spec.slate_size
    example = request(app, "GET", "/ui/state").json["problem"]["example"]
    answer = request(app, "POST", "/v1/rank", example)
    assert answer.status == 200 and len(answer.json["slate"]) == service.spec.slate_size


def test_a_session_goes_as_the_simulator_has_it(app, service):
    """The page's way: ask for a slate, act, report, until the user leaves."""
    acts, session, total = [], {}, 0.0
    moment = user(app, seed=3).json
    while not moment["done"]:
        candidates = [{"id": f"d{i}", "features": row} for i, row in enumerate(moment["candidates"])]
        asked = {"session": "page-3", "user": moment["user"], "candidates": candidates, **session}
        decision = request(app, "POST", "/v1/rank", asked).json
        slate = [int(shown["id"][1:]) for shown in decision["slate"]]
        acts.append({"slate": slate, "click": None})
        moment = user(app, 3, acts).json
        total += moment["reward"]
        reward = {"reward": moment["reward"], "response": moment["response"], "final": moment["done"]}
        assert request(app, "POST", f"/v1/events/{decision['event_id']}/reward", reward).status == 202
        session = {"session_state": decision["session_state"], "response": moment["response"]}
    assert moment["total"] == pytest.approx(total) and 30 < len(acts) < 300 and total > 20
    assert service.statistics.snapshot()["decided"] >= len(acts)
    again = make_app(service, service.config.serving, None)  # another replica: it knows nothing of this user
    assert user(again, 3, acts).json == moment
    assert user(app, 3, [*acts, acts[0]]).status == 422


@pytest.mark.parametrize("problem", ["interest_evolution", "interest_exploration", "long_term_satisfaction"])
def test_a_click_by_hand_is_what_the_user_then_did(problem):
    people = Users(env_of(problem))
    slate, seen = list(range(people.env.slate_size)), set()
    for seed in range(6):
        acts = []
        for wanted in (0, NOBODY, people.env.slate_size - 1):
            acts.append(Act(slate=slate, click=wanted))
            try:
                moment = people.after(Ask(seed=seed, acts=acts))
            except Refused:  # see `test_impossible_acts_are_refused_in_a_line`
                acts.pop()
                continue
            assert moment.clicked == wanted and sum(moment.response["click"]) == (wanted != NOBODY)
            seen.add(wanted)
        elsewhere = Users(people.env).after(Ask(seed=seed, acts=acts))
        assert elsewhere == people.after(Ask(seed=seed, acts=acts))
    assert seen == ({0} if problem == "long_term_satisfaction" else {0, 1, NOBODY})  # there the first is always clicked


def test_the_simulated_click_has_the_law_of_the_env():
    """Clicks of many seeds' first steps, against the env's own."""
    people, clicked = Users(env_of()), []
    for seed in range(400):
        clicked.append(people.after(Ask(seed=seed, acts=[Act(slate=[0, 1])])).clicked)
    vec = people.env.make_vec(4000)
    vec.reset(seed=0)
    click = vec.step(np.tile([0, 1], (4000, 1)))[0]["response"]["click"]
    shares = [click[:, 0].mean(), click[:, 1].mean()]
    for place, share in enumerate(shares):
        assert np.mean(np.array(clicked) == place) == pytest.approx(share, abs=5 * np.sqrt(0.25 / 400))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"seed": -1, "acts": []}, "expected int >= 0"),
        ({"seed": 1}, "missing required field acts"),
        ({"seed": 1, "acts": [{"slate": [0, 0]}]}, "acts: a slate that cannot be shown to this user"),
        ({"seed": 1, "acts": [{"slate": [0, 99]}]}, "acts: a slate that cannot be shown to this user"),
        ({"seed": 1, "acts": [{"slate": []}]}, "acts: a slate that cannot be shown to this user"),
        ({"seed": 1, "acts": [{"slate": [0, 1, 2]}]}, "acts: a slate that cannot be shown to this user"),
        ({"seed": 1, "acts": [{"slate": [0, 1], "click": 7}]}, users.IMPOSSIBLE),
        ({"seed": 1, "acts": [{"slate": [2**70, 1]}]}, ""),
        ({"seed": 1, "acts": [{"slate": [0, 1], "click": 2**62}]}, users.IMPOSSIBLE),
        ({"seed": 1, "acts": [{"slate": [0, 1], "click": None}] * 2001}, "length <= 2000"),
    ],
)
def test_impossible_acts_are_refused_in_a_line(app, asked, message):
    answer = request(app, "POST", "/ui/user", asked)
    assert answer.status in (400, 422) and message in answer.json["error"] and "\n" not in answer.json["error"]


def test_playing_again_is_bounded(monkeypatch):
    monkeypatch.setattr(users, "MOST_DRAWS", 20)
    people = Users(env_of())
    acts = [Act(slate=[0, 1])] * 25
    with pytest.raises(Refused, match="more than can be played again at once"):
        people.after(Ask(seed=1, acts=acts))
    for count in range(26):  # one by one it goes
        people.after(Ask(seed=1, acts=acts[:count]))
    monkeypatch.setattr(users, "KEPT", 3)
    people.after(Ask(seed=2, acts=[]))
    assert len(people._kept) == 3


def test_without_a_simulator_there_are_no_users(tmp_path):
    bundle = bundle_of(tmp_path / "bundle", env_of(), "random")
    manifest = (bundle / "recsys.yaml").read_text()
    (bundle / "recsys.yaml").write_text(manifest.replace("recsys_cli.envs.interest_evolution", "gone.simulator"))
    folder = service_of(tmp_path, bundle)
    service = Service(folder, folder.config())
    app = make_app(service, service.config.serving, None)
    assert request(app, "GET", "/ui/state").json["problem"]["simulated"] is False
    assert user(app).status == 404
    service.close()


def test_cards_say_what_is_known():
    env = env_of()
    vec = env.make_vec(1)
    seen = vec.reset(seed=0)[0]
    shown = cards(env.spec, seen["user"][0], seen["doc"][0])
    topics = env.spec.documents.topics_of(seen["doc"][0])
    assert [card.label for card in shown] == [f"Topic {topic}" for topic in topics]
    assert [card.facts[0].value for card in shown] == pytest.approx(seen["user"][0][topics])
    quality = cards(env_of("long_term_satisfaction").spec, np.zeros(0), np.array([[0.25], [0.75]]))
    assert [fact.value for card in quality for fact in card.facts] == [0.25, 0.75]
