"""Reads lines `NAME PREFILL DECODE` and prints the best figures of each name, in order of first appearance."""

import sys

best = {}
for line in sys.stdin:
    name, prefill, decode = line.split()
    old = best.get(name, (0.0, 0.0))
    best[name] = (max(old[0], float(prefill)), max(old[1], float(decode)))
print(f"{'':28}{'prefill t/s':>12}{'decode t/s':>12}")
for name, (prefill, decode) in best.items():
    print(f"{name:28}{prefill:12.1f}{decode:12.1f}")
