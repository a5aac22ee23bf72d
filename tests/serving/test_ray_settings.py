"""From a service's settings to Ray Serve's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.serving import ServingConfig
from recsys_cli.serving.backends import ray_settings


def serving(*changes: str) -> ServingConfig:
    return compose("serve", ["checkpoint=x", "serving=ray", *changes]).serving


def test_a_fixed_number_of_replicas() -> None:
    options = ray_settings.deployment(serving("serving.replicas=3", "serving.max_replicas=3"))
    assert options["num_replicas"] == 3 and "autoscaling_config" not in options


def test_replicas_that_come_and_go_with_the_load() -> None:
    options = ray_settings.deployment(serving("serving.replicas=2", "serving.max_replicas=7", "serving.max_queued=80"))
    scaling = options["autoscaling_config"]
    assert "num_replicas" not in options
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 7, 10.0)


def test_the_app_sheds_load_before_serve_does_and_serve_answers_503() -> None:
    options = ray_settings.deployment(serving("serving.max_queued=10"))
    assert options["max_ongoing_requests"] >= 10 and options["max_queued_requests"] == 10
    refusal = options["backpressure_config"]
    assert (refusal.status_code, refusal.retry_after_s) == (503, ray_settings.RETRY_AFTER_S)


def test_time_limits_are_whole_seconds_and_never_zero() -> None:
    variables = ray_settings.variables(serving("serving.max_seconds=0.2"))
    assert variables["RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S"] == "1"
    assert int(variables["RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S"]) > 1


def test_variables_that_are_set_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_TEST_SET", "mine")
    monkeypatch.delenv("RECSYS_TEST_UNSET", raising=False)
    ray_settings.set_variables({"RECSYS_TEST_SET": "ours", "RECSYS_TEST_UNSET": "ours"})
    assert (os.environ["RECSYS_TEST_SET"], os.environ.pop("RECSYS_TEST_UNSET")) == ("mine", "ours")


def test_two_services_of_a_machine_share_no_port_and_no_file(tmp_path: Path) -> None:
    places = [tmp_path / "a", tmp_path / "b"]
    for place in places:
        place.mkdir()
    first, second = (ray_settings.local_variables(serving(), "127.0.0.1:1", place, "haproxy") for place in places)
    own = [name for name in first if name.endswith(("_PORT", "_PATH", "_LOC", "_FILE", "_BASE"))]
    assert len(own) == 8 and all(first[name] != second[name] for name in own)


@pytest.mark.parametrize(
    ("words", "variable", "nodes", "wrong"),
    [
        ([], "a-word", 1, "RECSYS_SERVE_TOKEN"),
        (["token_file=token"], None, 1, "token_file"),
        ([], None, 2, "host=127.0.0.1"),
        ([], None, 1, None),
        (["token_file=/all/see/this", "host=0.0.0.0"], "a-word", 2, None),
        (["token_file=/all/see/this", "host=0.0.0.0", "serving.sessions=server"], None, 2, "serving.sessions=server"),
    ],
)
def test_on_a_cluster_all_nodes_have_the_token_and_reach_each_other(
    words: list[str], variable: str | None, nodes: int, wrong: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RECSYS_SERVE_TOKEN", raising=False)
    if variable:
        monkeypatch.setenv("RECSYS_SERVE_TOKEN", variable)
    config = compose("serve", ["checkpoint=x", "serving=ray", *words])
    if wrong is None:
        ray_settings.check_cluster(config, nodes)
    else:
        with pytest.raises(ConfigError, match=wrong):
            ray_settings.check_cluster(config, nodes)


def test_on_a_cluster_the_key_is_in_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_SERVE_KEY", "k" * 40)
    with pytest.raises(ConfigError, match="RECSYS_SERVE_KEY: it stays on this machine"):
        ray_settings.check_cluster(compose("serve", ["checkpoint=x", "serving=ray"]), 1)
