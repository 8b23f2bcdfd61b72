"""Opens a pack-quantized checkpoint with compressed-tensors and compares its weights with Trireme's.

Usage: open_with_compressed_tensors.py MODEL_DIRECTORY DUMP.json
DUMP.json holds rows as Trireme reads them, {matrix: {row: [bit patterns of float32]}}. compressed-tensors multiplies in
the type of the scales. Our products are exact in float32 (8-bit codes, scales of at most 11 bits), so after rounding to
that type they must be equal bit for bit. Needs compressed-tensors and safetensors.
"""

import json
import pathlib
import sys

import compressed_tensors
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig
from safetensors.torch import load_file


def main():
    directory, dump = pathlib.Path(sys.argv[1]), json.loads(pathlib.Path(sys.argv[2]).read_text())
    block = json.loads((directory / "config.json").read_text())["quantization_config"]
    config = QuantizationConfig.model_validate(block)
    (scheme,) = config.config_groups.values()
    compressor = BaseCompressor.get_value_from_registry(config.format)
    state = {}
    for path in sorted(directory.glob("*.safetensors")):
        state |= load_file(path)
    bases = [name[: -len(".weight_packed")] for name in state if name.endswith(".weight_packed")]
    if sorted(bases) != sorted(dump):
        sys.exit(f"{directory}: {len(bases)} matrices here, {len(dump)} in {sys.argv[2]}")
    compared = 0
    for base in bases:
        local = {n[len(base) + 1 :]: t for n, t in state.items() if n.startswith(base + ".")}
        theirs = compressor.decompress(local, scheme)["weight"]
        for row, bits in dump[base].items():
            ours = torch.tensor(bits, dtype=torch.int64).to(torch.uint32).view(torch.float32).to(theirs.dtype)
            if not torch.equal(ours, theirs[int(row)]):
                column = int((ours != theirs[int(row)]).nonzero()[0])
                sys.exit(f"{directory}: {base} [{row}, {column}]: {ours[column]} is {theirs[int(row)][column]} there")
            compared += len(bits)
    print(f"{directory}: {compared} weights of {len(bases)} matrices equal compressed-tensors {compressed_tensors.__version__}")


main()
