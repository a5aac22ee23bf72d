"""All uses of Ray's private API: small functions around some, and the names of those that our classes need.

Checked against Ray 2.60. Another release may have moved any of them; a test names which, before anything else fails.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

RELEASE = "2.60"

_LEARNER = "ray.rllib.core.learner.learner:Learner"
_MODULE = "ray.rllib.core.rl_module.rl_module:RLModule"
_PBT = "ray.tune.schedulers.pbt:PopulationBasedTraining"

# `module:name` or `module:class.name`, and why we need it.
HOOKS = {
    "ray._private.services:find_bootstrap_address": "whether `ray start` has joined this machine to a cluster",
    "ray._private.services:resolve_ip_for_localhost": "where Ray listens if localhost is asked for",
    "ray._private.worker:global_worker": "the folder of the session, whose logs we keep",
    "ray._private.node:Node.get_session_dir_path": "the same",
    "ray._private.node:Node": "a local Ray starts ours in its place, with fewer processes",
    "ray._private.node:Node.start_api_server": "one of those that we leave out",
    "ray._private.node:Node.start_monitor": "another",
    "ray._private.node:Node.start_log_monitor": "another",
    "ray._private.node:Node.start_raylet": "gets stand-ins for its agents, and our number of workers",
    "ray._private.node:Node._session_dir": "where agents would write the ports that the raylet waits for",
    "ray._private.node:Node._node_id": "the same",
    "ray._private.node:Node._logs_dir": "the last line that a failed start wrote",
    "ray._private.services:start_ray_process": "the raylet's command line",
    "ray._private.services:get_node": "waits longer than Ray's 30 s",
    "ray._private.services:ConsolePopen": "gives Ray a process group of its own",
    "ray._raylet:persist_port": "writes a port that an agent would write",
    "ray.air._internal.usage:tag_callbacks": "imports MLflow and others, only to count their callbacks",
    "ray.tune.execution.class_cache:_ActorClassCache.get": "trials without a runtime environment need no agent",
    "ray.tune.execution.tune_controller:TuneController._trial_to_actor": "how many trials run: Tune's limit holds back",
    "ray.tune.schedulers.median_stopping_rule:MedianStoppingRule._stopped_trials": "repeated reports take nothing back",
    f"{_PBT}._checkpoint_or_exploit": "each copy draws by a seed of its own, so that a resumed sweep copies alike",
    f"{_PBT}._get_new_config": "changed values stay inside the space, a copy stays in its folder",
    f"{_PBT}._trial_state": "when the trial that copies has trained last",
    "ray.rllib.algorithms.algorithm:Algorithm._counters": "how many runners were restored: a new stream for each",
    "ray.rllib.algorithms.algorithm:Algorithm._create_local_replay_buffer_if_necessary": "our buffer in DQN and SAC",
    "ray.rllib.utils.checkpoints:Checkpointable._check_component": "own parts of a state follow RLlib's filters",
    f"{_LEARNER}._update": "gradient steps on whole chunks, without RLlib's batches of episodes",
    f"{_LEARNER}._params": "gradients are put on the parameters in place",
    f"{_LEARNER}._named_optimizers": "and the optimisers stepped, without RLlib's copies",
    f"{_LEARNER}._module": "the module before it is wrapped",
    f"{_LEARNER}._learner_connector": "our connector in place of RLlib's, which makes batches of episodes",
    f"{_LEARNER}._create_iterator_if_necessary": "minibatches that keep an episode's rows together",
    f"{_LEARNER}._make_batch_if_necessary": "RLlib's batch, which our minibatches part",
    f"{_LEARNER}._weights_seq_no": "seeds the order of minibatches: the same after resuming",
    "ray.rllib.algorithms.appo.appo_learner:APPOLearner._last_update_ts_by_mid": "belongs in a checkpoint",
    "ray.serve._private.replica:add_port_to_grpc_server": "a port of each replica that unpickles requests",
    f"{_MODULE}._forward": "the hook that RLlib documents for subclasses",
    f"{_MODULE}._forward_train": "the same while learning",
}


def quiet_logs() -> None:
    """Keep Ray's loggers from the terminal.

    Ray sets their levels as it is imported, and RLlib again: to be called after each.
    """
    for name in ("ray", "ray.rllib", "ray.rllib.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # `Reporting` shows failures, in one line each


def joined_cluster() -> str | None:
    """Return the address of the cluster that this machine joined by `ray start`, if any."""
    import ray

    address: str | None = ray._private.services.find_bootstrap_address(None)
    return address


def listening_host(host: str) -> str:
    """Return the address that Ray's nodes listen at, for a host's name or address."""
    import ray

    return str(ray._private.services.resolve_ip_for_localhost(host))


def session_dir() -> Path:
    """Return the folder of the Ray session started by this process."""
    import ray

    return Path(ray._private.worker.global_worker.node.get_session_dir_path())


def running_trials(controller: Any) -> int:
    """Return how many of Tune's trials have a process."""
    return len(controller._trial_to_actor)


def trials_without_environment() -> None:
    """Let Tune start its trials as they are.

    It gives them a runtime environment, of which a local Ray has no agent, only to hand on variables that processes of
    the same machine have anyway.
    """
    import ray
    from ray.tune.execution.class_cache import _ActorClassCache

    def get(cache: Any, trainable: type) -> Any:
        return cache._cache.setdefault(trainable, ray.remote(trainable))

    _ActorClassCache.get = get


def no_telemetry() -> None:
    """Keep Tune from importing other libraries to count its callbacks: seconds, and MLflow is imported by a thread."""
    from ray.air._internal import usage

    usage.tag_callbacks = lambda callbacks: False


def replicas_on_loopback() -> None:
    """Keep the port for other deployments, of which there are none, to this machine; in a replica's own process.

    Serve opens it on all interfaces without authentication, and unpickles what arrives.
    """
    from ray.serve._private import replica

    bind = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: bind(server, address.replace("[::]", "127.0.0.1"))
