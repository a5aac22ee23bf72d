"""Every wrong request is answered by one line that helps, and exit code 2.

To add a case, add a line to `CASES`: the words typed after `recsys`, and what the answer must contain.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from recsys_cli.config.words import layered

JOINT = "sweep search=hyperband search.seeds_per_point=2 algo.lr=interval(1e-4,1e-2)"
CASES = [
    # commands and options
    ("tran", ["tran is not a command", "'train'"]),
    ("nonsense", ["nonsense is not a command", "evaluate", "list", "train"]),
    ("env=interest_evolution", ["a command comes first", "recsys train env=interest_evolution"]),
    ("--sed", ["--sed is not an option"]),
    ("list --cfg job", ["'recsys list' has no config"]),
    ("train --cfg", ["--cfg job"]),
    ("train --cfg=all", ["--cfg all", "--cfg job"]),
    ("train --seeds=5", ["--seeds=5", "without dashes: seeds=5"]),
    ("train --multirun", ["seeds=5"]),
    ("train -x", ["-x is not an option", "--help"]),
    ("list nothing", ["there is no such group", "env"]),
    ("list slateq", ["'algo=slateq'"]),
    ("list env=interest_evolutoin", ["Did you mean 'interest_evolution'?"]),
    ("completion", ["one shell is expected", "bash", "fish", "zsh"]),
    ("completion bsh", ["Did you mean 'bash'?"]),
    # words that are no overrides
    ("train foo", ["foo: <key>=<value> is expected"]),
    ("train slateq", ["Did you mean 'algo=slateq'?"]),
    ("train env.=3", ["env.=3", "'env.' is not a key"]),
    ("train =3", ["=3"]),
    ("train algo.network.hidden=[256", ["algo.network.hidden=[256", "close every bracket"]),
    ("train output_dir=/a(b)", ["""'output_dir="/a(b)"'"""]),
    ("train env@x=interest_evolution", ["'env@x' is not a key"]),
    ("train hydra.verbose=true", ["Hydra's own settings cannot be set"]),
    ("train hydra.searchpath=[/tmp]", ["Hydra's own settings cannot be set", "--config-dir <folder>"]),
    # values that are empty, as from an unset variable, and keys given twice
    ("train resume=", ["resume= is empty, as if from an unset variable"]),
    ("train resume=''", ["resume='' is empty"]),
    ("train resume=${oc.env:RECSYS_CLI_EMPTY}", ["resume=${oc.env:RECSYS_CLI_EMPTY} is empty"]),
    ("train from=", ["from= is empty"]),
    ("train from=x output_dir=", ["output_dir= is empty"]),
    ("sweep resume=", ["resume= is empty"]),
    ("sync x output_dir=", ["output_dir= is empty"]),
    ("train output_dir=", ["output_dir= must not be empty"]),
    ("train name=", ["name= must not be empty"]),
    ("train tracking.experiment=", ["tracking.experiment= must not be empty"]),
    ("train tracking.uri=", ["tracking.uri= must not be empty"]),
    ("train seed=${oc.env:RECSYS_CLI_EMPTY}", ["seed=: an integer is expected"]),
    ("evaluate checkpoint=", ["checkpoint= must not be empty"]),
    ("evaluate checkpoint=x output=", ["output= must not be empty"]),
    ("register checkpoint=x name=", ["name= must not be empty"]),
    ("train seed=1 seed=2", ["seed=1 seed=2: seed is given twice"]),
    ("train +seed=1 seed=2", ["+seed=1 seed=2: seed is given twice"]),
    ("train resume=a resume=b", ["resume=a resume=b: resume is given twice"]),
    ("train env=interest_evolution env=long_term_satisfaction", ["env is given twice"]),
    ("train +debug=smoke debug=smoke", ["debug is given twice"]),
    ("sweep algo.lr=1,2 seed=1 seed=2", ["seed is given twice"]),
    # names, which are chosen by the group
    ("train env.name=foo", ["env.name=foo: a name cannot be set; env=<option> chooses another"]),
    ("train algo.name=foo", ["algo.name=foo: a name cannot be set; algo=<option> chooses another"]),
    ("evaluate checkpoint=x env.name=foo", ["env.name=foo: a name cannot be set"]),
    ("train name=..", ["name=.. must be the name of a folder"]),
    ("train name=.git", ["name=.git must be the name of a folder"]),
    # groups and options
    ("train env=interest_evolutoin", ["env=interest_evolutoin", "interest_exploration", "'interest_evolution'"]),
    ("train env=null", ["env=null", "Allowed: groups, interest_evolution"]),
    ("train env=", ["env=", "Allowed: groups, interest_evolution"]),
    ("train env=[interest_evolution,interest_exploration]", ["one option is expected"]),
    ("train envs=interest_evolution", ["envs is unknown", "'env'"]),
    ("train nothing=grid", ["nothing is unknown", "env", "algo", "seeds"]),
    ("train +nothing=grid", ["nothing is unknown"]),
    (
        "train framework=tf2",
        ["framework=tf2", "RLlib's new API stack has only Torch learners", "Allowed: torch, torch_compile"],
    ),
    ("train algo=dreamerv3", ["algo=dreamerv3 does not exist (RLlib's takes an image or one vector", "Allowed: "]),
    ("train framework=jax", ["RLlib's new API stack has only Torch learners"]),
    ("train experiment=quick_lok", ["Did you mean 'quick_look'?"]),
    ("train +debug=smok", ["Did you mean 'smoke'?"]),
    ("evaluate checkpoint=x env=interest_evolution", ["no group env", "env.<key>=<value>"]),
    ("evaluate checkpoint=x algo=slateq", ["no group algo", "tracking"]),
    # keys
    ("train env.num_candidate=50", ["env.num_candidate is unknown", "'env.num_candidates'"]),
    ("train num_candidates=50", ["num_candidates is unknown", "'env.num_candidates'"]),
    ("train seed_=3", ["seed_ is unknown", "'seed'"]),
    ("train evaluation.user=3", ["evaluation.user is unknown", "'evaluation.users'"]),
    ("train evaluation={user:3}", ["evaluation.user is unknown", "'evaluation.users'"]),
    ("train env.xyz=1", ["env.xyz is unknown with env=interest_evolution", "Keys of env:", "num_candidates"]),
    ("train algo.kind=concat", ["algo.kind is unknown", "'algo.network.kind'"]),
    ("train algo.a.b.c=1", ["algo.a.b.c is unknown"]),
    ("train ++env.foo=1", ["env.foo is unknown"]),
    ("train ~env", ["keys cannot be removed"]),
    ("train ~env.slate_size", ["keys cannot be removed", "env.slate_size=<value>"]),
    ("train env._target_=os.system", ["env._target_ cannot be set"]),
    ("train evaluation={_target_:os.system}", ["evaluation._target_ cannot be set"]),
    # values
    ("train algo.lr=abc", ["algo.lr=abc", "a number"]),
    ("train algo.lr=nan", ["algo.lr=nan", "a number"]),
    ("train algo.lr=true", ["algo.lr=true", "a number"]),
    ("train env.slate_size=2.5", ["env.slate_size=2.5", "an integer"]),
    ("train seed=null", ["seed=null", "an integer"]),
    ("train env.resample_documents=maybe", ["env.resample_documents=maybe", "true or false"]),
    ("train algo.network.hidden=[64,wide]", ["algo.network.hidden=[64,wide]", "a list of integers"]),
    ("train algo.network=3", ["algo.network=3", "a group of keys", "algo.network.<key>=<value>"]),
    ("train algo.lr.x=3", ["algo.lr={x:3}", "a number"]),
    ("train algo.loss=hubber", ["algo.loss=hubber", "squared, huber", "Did you mean 'huber'?"]),
    ("train progress=rihc", ["progress=rihc", "auto, rich, plain, off", "'rich'"]),
    ("train evaluation.baselines=[random,best]", ["evaluation.baselines=[random,best]", "random, myopic, oracle"]),
    ("train algo.lr=1e-3,1e-4", ["algo.lr=1e-3,1e-4", "one value is expected", "[1e-3,1e-4]"]),
    ("train algo.lr=choice(1,2)", ["algo.lr=choice(1,2)", "one value is expected"]),
    ("train env=interest_evolution,interest_exploration", ["one value is expected"]),
    ("train seed=${nowhere}", ["seed", "nowhere"]),
    ("train seed=${oc.env:RECSYS_CLI_NOT_SET}", ["seed", "RECSYS_CLI_NOT_SET"]),
    ("evaluate", ["checkpoint is required", "checkpoint=<value>", "run id"]),
    ("evaluate checkpoint=x tracking=mlflow_server", ["tracking.uri is required", "MLFLOW_TRACKING_URI"]),
    # ranges and what must fit together
    ("train seeds=0", ["seeds=0 must be at least 1"]),
    ("train steps=-1", ["steps=-1 must be at least 1"]),
    ("train report_every=0", ["report_every=0 must be at least 1"]),
    ("train evaluation.users=0", ["evaluation.users=0 must be at least 1"]),
    ("train checkpoint.keep=0", ["checkpoint.keep=0 must be at least 1"]),
    ("train seed=-1", ["seed=-1 must be from 0 to 4,294,967,295"]),
    ("train seed=4294967296", ["seed=4294967296 must be from 0 to 4,294,967,295"]),
    ("train seed=4294967295 seeds=2", ["seeds=2 from seed=4294967295", "below 4,294,967,296"]),
    ("train steps=1e15", ["steps=1000000000000000 must be at most 1,000,000,000,000"]),
    (
        "train resources.users_per_runner=1e12",
        ["resources.users_per_runner=1000000000000 must be at most 1,000,000,000"],
    ),
    ("train resources.gpus_per_learner=inf", ["resources.gpus_per_learner=inf must be finite and at least 0"]),
    ("train env.time_budget=inf", ["env.time_budget=inf must be finite and above 0"]),
    ("evaluate checkpoint=x seed=5e9", ["seed=5000000000 must be from 0 to 4,294,967,295"]),
    ("train name=a/b", ["name=a/b", "output_dir"]),
    ("train seed=20261127183124", ["seed=20261127183124 must be from 0 to 4,294,967,295"]),
    ("train algo.lr=1e30", ["algo.lr=1e+30 must be at most 100"]),
    ("train algo.network.scale=inf", ["algo.network.scale=inf must be finite"]),
    ("train env.min_utility=5 env.max_utility=-5", ["env.min_utility=5 must be <= env.max_utility=-5"]),
    ("train evaluation.every=1", ["evaluation.every=1 is finer than report_every=10000"]),
    ("train checkpoint.every=9999", ["checkpoint.every=9999 is finer than report_every=10000"]),
    ("train seeds=1e7", ["seeds=10000000 must be at most 1,000"]),
    ("sweep algo=slateq search=random search.trials=1e8", ["search.trials=100000000 must be at most 5,000"]),
    ("sweep algo=slateq search=pbt search.trials=1e8", ["search.trials=100000000 must be at most 5,000"]),
    ("sweep algo.lr=1,2 search.seeds_per_point=1e4", ["search.seeds_per_point=10000 must be at most 1,000"]),
    (
        "sweep algo.n_step=range(1,11) search.seeds_per_point=1000",
        ["10 points with search.seeds_per_point=1000 are 10,000 trainings; at most 5,000"],
    ),
    ("sweep algo.lr=1,2 search=random search.trials=5000", ["the space has only 2 points", "search=grid"]),
    # trainings that would never learn
    ("train algo.batch_size=1e20", ["algo.batch_size=100000000000000000000 must be at most 1,000,000,000"]),
    ("train algo.batch_size=1e6 algo.replay_capacity=1e6", ["algo.batch_size=1000000", "885,000 rows"]),
    ("train algo.batch_size=4e5", ["algo.batch_size=400000 must be at most algo.replay_capacity=300000"]),
    ("train steps=5000", ["algo.learning_starts=5000: nothing would be learned in steps=5000"]),
    ("train algo=dqn steps=100", ["algo.learning_starts=5000: nothing would be learned in steps=100"]),
    ("train algo=neural_linear steps=10", ["algo.batch_size=", "nothing would be learned"]),
    (
        "sweep algo.learning_starts=10,1000 steps=1000",
        ["point algo.learning_starts=1000: ", "nothing would be learned"],
    ),
    ("evaluate checkpoint=x users=0", ["users=0 must be at least 1"]),
    ("train env.slate_size=30", ["env.slate_size=30", "env.num_candidates=10"]),
    ("train algo=linucb framework=torch_compile", ["framework=torch_compile", "algo=linucb"]),
    ("train algo=ppo algo.network.kind=documents", ["algo.memory=raw", "algo.network.kind=documents"]),
    ("train algo.network.kind=documents algo.memory=raw", ["algo.memory=raw", "algo.network.kind=documents"]),
    # the machine
    ("train resources.env_runners=-1", ["resources.env_runners=-1 must be at least 0"]),
    ("train resources.threads=0", ["resources.threads=0 must be at least 1"]),
    ("train resources.env_runners=9", ["resources.env_runners=9", "10 CPUs", "this machine has 4 CPUs"]),
    ("train resources.num_cpus=64", ["resources.num_cpus=64", "this machine has 4 CPUs"]),
    ("train resources.num_cpus=1 resources.env_runners=1", ["resources.env_runners=1", "resources.num_cpus=1"]),
    ("train resources.concurrent_trials=5", ["resources.concurrent_trials=5", "this machine has 4 CPUs"]),
    ("train resources=gpu", ["resources.gpus_per_learner=1", "no GPU found", "resources=laptop"]),
    ("train resources=gpu resources.env_runners=9", ["no GPU found"]),
    ("train resources.threads=5", ["resources.threads=5: this machine has 4 CPUs"]),
    (
        "train resources.users_per_runner=1e9",
        ["resources.users_per_runner=1,000,000,000 with env.num_candidates=10 takes 1.6 TB", "this machine has 8 GB"],
    ),
    ("train env.num_candidates=1e9", ["env.num_candidates=1,000,000,000 takes 300 TB", "this machine has 8 GB"]),
    ("train algo.replay_capacity=1e9", ["algo.replay_capacity=1,000,000,000", "takes 92 GB"]),
    ("train algo.network.hidden=[1000000,1000000]", ["algo.network.hidden=[1000000,1000000] takes 16 TB"]),
    ("train evaluation.users=1e9", ["evaluation.users=1,000,000,000 takes 160 GB"]),
    ("train algo=ppo algo.network.hidden=[1000000,1000000]", ["algo.network.hidden=[1000000,1000000] takes 16 TB"]),
    ("train algo=neural_linear algo.replay_capacity=1e9", ["algo.replay_capacity=1,000,000,000 takes 160 GB"]),
    ("train seeds=4 algo.replay_capacity=5e7", ["takes 4.6 GB of memory", "4 trainings at once"]),
    ("sweep algo.lr=1,2 algo.replay_capacity=5e7", ["takes 4.6 GB of memory", "2 trainings at once"]),
    # sweeps
    ("sweep algo=random", ["nothing to search", "algo.lr=1e-3,3e-4", "algo=random has no space of its own"]),
    ("sweep algo.lr=interval(1e-2,1e-5)", ["algo.lr=interval(1e-2,1e-5)", "its start 0.01 must be below its end"]),
    ("sweep algo.lr=tag(log,interval(0,1))", ["a log interval must start above 0"]),
    ("sweep algo.n_step=range(9,3)", ["algo.n_step=range(9,3) holds no value"]),
    ("sweep algo.n_step=choice()", ["algo.n_step=choice()", "empty choice"]),
    ("sweep env=glob(nothing*)", ["matches none of groups, interest_evolution"]),
    ("sweep algo.lr=1,1", ["1 is listed twice"]),
    ("sweep algo.lrr=1,2", ["algo.lrr is unknown", "'algo.lr'"]),
    ("sweep algo.lr=1,-1", ["point algo.lr=-1: ", "above 0"]),
    ("sweep algo.lr=1,2 search.metric=eval/retrun", ["search.metric=eval/retrun", "'eval/return'"]),
    ("sweep algo.lr=1,2 search.mode=best", ["search.mode=best", "max, min"]),
    ("sweep algo.lr=1,2 search=hyperbnd", ["search=hyperbnd", "'hyperband'"]),
    ("sweep algo.lr=1,2 search=random", ["the space has only 2 points", "search=grid"]),
    ("sweep algo.lr=1,2 search.max_seconds=0", ["search.max_seconds=0.0 must be above 0"]),
    ("sweep algo.lr=1,2 search=pbt search.quantile_fraction=0.6", ["search.quantile_fraction=0.6", "at most 0.5"]),
    ("sweep algo.lr=1,2 search=pbt search.trials=1", ["search.trials=1 must be at least 2"]),
    ("sweep algo.lr=1,2 seeds=3", ["search.seeds_per_point"]),
    (f"{JOINT} resources.env_runners=2", ["search.seeds_per_point=2", "they need 5 CPUs, there are 4"]),
    (
        f"{JOINT} resources.env_runners=1 resources.concurrent_trials=2",
        ["they need 6 CPUs in each of resources.concurrent_trials=2, there are 4"],
    ),
    ("sweep algo.lr=1,2 resources.env_runners=9", ["resources.env_runners=9", "4 CPUs"]),
    ("sweep resources.num_cpus=1,2", ["the same for all points"]),
    ("sweep env=glob(*) search=asha", ["search=asha compares points", "search=grid"]),
    ("sweep --multirun", ["--multirun"]),
    ("train algo.lr=1e-3,1e-4", ["one value is expected", "recsys sweep"]),
    ("train from=nothing", ["from='nothing' was not found"]),
    ("train framework=torch_compile resources.learners=2", ["framework=torch_compile", "resources.learners=2"]),
]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of four CPUs and 8 GB without a GPU, and no MLflow server."""
    monkeypatch.setattr("recsys_cli.config.resources.machine_cpus", lambda: 4)
    monkeypatch.setattr("recsys_cli.config.resources.machine_gpus", lambda: 0)
    monkeypatch.setattr("recsys_cli.config.memory.machine_memory", lambda: 8 * 10**9)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("RECSYS_CLI_EMPTY", "")


def _words(line: str) -> list[str]:
    words = line.split(" ")
    composes = words[0] in ("train", "evaluate", "sweep") and not any(word.startswith("--cfg") for word in words)
    return [*words, "--cfg", "job"] if composes else words  # checks all that the command would, and starts nothing


@pytest.mark.parametrize(("line", "expected"), CASES, ids=[line for line, _ in CASES])
def test_bad_input_is_answered_by_one_helpful_line(run_cli, line: str, expected: list[str]) -> None:
    outcome = run_cli(*_words(line))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("recsys: error: ")
    assert outcome.err.count("\n") == 1, outcome.err
    for part in expected:
        assert part in outcome.err


def test_layers_of_overrides_are_joined_so_that_the_last_wins() -> None:
    words = ["seed=1", "--config-dir", "a", "+steps=2", "--config-dir", "a", "steps=3", "seed=4"]
    assert layered(words) == ["--config-dir", "a", "--config-dir", "a", "steps=3", "seed=4"]


@pytest.mark.parametrize("line", ["tran", "train algo.lr=abc", "train env=interest_evolutoin"])
def test_the_program_itself_exits_with_2_and_no_traceback(line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "recsys_cli", *line.split()], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "line", ["train algo.lr=abc", "train env=nothing", "evaluate", "evaluate checkpoint=x users=0"]
)
def test_wrong_requests_are_refused_before_anything_heavy_is_imported(line: str) -> None:
    code = (
        "import sys; from recsys_cli.cli import main; code = main(sys.argv[1:]);"
        "print(code, [m for m in ('ray', 'torch', 'mlflow', 'recsim', 'tensorflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *line.split()], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []"


def test_a_refusal_takes_no_import_of_torch_or_ray() -> None:
    code = """
import sys
from recsys_cli.cli import main

for words in (["algo=dqn", "env.num_candidates=50"], ["algo=full_slate_q", "env.num_candidates=50"], ["algo.lrr=1"]):
    assert main(["train", "env.slate_size=3", *words]) == 2
print([name for name in ("torch", "ray", "mlflow") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n" and len(done.stderr.splitlines()) == 3
