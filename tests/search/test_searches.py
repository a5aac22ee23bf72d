"""Sweeps in this process, on the Ray that the tests share: every search, failures, budgets, resuming."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from recsys_cli.cli import main
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.resources import ResourcesConfig
from recsys_cli.config.words import layered
from recsys_cli.files import read_json, read_jsonl
from recsys_cli.runs.resume import resumed
from recsys_cli.runs.seed import SeedTraining
from recsys_cli.search.plan import read_points

pytestmark = [pytest.mark.xdist_group("sweeps"), pytest.mark.usefixtures("one_cpu_ray")]

SEARCHES = sorted(path.stem for path in (conf_dir() / "search").glob("[!_]*.yaml"))
ANY = ("debug=smoke", "steps=4000", "tracking=off", "progress=plain", "evaluation.baselines=[random]")
ANY += ("resources.users_per_runner=50",)
SMOKE = (*ANY, "algo.learning_starts=200", "algo.batch_size=32")
LR = "algo.lr=tag(log,interval(1e-4,1e-2))"
WORDS = {
    "grid": ("steps=2000", "algo.lr=1e-3,1e-4", "search.seeds_per_point=2"),
    "random": ("search.trials=3", LR, "algo.n_step=1,3"),
    "hyperband": ("search.trials=5", "search.min_steps=1300", LR),
    "asha": ("search.trials=4", "search.min_steps=1300", LR),
    "bohb": ("search.trials=5", "search.min_steps=1300", LR),
    "median_stopping": ("search.trials=5", "search.min_steps=800", "search.min_trials=2", LR),
    "pbt": ("search.trials=4", "search.perturb_every=1000", LR, "algo.n_step=1,3"),
    "pb2": ("search.trials=4", "search.perturb_every=1000", "algo.lr=interval(1e-4,1e-2)"),
    "optuna": ("steps=1000", "search.trials=3", LR, "algo.loss=squared,huber"),
}
Sweep = Callable[..., tuple[int, str]]


def no_session(
    resources: ResourcesConfig, folder: Path, trials: int, seeds: int, say: object
) -> AbstractContextManager[Callable[[], bool]]:
    """Leave the tests' Ray as it is."""
    assert resources.cpus_per_trial(seeds) == 1 and folder.is_dir()
    return nullcontext(lambda: False)


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """A function that runs `recsys sweep` in an empty folder and returns its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("recsys_cli.runs.driver.ray_session", no_session)
    monkeypatch.setattr("recsys_cli.runs.session.begin", lambda *_: None)

    def run(*words: str) -> tuple[int, str]:
        code = main(["sweep", *layered(words)])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def rows(name: str) -> list[Mapping[str, str]]:
    with Path("runs", name, "points.csv").open() as file:
        return list(csv.DictReader(file))


def seeds(name: str) -> list[Path]:
    return sorted(path.parent for path in Path("runs", name).glob("*/seed.json"))


def slow_but(*fast: str) -> list[Any]:
    """Return the searches as parameters, slow all but these."""
    return [pytest.param(name, marks=[] if name in fast else pytest.mark.slow) for name in SEARCHES]


@pytest.mark.parametrize("search", slow_but("grid", "optuna"))  # HyperBand's fast test is that of a point's seeds
def test_every_search_ends_in_a_best_point_and_a_repeated_sweep_trains_nothing(sweep: Sweep, search: str) -> None:
    if search == "bohb":
        pytest.importorskip("hpbandster")  # needs a compiler, so that it is not among the development's packages
    code, printed = sweep(*SMOKE, f"search={search}", "name=a", *WORDS[search])
    assert code == 0, printed
    found = rows("a")
    assert {row["state"] for row in found} <= {"finished", "pruned"} and "finished" in {row["state"] for row in found}
    assert all(float(row["score"]) > 0 and int(row["steps"]) > 0 for row in found)
    best = read_json(Path("runs/a/best.json"))["best"]["all"]
    finished = {row["point"]: float(row["point_score"]) for row in found if row["state"] == "finished"}
    assert finished[best["point"]] == pytest.approx(max(finished.values()), abs=1e-5)
    assert f"best: {best['point']}" in printed and "next: recsys train from=a/best seeds=5" in printed
    assert "20 fresh users" in printed and "\nrandom " in printed
    assert (Path("runs/a/slices.svg").is_file(), Path("runs/a/parallel.svg").is_file()) == (True, True)
    last = [(folder / "checkpoints/last.json").stat().st_mtime for folder in seeds("a")]
    assert sweep("resume=a")[0] == 0
    assert rows("a") == found
    assert [(folder / "checkpoints/last.json").stat().st_mtime for folder in seeds("a")] == last


@pytest.mark.slow
@pytest.mark.parametrize("search", ["grid", "hyperband", "pbt"])
def test_a_sweep_stopped_on_the_way_ends_as_an_undisturbed_one(sweep: Sweep, search: str) -> None:
    words = (*SMOKE, f"search={search}", *WORDS[search])
    assert sweep(*words, "name=whole")[0] == 0
    whole = sum(int(row["steps"]) for row in rows("whole"))
    assert sweep(*words, "name=a", f"search.max_steps={whole // 3}")[0] == 130
    assert sweep("resume=a", f"search.max_steps={2 * whole // 3}")[0] == 130
    assert rows("a") != rows("whole")
    assert sweep("resume=a", "search.max_steps=null")[0] == 0
    assert rows("a") == rows("whole")
    assert_the_journal_is_repeated_and_nothing_trained()


def assert_the_journal_is_repeated_and_nothing_trained() -> None:
    folder = next(folder for folder in seeds("a") if read_json(folder / "seed.json")["status"] == "finished")
    config, sweep_dir = resumed(["resume=a"], "sweep")
    point = next(point for point in read_points(sweep_dir, config) if folder.name.startswith(point.name))
    seed = SeedTraining(point.config, int(folder.name[-1]), folder.resolve(), repeat=True)
    reports = []
    while not reports or not reports[-1].finished:
        reports.append(seed.report())
    known = read_jsonl(folder / "metrics.jsonl")
    assert [(report.steps, report.metrics) for report in reports] == [(row["steps"], row["metrics"]) for row in known]
    assert all(report.repeated for report in reports) and seed._training is None


@pytest.mark.slow
@pytest.mark.parametrize("search", ["asha", "median_stopping"])
def test_what_an_asynchronous_scheduler_decided_stays_decided(sweep: Sweep, search: str) -> None:
    words = (*SMOKE, f"search={search}", *WORDS[search])
    assert sweep(*words, "name=a", "search.max_steps=9000")[0] == 130
    decided = {row["folder"]: row for row in rows("a") if row["state"] in ("finished", "pruned")}
    assert decided
    # Stopped at the first report, which is one that was there before.
    assert sweep("resume=a", "search.max_steps=1")[0] == 130
    assert {row["folder"]: row for row in rows("a") if row["folder"] in decided} == decided
    assert sweep("resume=a", "search.max_steps=null")[0] == 0
    found = {row["folder"]: row for row in rows("a")}
    assert {folder: found[folder] for folder in decided} == decided
    assert {row["state"] for row in found.values()} <= {"finished", "pruned"}


def test_a_point_of_a_scheduler_is_all_its_seeds(sweep: Sweep) -> None:
    words = ("steps=3000", "search.trials=5", "search.min_steps=1000", "search.seeds_per_point=2")
    words += ("search.over_seeds=iqm", LR)
    code, printed = sweep(*SMOKE, "search=hyperband", "name=a", *words)
    assert code == 0, printed
    found = rows("a")
    assert len(found) == 10
    for one, other in zip(found[::2], found[1::2], strict=True):
        assert (one["point"], one["state"], one["point_score"]) == (
            other["point"],
            other["state"],
            other["point_score"],
        )
        assert (one["seed"], other["seed"]) == ("0", "1") and one["score"] != other["score"]
        assert float(one["point_score"]) == pytest.approx((float(one["score"]) + float(other["score"])) / 2, abs=1e-4)
    assert "pruned" in {row["state"] for row in found}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "words"),
    [("algo.n_step", (*SMOKE, "algo.n_step=1,3")), ("algo.epochs", (*ANY, "algo=ppo", "algo.epochs=1,4"))],
    ids=["slateq", "ppo"],
)
def test_a_population_copies_and_changes(sweep: Sweep, other: str, words: tuple[str, ...]) -> None:
    code, printed = sweep(*words, "search=pbt", "name=a", "search.trials=4", "search.perturb_every=1000", LR)
    assert code == 0, printed
    changed = 0
    best = read_json(Path("runs/a/best.json"))["best"]["all"]
    point = read_json(Path("runs/a", f"{best['point']}-seed_0", "seed.json"))["point"]
    assert f"algo.lr={point['algo.lr']}" in best["words"] and f"{other}={point[other]}" in best["words"]
    for folder in seeds("a"):
        values = [row["metrics"]["point/algo.lr"] for row in read_jsonl(folder / "metrics.jsonl")]
        assert all(1e-4 <= value <= 1e-2 for value in values)
        changed += len(set(values)) - 1
        used = [row["metrics"]["learner/lr"] for row in read_jsonl(folder / "metrics.jsonl")]
        falls = [lr / value for lr, value in zip(used, values, strict=True)]
        assert falls == sorted(falls, reverse=True)  # the schedule of the copied training, from the changed value
    assert changed >= 2


def test_algorithms_are_compared_problem_by_problem(sweep: Sweep) -> None:
    words = ("env=interest_evolution,interest_exploration", "algo=slateq,random")
    code, printed = sweep(*ANY, "steps=1000", "name=a", *words)
    assert code == 0, printed
    best = read_json(Path("runs/a/best.json"))["best"]
    assert set(best) == {"env=interest_evolution", "env=interest_exploration"}
    for problem, about in best.items():
        assert f"best of {problem}: {about['point']}" in printed
        assert f"recsys train from=a/{about['point']} seeds=5" in printed


@pytest.mark.parametrize(
    ("policy", "last"), [("continue", "finished"), pytest.param("stop", "waiting", marks=pytest.mark.slow)]
)
def test_a_failure_is_told_at_once_and_the_rest_goes_on_or_not(sweep: Sweep, policy: str, last: str) -> None:
    # Episodes of the second problem have no such metric, which only its first evaluation can show.
    words = (
        "env=interest_evolution,long_term_satisfaction,interest_exploration",
        "search.metric=eval/quality_per_click",
    )
    words += (f"search.on_failure={policy}", "algo=ppo")
    code, printed = sweep(*ANY, "steps=1000", "name=a", *words)
    assert code == 1, printed
    assert {row["env"]: row["state"] for row in rows("a")} == {
        "interest_evolution": "finished",
        "long_term_satisfaction": "failed",
        "interest_exploration": last,
    }
    failure = (
        "p001-seed_0 failed: ValueError: episodes of this problem have no eval/quality_per_click; they have eval/return"
    )
    assert failure in printed and "all of it in runs/a/p001-seed_0/error.txt" in printed
    assert "in _score" in Path("runs/a/p001-seed_0/error.txt").read_text()  # the whole way to it
    assert printed.index(failure) < printed.index("points by eval/quality_per_click")


@pytest.mark.slow
def test_a_budget_stops_the_sweep_and_a_greater_one_goes_on(sweep: Sweep) -> None:
    words = ("algo.lr=1e-3,3e-4,1e-4,3e-5", "search.max_steps=6000")
    code, printed = sweep(*SMOKE, "name=a", *words)
    assert code == 130 and "search.max_steps=6,000 are spent" in printed
    assert "continue: recsys sweep resume=a" in printed
    states = [row["state"] for row in rows("a")]
    assert sorted(states) == ["finished", "stopped", "waiting", "waiting"]
    spent = sum(int(row["steps"]) for row in rows("a"))
    assert 6000 <= spent < 8500
    code, printed = sweep("resume=a", "search.max_steps=null")
    assert code == 0, printed
    assert {row["state"] for row in rows("a")} == {"finished"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resume=nothing"], "resume='nothing' was not found"),
        (["resume=a", "algo.lr=1"], "algo.lr: a continued sweep keeps its algo.lr; with resume= these may change:"),
        (["resume=a", "env=interest_exploration"], "a continued sweep keeps its env"),
        (["resume=a", "search.trials=9"], "search.trials: a continued sweep keeps its search.trials"),
        (["name=a", "algo.lr=1e-3,1e-4"], "exists; take another name, or continue it by resume=a"),
        (["resume=run"], "resume=run is a run, not a sweep"),
    ],
)
def test_refusals_about_what_is_there(sweep: Sweep, words: list[str], message: str) -> None:
    from recsys_cli.config.compose import compose
    from recsys_cli.runs.folder import create_run
    from recsys_cli.search.checks import check_sweep
    from recsys_cli.search.plan import create_sweep
    from recsys_cli.search.points import Space

    space = Space(["name=a", "algo.lr=1e-3,1e-4"])
    create_sweep(space.base, ["name=a"], [], check_sweep(space))
    create_run(compose("train", ["name=run"]), "train", [])
    code, printed = sweep(*words)
    assert code == 2 and message in printed and printed.count("\n") == 1


def test_a_best_point_is_trained_and_evaluated_anew(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(*SMOKE, "steps=1000", "name=a", "algo.lr=1e-3,1e-5")[0] == 0
    best = read_json(Path("runs/a/best.json"))["best"]["all"]
    words = ("from=a/best", "seeds=2", "name=b", "progress=plain", "steps=2000", "resources.inline=true")
    assert main(["train", *words]) == 0
    yaml = importlib.import_module("yaml")
    config: dict[str, Any] = yaml.safe_load(Path("runs/b/config.yaml").read_text())
    assert config["algo"]["lr"] == float(best["values"]["algo.lr"])
    assert (config["steps"], config["seeds"], config["name"]) == (2000, 2, "b")
    capsys.readouterr()
    assert main(["evaluate", "checkpoint=a/best", "users=20", "baselines=[]", "tracking=off"]) == 0
    printed = capsys.readouterr()
    assert f"the best point's checkpoint, {best['point']}-seed_0" in printed.err
    assert main(["train", "from=a/p9"]) == 2
    assert "the sweep has no point p9" in capsys.readouterr().err
    assert not Path("runs/b/start").exists()  # trained anew
    seed = [
        "from=a/p000-seed_0",
        "name=c",
        "progress=off",
        "steps=500",
        "resources.inline=true",
        "evaluation.baselines=[]",
    ]  # a seed's checkpoint: started from
    assert main(["train", *seed]) == 0
    assert Path("runs/c/start").is_dir()
