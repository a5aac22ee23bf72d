"""Judge policies on a data set without playing them: returns with intervals, or a refusal, and which one to choose.

Fitted Q evaluation estimates the return of sessions, click-DR the reward of a step in the log's states; both weigh what
is clicked, not whole slates. Each estimate has diagnostics; where they fail, it is refused in words. With
estimators=[fqe,clicks,steps,sessions] all others are shown for comparison: IPS, SNIPS, DR and its relatives,
independent IPS, RIPS, PI; IS, WIS, PDIS, WPDIS, DR, WDR. JSON and figure are written into the data set's folder, and
logged to the checkpoints' runs.

Examples:
    recsys ope data=random_1k checkpoint=<run id>
    recsys ope data=random_1k checkpoint=[<run id>,<run id>/best,models:/slateq/1] baselines=[random]
    recsys ope data=random_1k checkpoint=<run id> explore=[none,plackett_luce:2.0]
    recsys ope data=random_1k checkpoint=<run id> estimators=[fqe,clicks,steps,sessions] output=judged.json
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_cli.config.compose import compose
from recsys_cli.config.explore import NOT_EXPLORING, Explore
from recsys_cli.config.imports import without_collection

if TYPE_CHECKING:
    from recsys_cli.config.offline import OpeConfig
    from recsys_cli.evaluation.off_policy import Judgement, Target
    from recsys_cli.offline.dataset import Dataset


def run(overrides: list[str]) -> int:
    """Load data set and policies, judge, print, draw, write JSON, log to the runs.

    Raises:
        ConfigError: the request is invalid, or the data set is damaged.
    """
    config = compose("ope", overrides)
    from recsys_cli.offline.dataset import Dataset, find

    dataset = Dataset.open(find(config.data, config.data_dir))
    bundles = resolved(config)
    with without_collection():
        from rich.console import Console

        from recsys_cli.evaluation.off_policy import Models, baseline, judge_policies
        from recsys_cli.evaluation.ranking import Ranking
        from recsys_cli.reporting import off_policy as report
        from recsys_cli.reporting.progress import Progress
    targets = targets_of(config, bundles, dataset)
    with Progress(config.progress) as show:
        show(f"learning from {dataset.name} how users choose")
        models = Models.of(dataset, config.choice)
        targets += [baseline(name, dataset) for name in config.baselines]
        judgement = judge_policies(
            dataset,
            models,
            targets,
            config.estimators,
            discount=config.discount,
            finished=show.counting(f"judging on {dataset.name}", dataset.episodes, "episodes"),
        )
    ranking = Ranking.of(judgement.of(report.MAIN), judgement.logged)
    console = Console(highlight=False)
    title = f"{dataset.folder}: {dataset.episodes:,} episodes, {dataset.steps:,} steps"
    console.print(report.ranking_table(judgement, ranking, title))
    if {"steps", "sessions"} & set(config.estimators):
        console.print(report.estimators_table(judgement))
    for line in report.lines(judgement, ranking):
        console.print(line, soft_wrap=True, markup=False)
    output = Path(config.output).expanduser() if config.output else dataset.folder / "ope.json"
    results = {**judgement.to_dict(), "ranking": ranking.to_dict()}
    report.draw(judgement, ranking, output.with_suffix(".svg"))
    for line in kept(config, bundles, judgement, results, output):
        console.print(line, soft_wrap=True, markup=False)
    return 0


def resolved(config: OpeConfig) -> dict[str, Path]:
    """Return the bundle of each reference.

    Raises:
        ConfigError: one does not exist.
    """
    from recsys_cli.tracking.references import resolve

    uri = config.tracking.uri if config.tracking.enabled else None
    return {reference: resolve(reference, Path(config.output_dir), uri) for reference in config.checkpoints}


def name_of(reference: str, explore: str) -> str:
    """Return the name of a checkpoint's policy in tables and files."""
    return reference if explore == "none" else f"{reference} {explore}"


def targets_of(config: OpeConfig, bundles: dict[str, Path], dataset: Dataset) -> list[Target]:
    """Return the checkpoints' policies on the data set's problem.

    Raises:
        ConfigError: a policy that does not fit the data set's problem, or cannot explore so.
    """
    from recsys_cli.evaluation.off_policy import Target, fitted_to
    from recsys_cli.policies.exploration import ExploringPolicy
    from recsys_cli.tracking.loading import load_checkpoint

    targets = []
    for reference, folder in bundles.items():
        policy, documents = fitted_to(load_checkpoint(folder), dataset.spec)
        for text in config.explorations:
            explore = Explore.parse(text)
            acting = policy if explore == NOT_EXPLORING else ExploringPolicy(policy, explore)
            targets.append(Target(name_of(reference, text), acting, documents))
    return targets


def kept(
    config: OpeConfig, bundles: dict[str, Path], judgement: Judgement, results: dict[str, Any], output: Path
) -> list[str]:
    """Write the JSON file and log it to the checkpoints' runs; return the lines to print."""
    import math

    from recsys_cli.tracking.loading import load_checkpoint
    from recsys_cli.tracking.planning import write_results
    from recsys_cli.tracking.syncing import record_evaluation

    write_results(output, results, None)
    lines = [f"written to {output}, figure {output.with_suffix('.svg').name}"]
    if not config.log:
        return lines
    for reference, folder in bundles.items():
        numbers: dict[str, float] = {}
        for text in config.explorations:
            suffix = "" if text == "none" else "_" + text.replace(":", "-")
            for each in judgement.estimates[name_of(reference, text)]:
                if each.name in ("FQE", "click-DR"):
                    numbers |= {f"{each.name}_{key}{suffix}": getattr(each, key) for key in ("value", "low", "high")}
        problem = record_evaluation(
            folder,
            {**results, "steps": load_checkpoint(folder).steps},
            uri=config.tracking.uri,
            output_dir=Path(config.output_dir),
            headline={name: value for name, value in numbers.items() if math.isfinite(value)},
            file_name=f"ope_{judgement.dataset}.json",
        )
        lines.append(problem or f"logged to the run of {reference} as ope_{judgement.dataset}.json")
    return lines
