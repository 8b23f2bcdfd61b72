#!/bin/sh
# run.sh: compares our products with those of OpenBLAS and oneDNN on one thread; see libraries.c. Needs clang (Swift's is enough)
# and the Debian packages libopenblas-dev and libdnnl-dev. OpenBLAS treats newer processors as Haswell unless told otherwise.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
kernels=$here/../../../Sources/CKernels
: "${CC:=clang}"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$CC" -O2 -I"$kernels/include" "$here/libraries.c" "$kernels"/*.c "$kernels"/scalar/*.c "$kernels"/x86/*.c \
    -o "$out/libraries" $(pkg-config --cflags --libs openblas) -ldnnl -lm -lpthread
OPENBLAS_CORETYPE=SkylakeX OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 taskset -c 0 "$out/libraries"
