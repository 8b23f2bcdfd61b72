#!/usr/bin/env python3
"""draw.py TRACE.json [STEP]: draws one step of a file that --trace has written, as SVG on standard output.

Each rank has a row. Operations are coloured by their kind; below them stand the waits of exchanges.
"""
import html
import json
import sys

COLOURS = {
    "product": "#4878d0", "attention": "#ee854a", "elementwise": "#b0b0b0", "embedding": "#956cb4",
    "all-reduce": "#d65f5f", "exchange": "#8c613c", "sampling": "#6acc64",
}
WIDTH, LEFT, ROW, TOP = 960, 90, 64, 40


def main():
    with open(sys.argv[1]) as file:
        events = [e for e in json.load(file)["traceEvents"] if e["ph"] == "X"]
    step = int(sys.argv[2]) if len(sys.argv) > 2 else max(e["args"].get("step", 0) for e in events)
    whole = [e for e in events if e["args"].get("step") == step and e["cat"] == "whole" and "layer" not in e["args"]]
    begin, end = min(e["ts"] for e in whole), max(e["ts"] + e["dur"] for e in whole)
    scale = (WIDTH - LEFT - 10) / (end - begin)
    ranks = sorted({e["pid"] for e in events})
    out = []

    def box(event, y, height, colour):
        x, width = LEFT + (event["ts"] - begin) * scale, max(0.3, event["dur"] * scale)
        title = html.escape(f'{event["name"]}: {event["dur"]:.1f} µs')
        out.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" fill="{colour}"><title>{title}</title></rect>')

    for row, rank in enumerate(ranks):
        y = TOP + row * ROW
        out.append(f'<text x="4" y="{y + 20}">rank {rank}</text>')
        for event in events:
            if event["pid"] != rank or event["ts"] < begin or event["ts"] >= end:
                continue
            if event["cat"] in COLOURS:
                box(event, y, 28, COLOURS[event["cat"]])
            elif event["name"] == "wait":
                box(event, y + 30, 6, "#d65f5f")
            elif event["cat"] == "whole" and "layer" in event["args"]:
                box(event, y + 40, 3, "#dddddd" if event["args"]["layer"] % 2 else "#999999")
    bottom = TOP + len(ranks) * ROW
    for part in range(5):
        x, time = LEFT + part * (WIDTH - LEFT - 10) / 4, part * (end - begin) / 4
        out.append(f'<text x="{x:.0f}" y="{bottom + 6}" text-anchor="middle">{time:.0f} µs</text>')
    x = LEFT
    for kind, colour in COLOURS.items():
        out.append(f'<rect x="{x}" y="10" width="12" height="12" fill="{colour}"/><text x="{x + 16}" y="20">{kind}</text>')
        x += 30 + 8 * len(kind)
    body = "\n".join(out)
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + 14}" font-family="sans-serif" '
          f'font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>')


main()
