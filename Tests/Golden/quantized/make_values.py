"""Writes values.json: a few dequantized weights of the checkpoints in this folder.

It is plain Python and follows the definition of compressed-tensors' pack-quantized layout:
w[o, i] = scale[o, g] * (q[o, i] - z[o, g]), where q and z are stored plus 2^(bits-1) in the fields of 32-bit words,
q along the columns and z along the rows, the first in the lowest bits. Products are exact in Python's floats.
Run: python3 Tests/Golden/quantized/make_values.py
"""

import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent


def tensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    result = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        result[name] = (entry["shape"], data[8 + length + begin : 8 + length + end])
    return result


def word(data, index):
    return struct.unpack_from("<I", data, index * 4)[0]


def bfloat16(data, index):
    return struct.unpack("<f", b"\0\0" + data[index * 2 : index * 2 + 2])[0]


def value(stored, base, weights, row, column):
    bits = weights["num_bits"]
    per_word, mask, half = 32 // bits, (1 << bits) - 1, 1 << (bits - 1)
    (_, words), packed = stored[base + ".weight_packed"]
    code = (word(packed, row * words + column // per_word) >> column % per_word * bits & mask) - half
    (_, groups), scales = stored[base + ".weight_scale"]
    group = column // weights["group_size"] if weights["strategy"] == "group" else 0
    zero = 0
    if not weights["symmetric"]:
        _, zeros = stored[base + ".weight_zero_point"]
        zero = (word(zeros, row // per_word * groups + group) >> row % per_word * bits & mask) - half
    return bfloat16(scales, row * groups + group) * (code - zero)


def main():
    result = {}
    for directory in sorted(path.parent for path in HERE.glob("*/config.json")):
        config = json.loads((directory / "config.json").read_text())
        weights = config["quantization_config"]["config_groups"]["group_0"]["weights"]
        stored = tensors(directory / "model.safetensors")
        entries = []
        for base in sorted(name[: -len(".weight_packed")] for name in stored if name.endswith(".weight_packed")):
            rows, columns = struct.unpack("<2q", stored[base + ".weight_shape"][1])
            for step in range(8):
                row, column = (step * 37 + 5) % rows, (step * 101 + 3) % columns
                entries.append([base, row, column, value(stored, base, weights, row, column)])
        result[directory.name] = entries
    text = json.dumps(result).replace("[[", "[\n  [").replace("], [", "],\n  [").replace("]]", "]\n]")
    (HERE / "values.json").write_text(text + "\n")


main()
