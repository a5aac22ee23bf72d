"""Users' logs become data sets: all layouts and formats, in any order, in little memory, whole or not at all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from import_logs import IMPRESSIONS, MAPPING, imported, impressions, slate_rows, write, write_mapping
from logs import played
from test_dataset import assert_equal

from recsys_cli.cli import main
from recsys_cli.config import catalog
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.importing import log as import_module
from recsys_cli.offline.importing.guess import guess
from recsys_cli.offline.importing.log import import_log
from recsys_cli.offline.importing.mapping import load_mapping
from recsys_cli.offline.writer import Writer

VARYING = [("interest_evolution", [5, 12]), ("interest_exploration", [3, 9])]


def recorded(folder: Path, name: str, num_candidates: int | list[int] = 10) -> Dataset:
    """Return a data set as `recsys record` writes it, in two parts."""
    env = load("env", name, num_candidates=num_candidates)
    log = dataclasses.replace(played(env, 12), memory=None)
    writer = Writer(folder, env.spec, {"behaviour": "random"})
    writer.write(log.episodes(slice(7)))
    writer.write(log.episodes(slice(7, None)))
    return writer.finish()


@pytest.mark.parametrize(("name", "candidates"), [*((name, 10) for name in catalog.option_names("env")), *VARYING])
def test_a_data_set_is_imported_back(tmp_path: Path, name: str, candidates: int | list[int]) -> None:
    dataset = recorded(tmp_path / "log", name, candidates)
    guess(dataset.folder, tmp_path / "own.yaml")
    mapping = load_mapping(tmp_path / "own.yaml")
    again, report = import_log(
        mapping, sorted(dataset.folder.glob("*.parquet")), tmp_path / "again", rows_in_memory=300
    )
    assert_equal(again.load(), dataset.load())
    assert len(again.parts) > 1 and not report.refused and not report.warnings


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_copy_as_text_is_imported_back(tmp_path: Path, suffix: str) -> None:
    dataset = recorded(tmp_path / "log", "interest_evolution")
    table = pa.concat_tables([pq.read_table(dataset.folder / part.file) for part in dataset.parts])
    guess(dataset.folder, tmp_path / "own.yaml")
    copy = write(tmp_path / f"copy.{suffix}", table.to_pylist())
    again, _ = import_log(load_mapping(tmp_path / "own.yaml"), [copy], tmp_path / "again")
    assert_equal(again.load(), dataset.load())


def test_every_format_and_layout_gives_the_same_steps(tmp_path: Path) -> None:
    rows = slate_rows()
    first, report = imported(tmp_path, write(tmp_path / "log.parquet", rows), MAPPING)
    steps = first.load()
    assert (report.slates, report.episodes, report.refused, report.warnings) == (300, 60, {}, [])
    assert first.spec.user.names == ("age", "country=AT", "country=DE", "country=FR")
    for suffix in ("csv", "jsonl"):
        assert_equal(imported(tmp_path, write(tmp_path / f"log.{suffix}", rows), MAPPING)[0].load(), steps)
    by_item = imported(tmp_path, write(tmp_path / "items.csv", impressions(rows)), IMPRESSIONS)[0]
    assert_equal(by_item.load(), steps)
    ids = json.loads((first.folder / "item_ids.json").read_text())
    shown = [[ids[n] for n in doc[slate]] for doc, slate in zip(steps.doc, steps.slate, strict=True)]
    assert shown == [row["slate"] for row in rows]
    np.testing.assert_array_equal(steps.clicked, [row["click"] if row["click"] >= 0 else 2 for row in rows])
    np.testing.assert_allclose(steps.log_propensity, np.log([row["propensity"] for row in rows]), rtol=1e-6)
    assert steps.terminated.reshape(60, 5)[:, -1].all() and steps.terminated.sum() == 60


@pytest.mark.parametrize("layout", ["slate", "impression"])
def test_rows_in_any_order_need_little_memory(tmp_path: Path, layout: str) -> None:
    rows = slate_rows()
    rows, mapping = (rows, MAPPING) if layout == "slate" else (impressions(rows), IMPRESSIONS)
    expected = imported(tmp_path, write(tmp_path / "log.jsonl", rows), mapping)[0].load()
    shuffled = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    dataset, report = imported(tmp_path, write(tmp_path / "shuffled.jsonl", shuffled), mapping, rows=50)
    assert len(dataset.parts) > 5 and report.disordered and not report.refused
    steps = dataset.load()
    order = np.lexsort((steps.step, steps.time - 1_000 * steps.step))
    columns = dataclasses.replace(steps.take(order), episode=expected.episode)
    assert_equal(columns, expected)


def test_a_user_s_rows_are_cut_into_sessions_by_gaps_and_ends(tmp_path: Path) -> None:
    rows = slate_rows(sessions=3)
    for i, row in enumerate(rows):
        row["session"], row["left"] = "one user", int(i == 1)
    log = write(tmp_path / "log.csv", rows)
    steps = imported(tmp_path, log, MAPPING, step=None, session_gap="30m")[0].load()
    assert steps.lengths.tolist() == [5, 5, 5]
    steps = imported(tmp_path, log, MAPPING, step=None, session_gap="30m", terminated="left")[0].load()
    assert steps.lengths.tolist() == [2, 3, 5, 5]
    assert steps.terminated[steps.starts[1:] - 1].tolist() == [True, False, False]
    assert steps.truncated[steps.starts[1:] - 1].tolist() == [False, True, True]


@pytest.mark.parametrize(("several", "expected"), [("first", 0), ("last", 1), ("most_rewarded", 1)])
def test_several_clicks_are_kept_and_one_counts(tmp_path: Path, several: str, expected: int) -> None:
    rows = [{**row, "click": [1, 1], "worth": [1.0, 2.5]} for row in slate_rows()]
    clicks, reward = {"columns": "click", "several": several}, {"columns": "worth", "of": "clicked"}
    mapping = {**MAPPING, "response": {"worth": "worth"}}
    dataset, report = imported(tmp_path, write(tmp_path / "log.csv", rows), mapping, clicks=clicks, reward=reward)
    steps = dataset.load()
    assert (steps.clicked == expected).all() and (steps.response["click"] == 1).all()
    assert (steps.reward == [1.0, 2.5][expected]).all() and dataset.spec.reward == "worth"
    assert report.several_clicks == 300 and any("with several clicks" in line for line in report.warnings)


@pytest.mark.parametrize("of", ["items", "flags", "positions"])
def test_clicks_are_read_however_they_are_written(tmp_path: Path, of: str) -> None:
    rows = slate_rows()
    expected = imported(tmp_path, write(tmp_path / "log.csv", rows), MAPPING)[0].load().clicked
    for row in rows:
        at = row["click"]
        row["click"] = {
            "items": "" if at < 0 else row["slate"][at],
            "flags": [int(at == 0), int(at == 1)],
            "positions": at + 1,
        }[of]
    clicks = {"columns": "click", "of": of, "first": 1}
    steps = imported(tmp_path, write(tmp_path / "other.csv", rows), MAPPING, clicks=clicks)[0].load()
    np.testing.assert_array_equal(steps.clicked, expected)


def test_items_are_joined_by_id(tmp_path: Path) -> None:
    items = [{"id": f"item-{i}", "price": i / 2, "genres": "a|b" if i % 2 else "c"} for i in range(12)]
    write(tmp_path / "items.csv", items)
    mapping = {**MAPPING, "items": {"file": "items.csv", "id": "id"}}
    dataset, _ = imported(tmp_path, write(tmp_path / "log.csv", slate_rows()), mapping)
    steps, documents = dataset.load(), dataset.spec.documents
    assert documents.features.names == ("price", "genres=a", "genres=b", "genres=c")
    dense = documents.dense(steps.doc)
    ids = json.loads((dataset.folder / "item_ids.json").read_text())
    number = np.array([int(text.partition("-")[2]) for text in ids])[steps.doc]
    np.testing.assert_array_equal(dense[..., 0], number / 2)
    np.testing.assert_array_equal(dense[..., 1:], np.stack([number % 2, number % 2, 1 - number % 2], axis=-1))


@pytest.mark.parametrize("how", ["log", "day", "slate"])
def test_candidates_that_are_not_logged_are_assumed(tmp_path: Path, how: str) -> None:
    rows = slate_rows(sessions=48)  # two days
    changes = {"candidates": {"otherwise": how}, "propensity": None}
    dataset, report = imported(tmp_path, write(tmp_path / "log.csv", rows), MAPPING, **changes)
    steps = dataset.load()
    day = np.array([row["time"] // 86_400_000 for row in rows])
    for each in np.unique(day) if how == "day" else [None]:
        of_day = np.ones(len(rows), bool) if each is None else day == each
        shown = {item for row, it in zip(rows, of_day, strict=True) if it for item in row["slate"]}
        mask = np.ones_like(steps.doc, bool) if steps.mask is None else steps.mask
        assert (mask[of_day].sum(1) == (2 if how == "slate" else len(shown))).all()
    ids = json.loads((dataset.folder / "item_ids.json").read_text())
    slates = np.take_along_axis(steps.doc, steps.slate.astype(int), axis=1)
    assert [[ids[n] for n in slate] for slate in slates] == [row["slate"] for row in rows]
    assert "does not say what was offered" in report.candidates
    assert report.propensities.startswith("none" if how == "slate" else "estimated")
    assert (steps.log_propensity is None) == (how == "slate")


def test_a_refused_row_leaves_a_gap_or_cuts_its_session(tmp_path: Path) -> None:
    rows = slate_rows()
    rows[7]["reward"] = 99.0  # the third step of the second session
    log = write(tmp_path / "log.csv", rows)
    dataset, report = imported(tmp_path, log, MAPPING)
    steps = dataset.load()
    assert steps.step[5:9].tolist() == [0, 1, 3, 4] and steps.following()[5:9].tolist() == [6, -1, 8, -1]
    assert report.refused == {"reward outside [0, 10]": 1} and report.gaps == 1
    side = [json.loads(line) for line in (dataset.folder / "refused-00000.jsonl").read_text().splitlines()]
    assert side == [{"reason": "reward outside [0, 10]", "file": str(log), "line": 9}]
    dataset, report = imported(tmp_path, log, MAPPING, broken_sessions="cut")
    steps = dataset.load()
    assert steps.lengths[:3].tolist() == [5, 2, 5] and steps.truncated[6] and not steps.terminated[6]
    assert report.refused_rows == 3


def test_an_import_that_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    mapping = load_mapping(write_mapping(tmp_path / "mapping.yaml", MAPPING))
    log = write(tmp_path / "log.csv", slate_rows())

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module.Writer, "finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_log(mapping, [log], data / "log")
    assert list(data.iterdir()) == []
    monkeypatch.undo()
    import_log(mapping, [log], data / "log")
    with pytest.raises(ConfigError, match="is there already"):
        import_log(mapping, [log], data / "log")


def test_the_command_guesses_and_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{**row, "noise": 1} for row in slate_rows()]
    write(tmp_path / "shop.csv", rows)
    assert main(["import", "--guess", "shop.csv"]) == 0
    out = capsys.readouterr().out
    assert "not used: noise" in out and "next: recsys import mapping=shop.mapping.yaml" in out
    assert main(["import", "mapping=shop.mapping.yaml", "data=shop.csv", "name=shop"]) == 0
    out = capsys.readouterr().out
    assert "300 rows of 1 file: 300 slates in 60 episodes" in out and "no row refused" in out
    expected, _ = imported(tmp_path, tmp_path / "shop.csv", MAPPING)
    assert_equal(Dataset.open(tmp_path / "data" / "shop").load(), expected.load())
    assert main(["import", "--guess", "shop.csv"]) == 2  # the mapping is there already
    assert main(["import", "mapping=shop.mapping.yaml", "data=none.csv", "name=other"]) == 2
    assert "data=none.csv: there is no such file" in capsys.readouterr().err
