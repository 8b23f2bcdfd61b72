#!/bin/sh
# `sbatch [--nodes=N] Launch/slurm.sh PROGRAM [ARGUMENT...]` runs a program as a batch job of Slurm.
# Inside an allocation (salloc) the script can be run without sbatch.
#SBATCH --job-name=trireme
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --output=trireme-%j.out
set -eu
[ $# -ge 1 ] || { echo "usage: sbatch $0 PROGRAM [ARGUMENT...]" >&2; exit 64; }

# srun starts the ranks itself through PMIx, with which Debian's Open MPI is built. Ranks are not bound to single cores,
# because a rank runs a worker thread on each core of its node. With --kill-on-bad-exit the loss of one rank ends all.
set -- srun --mpi="${TRIREME_SLURM_MPI:-pmix}" --cpu-bind=none --kill-on-bad-exit=1 "$@"
echo "$*" >&2
exec "$@"
