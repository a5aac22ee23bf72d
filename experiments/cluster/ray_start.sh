#!/usr/bin/env bash
# A Ray cluster by hand, of machines that log in to each other by ssh:
#
#     ./ray_start.sh head 10.0.0.1
#     ./ray_start.sh worker 10.0.0.1      # on every other machine
#     ./ray_start.sh stop                 # on every machine
#
# Every machine has the same Python, Ray and torch (`uv sync` in a checkout of the same commit), and one folder that all
# of them see. Then, on the head:
#
#     uv run recsys sweep resources=cluster resources.env_runners=0 output_dir=/shared/runs algo.lr=1e-3,3e-4,1e-4
set -euo pipefail

port=${RAY_PORT:-6379}
export RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1

case ${1:-} in
  head) uv run ray start --head --node-ip-address="${2:?address of this machine}" --port="$port" ;;
  worker) uv run ray start --address="${2:?address of the head}:$port" ;;
  stop) uv run ray stop ;;
  *)
    echo "usage: $0 head|worker <address of the head>, or stop" >&2
    exit 2
    ;;
esac
