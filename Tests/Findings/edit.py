#!/usr/bin/env python3
"""Makes damaged files for the checks.

edit.py json FILE CODE      runs CODE on `c`, the file's JSON, and writes it back
edit.py tensors FILE CODE   runs CODE on `t`, a dictionary of a safetensors file: name -> [dtype, shape, bytes]
edit.py bytes FILE CODE     runs CODE on `b`, a bytearray of the file
"""
import json, struct, sys


def read_tensors(path):
    raw = open(path, "rb").read()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + length])
    data = raw[8 + length:]
    meta = header.pop("__metadata__", None)
    return {n: [e["dtype"], e["shape"], data[slice(*e["data_offsets"])]] for n, e in header.items()}, meta


def write_tensors(path, tensors, meta=None):
    header, offset = ({"__metadata__": meta} if meta else {}), 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(d for _, _, d in tensors.values()))


if __name__ == "__main__":
    kind, path, code = sys.argv[1:4]
    if kind == "json":
        scope = {"c": json.load(open(path)), "json": json}
        exec(code, scope)
        json.dump(scope["c"], open(path, "w"))
    elif kind == "tensors":
        tensors, meta = read_tensors(path)
        scope = {"t": tensors, "struct": struct}
        exec(code, scope)
        write_tensors(path, scope["t"], meta)
    elif kind == "bytes":
        scope = {"b": bytearray(open(path, "rb").read()), "struct": struct}
        exec(code, scope)
        open(path, "wb").write(scope["b"])
    else:
        sys.exit(__doc__)
