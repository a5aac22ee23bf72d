"""Several real Ray nodes on this machine: each with its own raylet, object store and worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_cli.runs import QUIET

# Before Ray is imported; its nodes inherit it.
os.environ.update({**QUIET, "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"})

from ray.cluster_utils import Cluster


@dataclass(frozen=True)
class Actor:
    """A live actor.

    Attributes:
        name: of its class.
        node: id of its node.
        pid: of its process.
    """

    name: str
    node: str
    pid: int


class Nodes:
    """A head and workers of one CPU each; `with` ends them all.

    Args:
        workers: how many beside the head.
        head_cpus: CPUs of the head.
    """

    def __init__(self, workers: int, head_cpus: int = 1) -> None:
        """Start nothing yet."""
        self.number, self.head_cpus = workers, head_cpus
        self.bare: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Nodes:
        """Start the nodes, one after the other; on a crowded machine one may miss its own deadline."""
        head = {"num_cpus": self.head_cpus, "include_dashboard": False}
        self.cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
        try:
            self.workers = [self.add() for _ in range(self.number)]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all nodes."""
        for process in self.bare:
            process.terminate()
            process.wait()
        self.cluster.shutdown()

    def add(self) -> Any:
        """Start one more worker node."""
        return patiently(lambda: self.cluster.add_node(num_cpus=1))

    def add_bare(self, folder: Path) -> None:
        """Start a worker node by `ray start`, in another folder, of a Python that has our packages but not this one."""
        # Outside of its virtual environment Python ignores the `.pth` file by which a checkout is installed.
        python = str(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))
        start = ["-c", "from ray.scripts.scripts import main; main()", "start", "--block", "--num-cpus=1"]
        environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
        with (folder / "node.log").open("wb") as log:
            command = [python, *start, f"--address={self.address}"]
            self.bare.append(subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log))

    @property
    def address(self) -> str:
        """Where a driver joins."""
        return str(self.cluster.address)

    def kill(self, node: Any) -> None:
        """Kill all processes of a node, as a machine that loses its power."""
        self.cluster.remove_node(node, allow_graceful=False)
        self.workers.remove(node)

    def actors(self, name: str) -> list[Actor]:
        """Return the live actors with this in the name of their class."""
        table = self.cluster.global_state.actor_table(None)
        alive = [row for row in table.values() if row["State"] == "ALIVE"]
        found = [Actor(row["ActorClassName"], row["Address"]["NodeID"], int(row["Pid"])) for row in alive]
        return [actor for actor in found if name in actor.name]


def patiently(start: Callable[[], Any], attempts: int = 3) -> Any:
    """Return what `start` starts; tries again if it missed a deadline of Ray's."""
    for left in reversed(range(attempts)):
        try:
            return start()
        except Exception:  # Ray raises no class of its own here
            if not left:
                raise
    return None


def kill_process(pid: int) -> None:
    """End a process as the system does that is out of memory."""
    os.kill(pid, signal.SIGKILL)
