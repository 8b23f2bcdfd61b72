#!/bin/sh
# A batch job for Slurm: sbatch [--nodes=N] Launch/slurm.sh PROGRAM [ARGUMENT...]
# Inside an allocation (salloc) it can be run as it is.
#SBATCH --job-name=trireme
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --output=trireme-%j.out
set -eu
[ $# -ge 1 ] || { echo "usage: sbatch $0 PROGRAM [ARGUMENT...]" >&2; exit 64; }

# srun starts the ranks itself through PMIx, with which Debian's Open MPI is built. No binding to single cores: a rank
# runs a worker thread on each core of its node. --kill-on-bad-exit: the loss of one rank ends all.
set -- srun --mpi="${TRIREME_SLURM_MPI:-pmix}" --cpu-bind=none --kill-on-bad-exit=1 "$@"
echo "$*" >&2
exec "$@"
