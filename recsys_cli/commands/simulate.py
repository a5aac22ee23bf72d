"""Let simulated users of a problem use a service, over HTTP.

Each user has one session: the service is asked for slates, the user responds, and the reward is sent. With rate= the
requests are due at random times that do not wait for answers, and latency counts from then, so that stalls show; else
all clients ask as fast as they are answered. The exit code is 1 if a decision, a reward or a session was lost in spite
of retries.

Examples:
    recsys simulate serve=http://127.0.0.1:8000 env=interest_evolution
    recsys simulate serve=http://127.0.0.1:8000 env=interest_evolution env.slate_size=3 users=500 rate=200
    recsys simulate serve=http://127.0.0.1:8000 requests=64 active=512 output=load.json
    recsys simulate serve=http://127.0.0.1:8000 delay=2 lose=0.1 duplicate=0.1
"""

from __future__ import annotations

from pathlib import Path

from recsys_cli.config.compose import compose


def run(overrides: list[str]) -> int:
    """Play the users, print what they saw, write JSON.

    Raises:
        ConfigError: the request is invalid, or there is no such service.
    """
    config = compose("simulate", overrides)
    from rich.console import Console

    from recsys_cli.files import write_json
    from recsys_cli.reporting.progress import Progress
    from recsys_cli.serving.simulation import simulate
    from recsys_cli.serving.simulation.results import lines

    with Progress(config.progress) as show:
        tally = simulate(config, show.counting(f"users of {config.serve}", config.users))
    results, console = tally.to_dict(), Console(highlight=False)
    told = lines(results, config.rate is not None)
    if config.output is not None:
        output = Path(config.output).expanduser()
        settings = {name: getattr(config, name) for name in ("serve", "users", "rate", "requests", "clients", "seed")}
        write_json(output, {"env": config.env.name, **settings, **results, "returns": tally.returns})
        told.append(f"written to {output}")
    for line in told:
        console.print(line, soft_wrap=True, markup=False)
    return 1 if tally.lost else 0
