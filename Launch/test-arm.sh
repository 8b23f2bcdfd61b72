#!/bin/sh
# test-arm.sh: compiles the kernels for 64-bit Arm, and compares the vector tables with the scalar one under qemu-user.
# It needs Debian's qemu-user and gcc-aarch64-linux-gnu, and Swift's clang.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
clang=$(dirname "$(readlink -f "$(command -v swift)")")/clang
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$clang" --target=aarch64-linux-gnu -static -O2 -Wall -Wextra -Werror -I"$root/Sources/CKernels/include" \
    "$root"/Sources/CKernels/*.c "$root"/Sources/CKernels/*/*.c "$root/Tests/CrossCompiled/compare_tables.c" \
    -lm -lpthread -o "$folder/compare_tables"
timeout 300 qemu-aarch64 -cpu max "$folder/compare_tables"
