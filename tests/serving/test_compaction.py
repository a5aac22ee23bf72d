"""What a service has logged becomes the data set that a recording of the same play would have written."""

import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving.service_logs import MINUTE, NOW, bundle_of, env_of, flat, played, records_of, service_of, write

from recsys_cli.cli import main
from recsys_cli.config.errors import ConfigError
from recsys_cli.files import locked
from recsys_cli.offline.dataset import Dataset
from recsys_cli.serving.log import compaction as module
from recsys_cli.serving.log.compaction import Counts, Request, compact
from recsys_cli.serving.log.episodes import Terms
from recsys_cli.serving.log.ledger import Ledger
from recsys_cli.serving.log.records import ActivationRecord, RewardRecord

EXPLORE = "epsilon:0.3"
SESSIONS = 4
LATER = NOW + 100 * MINUTE * 60


@pytest.fixture(autouse=True)
def nothing_is_synced(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def request(**changes) -> Request:
    terms = Terms(reward="watch_time", aggregation="sum", session_ms=30 * MINUTE, wait_ms=60 * MINUTE, now_ms=LATER)
    asked = Request(terms=terms, default=0.0, propensity="policy", include_open=False, again=False)
    of_terms = {name: changes.pop(name) for name in list(changes) if hasattr(terms, name)}
    return replace(asked, terms=replace(terms, **of_terms), **changes)


@pytest.fixture(scope="module")
def env():
    return env_of()


@pytest.fixture
def service(tmp_path, env):
    return service_of(tmp_path, bundle_of(tmp_path / "bundle", env, "myopic"), explore=EXPLORE)


@pytest.fixture(scope="module")
def steps(env):
    return played(env, "myopic", EXPLORE, episodes=SESSIONS)


@pytest.fixture
def pairs(service, env, steps):
    pointed = service.pointed()[0]
    return list(records_of(steps, env.spec, "myopic", pointed.version, EXPLORE))


def rows_by_session(dataset) -> dict[tuple, tuple]:
    """Return all that is logged of each row, by the time at which its session began, and step."""
    found = {}
    for steps in dataset.batches():
        began = np.repeat(steps.time[steps.starts], steps.lengths)
        names = ["user", "doc", "slate", "clicked", "reward", "terminated", "truncated", "log_propensity", "mask"]
        columns = {name: getattr(steps, name) for name in names if getattr(steps, name) is not None}
        columns |= steps.response
        for row in range(len(steps)):
            key = int(began[row]), int(steps.step[row])
            assert key not in found
            found[key] = {name: values[row].tolist() for name, values in columns.items()}
    return found


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("interest_evolution", {}),
        ("interest_evolution", {"num_candidates": [1, 6], "slate_size": 3}),
        ("interest_exploration", {"horizon": 7}),
    ],
)
def test_a_log_becomes_what_recording_writes(tmp_path, name, keys):
    env = env_of(name, **keys)
    service = service_of(tmp_path, bundle_of(tmp_path / "bundle", env, "random"), explore="none")
    steps = played(env, "random", "none", episodes=6)
    version = service.pointed()[0].version
    write(service, flat(records_of(steps, env.spec, "random", version, "none")))
    dataset, counts = compact(service, env.spec, tmp_path / "data", request())
    found, valid = dataset.load(), np.flatnonzero(steps.valid)
    assert counts == Counts(decisions=len(valid), sessions=6, rewarded=len(valid))
    assert dataset.spec.width == 6 and dataset.spec.documents.one_hot == env.spec.documents.one_hot
    first = steps.episode[valid], steps.step[valid]
    assert (np.stack(first)[:, np.lexsort(first[::-1])] == np.stack([found.episode, found.step])).all()
    for column in ("user", "doc", "slate", "clicked", "reward", "log_propensity"):
        assert np.array_equal(getattr(found, column), getattr(steps, column)[valid]), column
    assert (found.mask is None) == (steps.mask is None) and np.array_equal(
        found.mask, steps.mask if steps.mask is None else steps.mask[valid]
    )
    assert found.response.keys() == steps.response.keys()
    for column, values in steps.response.items():
        assert np.array_equal(found.response[column], values[valid]), column
    assert found.terminated.sum() == 6 and (found.terminated == np.append(np.diff(found.episode) > 0, True)).all()
    dataset.verify()


def test_the_only_policy_is_kept_and_explains_the_log(service, env, pairs, tmp_path):
    write(service, flat(pairs))
    dataset, _ = compact(service, env.spec, tmp_path / "data", request())
    assert (dataset.folder / "behaviour").is_dir()
    assert dataset.about["behaviour"] == "myopic" and dataset.about["explore"] == EXPLORE
    assert dataset.about["policies"][0]["share"] == 1.0 and dataset.about["service"] == "service"


def test_a_policy_that_does_not_explain_the_log_is_left_out(service, env, pairs, tmp_path, capsys):
    write(
        service,
        [
            msgspec.structs.replace(d, log_propensity=[-3.0, -3.0]) if i % 2 else d
            for i, d in enumerate(flat(pairs)[::2])
        ],
    )
    dataset, _ = compact(service, env.spec, tmp_path / "data", request())
    assert not (dataset.folder / "behaviour").exists()
    assert "other propensities than logged" in capsys.readouterr().err


def test_reports_count_in_any_order_number_and_file(service, env, pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write(service, flat(pairs))
    expected = rows_by_session(compact(service, env.spec, folder / "plain", request(again=True))[0])
    decisions, reports = zip(*pairs, strict=True)

    @settings(max_examples=5, deadline=None)
    @given(st.integers(0, 2**32), st.integers(1, 4), st.sampled_from([1 << 18, 1 << 30]))
    def holds(seed: int, files: int, bucket_bytes: int) -> None:
        rng = np.random.default_rng(seed)
        for path in service.log.iterdir():
            path.unlink()
        again = [*reports, *rng.choice(np.array(reports, object), 10)]
        rng.shuffle(again)
        for number, part in enumerate(np.array_split(np.array(again, object), files)):
            write(service, list(part), f"{number}-host-{number}.jsonl")
        write(service, decisions, f"{rng.integers(files)}-host-9.jsonl")
        data = folder / f"{len(list(folder.iterdir()))}"
        dataset, _ = compact(service, env.spec, data, request(again=True), bucket_bytes=bucket_bytes)
        assert rows_by_session(dataset) == expected
        assert len(dataset.parts) == 1 or bucket_bytes < 1 << 20

    holds()


def test_what_does_not_count(service, env, pairs, tmp_path):
    records, last = flat(pairs), pairs[-1][0]
    repeated = msgspec.structs.replace(pairs[0][0], slate=[5, 4], time_ms=pairs[0][0].time_ms + 50)
    deferred = msgspec.structs.replace(last, event_id="deferred", active=False, step=last.step + 1)
    activated = msgspec.structs.replace(deferred, event_id="activated", step=last.step + 2)
    orphan = RewardRecord(event_id="nobody", time_ms=NOW, reward=1.0)
    path = write(service, [*records[:-1], repeated, deferred, activated, orphan])
    write(service, [ActivationRecord(event_id="activated", time_ms=NOW), records[-1]])
    path.write_bytes(path.read_bytes() + b'{"kind":"decision","event_id":1}\nnot json\n' + b'{"torn')
    dataset, counts = compact(service, env.spec, tmp_path / "data", request(default=0.5))
    assert counts == Counts(len(pairs) + 1, dataset.episodes, len(pairs), 1, 0, 1, 1, 0, 1, 2)
    assert dataset.load().reward.sum() == pytest.approx(sum(r.reward for _, r in pairs) + 0.5, rel=1e-5)


def test_missing_steps_leave_a_gap_and_deferred_ones_none(service, env, pairs, tmp_path):
    long = max(Counter(d.session for d, _ in pairs).items(), key=lambda each: each[1])[0]
    mine = [pair for pair in pairs if pair[0].session == long][:6]
    mine[2] = (msgspec.structs.replace(mine[2][0], active=False), mine[2][1])
    del mine[4]
    write(service, flat(mine))
    dataset, _ = compact(service, env.spec, tmp_path / "data", request())
    assert dataset.load().step.tolist() == [0, 1, 2, 4]


def test_a_clock_that_goes_back_an_hour_breaks_nothing(service, env, pairs, tmp_path):
    write(service, flat(pairs))
    expected = compact(service, env.spec, tmp_path / "plain", request(again=True))[0].load()
    for path in service.log.iterdir():
        path.unlink()
    records, half = flat(pairs), len(pairs)
    back = [msgspec.structs.replace(each, time_ms=each.time_ms - 60 * MINUTE) for each in records[half:]]
    write(service, [*records[:half], *back[: half // 2]], "01800000000000-host-1.jsonl")
    write(service, back[half // 2 :], "01800000000001-host-1.jsonl")
    found = compact(service, env.spec, tmp_path / "same process", request(again=True))[0].load()
    assert np.array_equal(found.step, expected.step) and np.array_equal(found.reward, expected.reward)
    (service.log / "01800000000001-host-1.jsonl").rename(service.log / "01799996400000-host-2.jsonl")
    found = compact(service, env.spec, tmp_path / "another process", request(again=True))[0].load()
    assert found.episode[-1] == expected.episode[-1]
    assert np.array_equal(found.step, expected.step) and found.reward.sum() == pytest.approx(expected.reward.sum())


def test_a_clock_that_goes_back_keeps_the_order_of_sessions_whose_client_carries_nothing(service, env, pairs, tmp_path):
    decisions = [msgspec.structs.replace(each, first=True, step=0) for each, _ in pairs]
    write(service, decisions)
    expected = compact(service, env.spec, tmp_path / "plain", request(again=True))[0].load()
    for path in service.log.iterdir():
        path.unlink()
    half = len(pairs) // 2
    back = [msgspec.structs.replace(each, time_ms=each.time_ms - 20 * MINUTE) for each in decisions[half:]]
    write(service, decisions[:half], "01800000000000-host-1.jsonl")
    write(service, back, "01800000000001-host-1.jsonl")
    found = compact(service, env.spec, tmp_path / "same process", request(again=True))[0].load()
    assert np.array_equal(found.user, expected.user) and np.array_equal(found.slate, expected.slate)


def test_a_session_id_names_one_episode_after_another(service, env, pairs, tmp_path):
    (first, _), (second, _), (third, _) = pairs[:3]
    at = [NOW, NOW + MINUTE, NOW + 40 * MINUTE]
    decisions = [
        msgspec.structs.replace(each, session="s", time_ms=time_ms)
        for each, time_ms in zip([first, second, third], at, strict=True)
    ]
    write(service, decisions)
    dataset, _ = compact(service, env.spec, tmp_path / "data", request())
    assert dataset.load().episode.tolist() == [0, 0, 1]
    went_on = msgspec.structs.replace(decisions[2], first=False, step=1)  # the clock was put an hour forward
    write(service, [went_on], "0-host-2.jsonl")
    dataset, _ = compact(service, env.spec, tmp_path / "forward", request(again=True))
    assert dataset.load().episode.tolist() == [0, 0, 0]
    (service.log / "0-host-2.jsonl").unlink()
    write(service, [RewardRecord(event_id=first.event_id, time_ms=NOW, final=True)])
    dataset, _ = compact(service, env.spec, tmp_path / "again", request(again=True))
    assert dataset.load().episode.tolist() == [0, 1, 2]


def test_a_response_that_came_with_the_next_request_counts(service, env, pairs, tmp_path):
    mine = [each for each, _ in pairs if each.session == pairs[0][0].session][:2]
    response = {"click": [1.0, 0.0], "watch_time": [3.0, 0.0]}
    write(service, [mine[0], msgspec.structs.replace(mine[1], response=response)])
    dataset, counts = compact(service, env.spec, tmp_path / "data", request(include_open=True))
    assert dataset.load().reward.tolist() == [3.0, 0.0] and dataset.load().clicked.tolist() == [0, 2]
    assert (counts.rewarded, counts.defaulted) == (1, 1)


def test_unknown_propensities_leave_the_column_out(service, env, pairs, tmp_path):
    write(service, [msgspec.structs.replace(pairs[0][0], log_propensity=None), *flat(pairs)[1:]])
    dataset, _ = compact(service, env.spec, tmp_path / "data", request())
    assert dataset.load().log_propensity is None and "1 decisions have none" in dataset.about["propensities"]


def test_total_propensities_are_of_whole_slates(service, env, pairs, tmp_path):
    write(service, flat(pairs))
    dataset, _ = compact(service, env.spec, tmp_path / "data", request(propensity="total"))
    expected = sorted(each.log_total for each, _ in pairs)
    assert sorted(dataset.load().log_propensity.sum(1).tolist()) == pytest.approx(expected, abs=1e-5)
    assert "shared among positions" in dataset.about["propensities"]


def parts_of(pairs, rng, parts: int) -> list[list]:
    """Cut a log into successive parts; reports may come in a later one than their decisions."""
    records = flat(pairs)
    cuts = np.sort(rng.integers(0, len(records), parts - 1))
    return [list(part) for part in np.split(np.array(records, object), cuts)]


@pytest.mark.parametrize("seed", range(2))
def test_one_compaction_after_another_writes_each_decision_once(service, env, pairs, tmp_path, seed):
    """The log grows while it is compacted; sessions go on over several compactions; some compactions are killed."""
    write(service, flat(pairs))
    expected = rows_by_session(compact(service, env.spec, tmp_path / "whole", request(again=True))[0])
    for path in service.log.iterdir():
        path.unlink()
    rng, found = np.random.default_rng(seed), {}
    for number, part in enumerate([*parts_of(pairs, rng, 6), []]):
        now = max((each.time_ms for each in part), default=LATER)
        write(service, part, f"{number // 3}-host-1.jsonl")
        with suppress(ConfigError):  # no session is over
            asked = request(now_ms=LATER if not part else now)
            compact(service, env.spec, tmp_path / f"part-{number}", asked)
        if not (tmp_path / f"part-{number}").exists():
            continue
        rows = rows_by_session(Dataset.open(tmp_path / f"part-{number}"))
        assert not rows.keys() & found.keys()
        found |= rows
    assert found == expected
    with pytest.raises(ConfigError, match="no new decisions"):
        compact(service, env.spec, tmp_path / "nothing", request())
    write(service, [pairs[0][0], RewardRecord(event_id=pairs[1][0].event_id, time_ms=NOW, reward=7.0)])
    late = msgspec.structs.replace(pairs[2][0], event_id="new", session="new")
    write(service, [late])
    dataset, counts = compact(service, env.spec, tmp_path / "late", request(now_ms=NOW + 20 * MINUTE * 60))
    assert (dataset.steps, counts.duplicates, counts.late) == (1, 1, 1)


def test_a_report_may_be_compacted_before_its_decision(service, env, pairs, tmp_path):
    (decision, report), others = pairs[-1], [each for each in flat(pairs) if each.event_id != pairs[-1][0].event_id]
    write(service, [*others, report])
    asked = request(include_open=True, now_ms=report.time_ms)
    assert compact(service, env.spec, tmp_path / "first", asked)[1].orphans == 0
    write(service, [decision])
    dataset, counts = compact(service, env.spec, tmp_path / "second", asked)
    assert (counts.rewarded, counts.orphans) == (1, 0) and dataset.load().reward.tolist() == [np.float32(report.reward)]
    write(service, [msgspec.structs.replace(report, event_id="nobody"), pairs[0][0]])
    write(service, [msgspec.structs.replace(pairs[1][0], event_id="later", session="later")])
    assert compact(service, env.spec, tmp_path / "third", request())[1].orphans == 1


class Killed(BaseException):
    pass


@pytest.mark.parametrize("point", ["write", "begin", "named", "open"])
def test_a_killed_compaction_is_done_or_was_never_begun(service, env, pairs, tmp_path, monkeypatch, point):
    half = len(pairs) // 2
    write(service, flat(pairs[:half]))
    calls = 0

    def killed(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        if point == "write":
            patch.setattr(module._Compaction, "write", killed)
        elif point == "begin":
            begin = Ledger.begin
            patch.setattr(Ledger, "begin", lambda *args: (begin(*args), killed()))
        elif point == "named":  # the data set has its name, and nobody has noted it
            opened = Ledger.open

            def once(folder):
                nonlocal calls
                calls += 1
                return opened(folder) if calls == 1 else killed()

            patch.setattr(Ledger, "open", once)
        else:
            patch.setattr(Dataset, "open", killed)
        with pytest.raises(Killed):
            compact(service, env.spec, tmp_path / "first", request())
    done = (tmp_path / "first").exists()
    write(service, flat(pairs[half:]))
    second = compact(service, env.spec, tmp_path / "second", request())[0]
    rows = rows_by_session(second)
    if done:
        before = rows_by_session(Dataset.open(tmp_path / "first"))
        assert not before.keys() & rows.keys()
        rows |= before
    assert point not in ("named",) or done
    assert len(rows) == len(pairs)


def test_two_at_once_and_a_name_that_is_taken(service, env, pairs, tmp_path):
    write(service, flat(pairs))
    compact(service, env.spec, tmp_path / "data", request(again=True))
    with pytest.raises(ConfigError, match="is there already"):
        compact(service, env.spec, tmp_path / "data", request())
    with locked(service.path / "compacted"), pytest.raises(ConfigError, match="another process"):
        compact(service, env.spec, tmp_path / "other", request())


def recent(pairs) -> list:
    """Return the records as if they had been logged two days ago."""
    moved = int(time.time() * 1000) - 50 * MINUTE * 60 - NOW
    return [msgspec.structs.replace(each, time_ms=each.time_ms + moved) for each in flat(pairs)]


@pytest.fixture
def shop(env, tmp_path, capsys):
    """Return the data set that the command makes of a log of twelve sessions."""
    service = service_of(tmp_path, bundle_of(tmp_path / "bundle", env, "random"), explore="none")
    steps, version = played(env, "random", "none", episodes=12), service.pointed()[0].version
    pairs = list(records_of(steps, env.spec, "random", version, "none"))
    write(service, recent(pairs))
    words = [f"service_dir={tmp_path}", f"data_dir={tmp_path / 'data'}"]
    assert main(["compact", "log=service", "name=shop", *words]) == 0
    counts = f"{len(pairs):,} decisions in 12 sessions: {len(pairs):,} with a reward, 0 with the default"
    assert capsys.readouterr().out.splitlines()[-4] == counts
    assert main(["compact", "log=servic", "name=shop2", *words]) == 2
    assert "Did you mean 'service'?" in capsys.readouterr().err
    return tmp_path / "data" / "shop"


def test_what_the_command_writes_is_described(shop, capsys):
    assert main(["describe", f"data={shop}", "progress=off"]) == 0
    described = capsys.readouterr().out
    assert "random, explore=none" in described and "source serve" in described


@pytest.mark.slow
def test_what_the_command_writes_is_judged_and_learned_from(shop, tmp_path):
    assert main(["ope", f"data={shop}", "baselines=[random,myopic]", "progress=off", "log=false"]) == 0
    assert "random" in (shop / "ope.json").read_text()
    quickly = ["resources=inline", "tracking=off", "progress=off", f"output_dir={tmp_path}"]
    assert main(["train", "algo=lspi", f"data={shop}", "name=learned", *quickly]) == 0


@pytest.mark.slow
def test_kill_9_of_compactions_loses_nothing_and_duplicates_nothing(service, env, pairs, tmp_path):
    write(service, recent(pairs))
    expected = rows_by_session(compact(service, env.spec, tmp_path / "whole", request(again=True, now_ms=1 << 60))[0])
    rng, data, seconds, found = np.random.default_rng(0), tmp_path / "data", 6.0, {}
    for number in range(12):
        words = [f"log={service.path}", f"name=shop-{number}", f"data_dir={data}"]
        with (
            subprocess.Popen([sys.executable, "-m", "recsys_cli", "compact", *words]) as process,
            suppress(subprocess.TimeoutExpired),
        ):
            began = time.monotonic()
            process.wait(rng.uniform(0.7, 1.0) * seconds)
            seconds = time.monotonic() - began
        process.kill()
    compact_all = [path for path in data.iterdir() if not path.name.startswith(".")] if data.is_dir() else []
    for path in compact_all:
        rows = rows_by_session(Dataset.open(path))
        assert not found.keys() & rows.keys()
        found |= rows
    assert found == expected
