"""Play a checkpoint's policy on fresh users, beside random, myopic and oracle.

A checkpoint is a path, a run id, <run id>/best, <run id>/last, models:/<name>/<version> or models:/<name>@<alias>.
It is all that is needed: it holds config, problem and policy. Keys of its env can be changed if the policy allows
it. The policy is greedy unless explore= is set: random slates now and then, draws from its own scores at a
temperature, or draws from its posterior. The results are a file of their own beside the training's evaluation.json,
named by what differs from it.

Examples:
    recsys evaluate checkpoint=<run id>
    recsys evaluate checkpoint=<run id>/last env.num_candidates=50 users=5000
    recsys evaluate checkpoint=<run id> env.backend=recsim
    recsys evaluate checkpoint=<run id> explore=epsilon:0.1
    recsys evaluate checkpoint=<run id> explore=plackett_luce:2.0
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_cli.config.compose import compose
from recsys_cli.config.explore import Explore
from recsys_cli.config.imports import without_collection

if TYPE_CHECKING:
    from recsys_cli.config.schema import EvaluateConfig
    from recsys_cli.evaluation.checkpoint import Evaluation


def run(overrides: list[str]) -> int:
    """Resolve the checkpoint, evaluate it, print, write JSON, log to the run.

    Raises:
        ConfigError: the request is invalid.
    """
    config = compose("evaluate", overrides)
    from recsys_cli.tracking.local_runs import spell_bundle
    from recsys_cli.tracking.references import resolve

    uri = config.tracking.uri if config.tracking.enabled else None
    folder = resolve(config.checkpoint, Path(config.output_dir), uri)
    with without_collection():
        from rich.console import Console

        from recsys_cli.evaluation.checkpoint import evaluate_checkpoint
        from recsys_cli.reporting.progress import Progress
        from recsys_cli.reporting.table import scores_table
    with Progress(config.progress) as show:
        evaluation = evaluate_checkpoint(
            folder,
            users=config.users,
            seed=config.seed,
            baselines=config.baselines,
            env_changes=config.env,
            explore=Explore.parse(config.explore),
            show=show,
        )
    console = Console(highlight=False)
    how = "greedy" if evaluation.explore == "none" else f"explore={evaluation.explore}"
    title = (
        f"{spell_bundle(folder, config.checkpoint)} at {evaluation.steps:,} steps: {config.users:,} fresh users, {how}"
    )
    console.print(scores_table(evaluation.scores, title, evaluation.left_out))
    for line in keep(evaluation, config, folder):
        console.print(line, soft_wrap=True, markup=False)
    return 0


def keep(evaluation: Evaluation, config: EvaluateConfig, folder: Path) -> list[str]:
    """Write the JSON file and log it to the checkpoint's run; return the lines to print.

    `evaluation.json` is the training's own record and is never written here. File and metrics are named by what differs
    from it, and `evaluation_again` if nothing does.
    """
    from recsys_cli.tracking.local_runs import is_seed
    from recsys_cli.tracking.planning import write_results
    from recsys_cli.tracking.provenance import flatten
    from recsys_cli.tracking.syncing import record_evaluation

    results, returns = evaluation.to_dict(), evaluation.returns()
    run_folder = folder.parent.parent if is_seed(folder.parent.parent) else folder.parent
    changes = [*others_than(results, run_folder), *(f"{k}-{v}" for k, v in flatten(config.env).items())]
    if config.explore != "none":
        changes.append("explore-" + evaluation.explore.replace(":", "-"))
    name = "_".join(["evaluation", *(changes or ["again"])]) + ".json"
    output = Path(config.output).expanduser() if config.output else run_folder / name
    write_results(output, results, returns)
    lines = [f"written to {output}"]
    if config.log:
        problem = record_evaluation(
            folder,
            results,
            uri=config.tracking.uri,
            output_dir=Path(config.output_dir),
            headline=evaluation.headline(),
            file_name=name,
            arrays=returns,
        )
        lines.append(problem or f"logged to the run as {name}")
    return lines


def others_than(results: dict[str, Any], run_folder: Path) -> list[str]:
    """Return where an evaluation's steps, users, seed and baselines differ from the run's own evaluation."""
    from recsys_cli.files import read_if_sound
    from recsys_cli.tracking.folder import EVALUATION

    own = read_if_sound(run_folder / EVALUATION) if (run_folder / EVALUATION).is_file() else {}
    different = [f"{key}-{results[key]}" for key in ("steps", "users", "seed") if results[key] != own.get(key)]
    baselines = list(results["policies"])[1:]
    if own and baselines != list(own.get("policies", {}))[1:]:
        different.append("-".join(["baselines", *(baselines or ["none"])]))
    return different
