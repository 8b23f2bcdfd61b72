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
command -v "$1" >/dev/null || { echo "$0: no such program on $(hostname): $1" >&2; exit 66; }

# A rank that says why the job ends writes the job's status into this file, and a job that ends well removes the file;
# srun by itself returns the highest status of a rank, such as 137 if one was killed. Only ranks of the batch job's own
# node, such as rank 0, reach the file, unless TMPDIR is a folder that the nodes share.
unset TRIREME_LAST_WORDS
last_words=$(mktemp 2>/dev/null) || last_words=
if [ -n "$last_words" ]; then
    export TRIREME_LAST_WORDS="$last_words"
    trap 'rm -f "$last_words"' EXIT
fi
# Slurm sends its signals to the ranks as well; this script waits for the end of them all.
trap : INT TERM

# srun starts the ranks itself through PMIx, with which Debian's Open MPI is built; it is built without PMI2. MPICH from
# PyPI needs TRIREME_SLURM_MPI=pmi2. Ranks are not bound to single cores, because a rank runs a worker thread on each
# core of its node. With --kill-on-bad-exit the loss of one rank ends all.
set -- srun --mpi="${TRIREME_SLURM_MPI:-pmix}" --cpu-bind=none --kill-on-bad-exit=1 "$@"
echo "$*" >&2
status=0 said=
"$@" || status=$?
[ ! -e "$last_words" ] || said=$(cat "$last_words")
exit "${said:-$status}"
