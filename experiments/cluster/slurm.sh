#!/usr/bin/env bash
# A sweep on four nodes of a SLURM cluster; submit it from a checkout that all nodes see, after `uv sync`:
#
#     sbatch experiments/cluster/slurm.sh algo=slateq algo.lr=1e-3,3e-4,1e-4 search.seeds_per_point=3
#
# Cut off by the time limit, it goes on by: sbatch experiments/cluster/slurm.sh resume=<sweep>
#SBATCH --job-name=recsys-sweep
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --mem-per-cpu=2G
#SBATCH --time=12:00:00
# SIGTERM to the batch shell two minutes before the end: trials report, write checkpoints and stop.
#SBATCH --signal=B:TERM@120
set -euo pipefail

# Tasks get no environment made by `uv run`: they share the one of the checkout.
ray=$PWD/.venv/bin/ray
recsys=$PWD/.venv/bin/recsys
runs=${RECSYS_RUNS:-$PWD/runs} # on storage that all nodes see
export RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# Several jobs may share a node: a port of this job's own.
port=$((20000 + SLURM_JOB_ID % 20000))
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname -I | cut -d ' ' -f 1)
export RAY_ADDRESS=$address:$port

srun --nodes=1 --ntasks=1 --nodelist="$head" \
  "$ray" start --head --node-ip-address="$address" --port="$port" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
sleep 30
if ((SLURM_NNODES > 1)); then
  srun --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --exclude="$head" \
    "$ray" start --address="$RAY_ADDRESS" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
  sleep 30
fi

# The batch script runs on the first node, beside Ray's head.
words=(resources=cluster resources.env_runners=0 resources.evaluation_runners=0 resources.learners=0
  resources.gpus_per_learner=0 "output_dir=$runs" progress=plain)
for word in "$@"; do
  # A resumed sweep has its resources already; only the address may be another.
  [[ $word == resume=* ]] && words=(resources.ray_address=auto "output_dir=$runs" progress=plain)
done
"$recsys" sweep "${words[@]}" "$@" &
driver=$!
trap 'kill -TERM "$driver"' TERM
# `wait` returns when the trap has run, too.
wait "$driver" && code=0 || code=$?
if kill -0 "$driver" 2>/dev/null; then
  wait "$driver" && code=0 || code=$?
fi
exit "$code"
