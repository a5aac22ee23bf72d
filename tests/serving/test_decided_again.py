"""A log decided once more, and its router's epochs computed once more."""

import asyncio
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from serving.service_logs import bundle_of, env_of, service_of

from recsys_cli.cli import main
from recsys_cli.config.errors import ConfigError
from recsys_cli.offline.dataset import Dataset
from recsys_cli.serving.http.inputs import Inputs
from recsys_cli.serving.log.reading import read_from, segments
from recsys_cli.serving.log.records import DecisionRecord, encode_lines
from recsys_cli.serving.log.replay import replay_decisions
from recsys_cli.serving.messages import Reward
from recsys_cli.serving.router.bookkeeper import Bookkeeper
from recsys_cli.serving.router.settling import Rules
from recsys_cli.serving.service import Service

SESSIONS, STEPS = 8, 4


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder, env = tmp_path_factory.mktemp("bundles"), env_of()
    return {
        "slateq": bundle_of(folder / "slateq", env, "slateq", memory="documents"),
        "other": bundle_of(folder / "other", env, "slateq", seed=1, memory="belief", choice_model="learned"),
        "random": bundle_of(folder / "random", env, "random"),
        "myopic": bundle_of(folder / "myopic", env, "myopic"),
    }


def open_service(folder, bundles, *names, explore="epsilon:0.3", words=()) -> Service:
    prepared = service_of(folder, *(bundles[name] for name in names), explore=explore, words=words)
    return Service(prepared, prepared.config())


def play(service: Service, seed: int = 0, swap: str | None = None) -> None:
    """Let sessions ask together, with candidates of different numbers; after the half, another version may be live."""
    rng, inputs = np.random.default_rng(seed), Inputs(service.spec, service.config.serving)
    states: list[str | None] = [None] * SESSIONS
    for step in range(STEPS):
        if swap is not None and step == STEPS // 2:
            service.folder.swap(service.folder.adopt("slateq", swap, Path(swap)))
            service.live.poll()
        requests = []
        for number, state in enumerate(states):
            features = np.eye(20)[rng.integers(0, 20, rng.integers(1, 9))].tolist()
            request = {
                "event_id": f"e{seed}-{number}-{step}",
                "session": f"s{seed}-{number}",
                "user": rng.uniform(-1, 1, 20).tolist(),
                "candidates": [{"id": f"d{i}", "features": each} for i, each in enumerate(features)],
                "exclude": ["d0"] if len(features) > 3 and rng.random() < 0.3 else [],
            }
            if state is not None:
                amounts = {"quality": 0.5, "watch_time": float(rng.uniform(0, 4))}
                response = {field.name: [amounts.get(field.name, 1.0), 0.0] for field in service.spec.response}
                request |= {"session_state": state, "response": response}
            requests.append(request)
        decisions = asyncio.run(service.rank(inputs.batch(json.dumps({"requests": requests}).encode())))
        states = [decision.session_state for decision in decisions]
        for decision in decisions:
            asyncio.run(service.reward(decision.event_id, Reward(reward=rng.uniform(), final=step == STEPS - 1)))


@pytest.mark.parametrize("explore", ["none", "epsilon:0.3", "plackett_luce:1.0"])
def test_decisions_come_out_as_logged(tmp_path, bundles, explore):
    service = open_service(tmp_path, bundles, "slateq", "myopic", explore=explore)
    play(service)
    service.close()
    found = replay_decisions(service.folder)
    assert (found.same, found.different) == (SESSIONS * STEPS, 0), found.first


def test_each_decision_is_made_by_the_version_that_was_live(tmp_path, bundles):
    service = open_service(tmp_path, bundles, "slateq", "random")
    play(service, swap=str(bundles["other"]))
    service.close()
    versions = {r.version for _, _, r in read_from(service.folder.log, {}) if isinstance(r, DecisionRecord)}
    assert len(versions) == 3
    again = open_service(
        tmp_path, bundles, "slateq", "random", explore="epsilon:0.9"
    )  # another process, other settings
    play(again, seed=1)
    again.close()
    found = replay_decisions(service.folder)
    assert (found.same, found.different) == (2 * SESSIONS * STEPS, 0), found.first


@pytest.mark.parametrize(
    "words", [["router=apprentice"], ["router=ab_test"], ["router=logging_only"], ["router=shadow"]]
)
def test_other_routers(tmp_path, bundles, words):
    service = open_service(tmp_path, bundles, "myopic", "random", words=words)
    play(service)
    service.close()
    found = replay_decisions(service.folder)
    assert (found.same, found.different) == (SESSIONS * STEPS, 0), found.first


def changed(record: DecisionRecord, name: str) -> DecisionRecord:
    values = {
        "slate": list(record.slate)[::-1],
        "log_propensity": [value - 0.01 for value in record.log_propensity or []],
        "by_policy": {**(record.by_policy or {}), "myopic": 0.123},
        "event_id": "another",
        "weights": {"slateq": 0.0, "myopic": 1.0} if record.policy == "slateq" else {"slateq": 1.0, "myopic": 0.0},
    }
    return msgspec.structs.replace(record, **{name: values[name]})


@pytest.mark.parametrize("name", ["slate", "log_propensity", "by_policy", "event_id", "weights"])
def test_what_differs_is_found(tmp_path, bundles, name):
    service = open_service(tmp_path, bundles, "slateq", "myopic", explore="epsilon:0.9")
    play(service)
    service.close()
    (path,) = segments(service.folder.log)
    records = [record for _, _, record in read_from(service.folder.log, {})]
    at = next(
        i
        for i, each in enumerate(records)
        if isinstance(each, DecisionRecord) and each.first and len(each.slate) == 2 and len(each.ids) > 5
    )
    records[at] = changed(records[at], name)
    path.write_bytes(encode_lines(records))
    found = replay_decisions(service.folder)
    assert found.different == 1 and found.same == SESSIONS * STEPS - 1 and records[at].event_id in found.first


def keep_books(service: Service, epochs: int) -> None:
    """Let the bookkeeper run for so many epochs."""
    config, seconds = service.config, [0.0]
    rules = Rules(config.router, service.spec.reward, config.serving.session_seconds)
    books = Bookkeeper(service.folder, rules, clock=lambda: seconds[0])
    books.step()
    for _ in range(epochs):
        seconds[0] += config.router.epoch_seconds
        books.step()
    assert books.problem is None
    books.close()


def test_the_command(tmp_path, bundles, capsys):
    service = open_service(tmp_path, bundles, "slateq", "random")
    play(service)
    keep_books(service, epochs=2)
    service.router.poll()
    play(service, seed=1)
    keep_books(service, epochs=1)
    service.close()
    assert main(["replay", f"log={service.folder.path}"]) == 0
    assert capsys.readouterr().out == "decisions: 64 same, 0 different; router: 3 epochs same\n"
    router = service.folder.router
    router.write_text(router.read_text().replace('"session"', '"decision"'))
    assert main(["replay", f"log={service.folder.path}"]) == 1
    assert capsys.readouterr().out.endswith("router: router.json different from the log\n")
    for path in segments(service.folder.log):
        path.write_bytes(
            path.read_bytes().replace(b'"epsilon:0.3"', b'"epsilon:0.9"').replace(b'"unit":"session"', b'"unit":"x"')
        )
    assert main(["replay", f"log={service.folder.path}"]) == 1
    out = capsys.readouterr().out
    assert "different (first: event e0-0-0: slate " in out and out.endswith("router: 3 of 3 epochs different\n")


def test_a_folder_that_is_not_sound(tmp_path, bundles, capsys):
    service = open_service(tmp_path, bundles, "myopic")
    service.close()
    other = bundle_of(tmp_path / "other", env_of(slate_size=3), "myopic")
    with pytest.raises(ConfigError, match=r"the log in .* is of another problem \(slates of 2, now 3\)"):
        service_of(tmp_path, other)
    service.folder.settings.write_text("[")
    assert main(["replay", f"log={service.folder.path}"]) == 2
    service.folder.pointer.unlink()
    for command in (["compact", "name=data"], ["replay"]):
        assert main([*command, f"log={service.folder.path}"]) == 2
        assert "Traceback" not in capsys.readouterr().err
    assert main(["replay", "log=nowhere", f"service_dir={tmp_path}"]) == 2
    assert capsys.readouterr().err.endswith("it has no service.yaml; services in " + f"{tmp_path}: service\n")


def test_files_that_are_in_data_sets_and_in_the_router_can_be_removed(tmp_path, bundles, capsys):
    service = open_service(tmp_path, bundles, "slateq", "random")
    play(service)
    words = [f"log={service.folder.path}", f"data_dir={tmp_path}", "include_open=true", "remove_segments=true"]
    assert main(["compact", "name=first", *words]) == 0  # the service has the file open, and the router hasn't read it
    assert len(segments(service.folder.log)) == 1
    service.close()
    keep_books(service, epochs=1)
    again = Service(service.folder, service.config)
    play(again, seed=1)
    assert main(["compact", "name=second", *words]) == 0
    assert "removed 1 file of the log" in capsys.readouterr().out
    again.close()
    keep_books(service, epochs=1)
    assert [Dataset.open(tmp_path / name).steps for name in ("first", "second")] == [SESSIONS * STEPS] * 2
    assert main(["replay", f"log={service.folder.path}"]) == 0
    expected = f"decisions: {SESSIONS * STEPS} same, 0 different; router: unknown, since files of the log were removed"
    assert capsys.readouterr().out.strip() == expected
