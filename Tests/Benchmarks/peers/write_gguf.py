"""Writes a GGUF file with the shapes of TinyLlama 1.1B and synthetic weights: write_gguf.py TYPE FILE, where TYPE is BF16, Q8_0
or Q4_0. The vocabulary is synthetic too: byte-level pieces, enough for llama.cpp and OpenVINO GenAI to load it."""

import sys

import gguf
import numpy as np

HIDDEN, LAYERS, HEADS, KEY_VALUE_HEADS, INTERMEDIATE, VOCABULARY = 2048, 22, 32, 4, 5632, 32000


def byte_alphabet():
    """Returns the printable characters that stand for bytes in byte-level vocabularies (GPT-2's encoder)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]


def main(type_name, path):
    kind = gguf.GGMLQuantizationType[type_name]
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("synthetic-tinyllama-1.1b")
    writer.add_context_length(16384)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type({"BF16": 32, "Q8_0": 7, "Q4_0": 2}[type_name])
    alphabet = byte_alphabet()
    pieces = [first + second for first in alphabet for second in alphabet]
    tokens = (["<s>", "</s>"] + alphabet + pieces)[:VOCABULARY]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * (VOCABULARY - 2))
    writer.add_token_merges([f"{piece[0]} {piece[1]}" for piece in tokens[2 + len(alphabet) :]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)

    def add(name, rows, columns):
        # Speed does not depend on the values, so one block of rows is repeated to save time.
        some = random.standard_normal((min(rows, 256), columns), dtype=np.float32) / np.sqrt(columns)
        packed = gguf.quants.quantize(np.tile(some, (-(-rows // len(some)), 1))[:rows], kind)
        writer.add_tensor(name, packed, raw_dtype=kind)

    def add_norm(name):
        writer.add_tensor(name, np.ones(HIDDEN, dtype=np.float32))

    add("token_embd.weight", VOCABULARY, HIDDEN)
    add("output.weight", VOCABULARY, HIDDEN)
    add_norm("output_norm.weight")
    narrow = HIDDEN // HEADS * KEY_VALUE_HEADS
    for layer in range(LAYERS):
        prefix = f"blk.{layer}."
        for name, rows, columns in [
            ("attn_q", HIDDEN, HIDDEN),
            ("attn_k", narrow, HIDDEN),
            ("attn_v", narrow, HIDDEN),
            ("attn_output", HIDDEN, HIDDEN),
            ("ffn_gate", INTERMEDIATE, HIDDEN),
            ("ffn_up", INTERMEDIATE, HIDDEN),
            ("ffn_down", HIDDEN, INTERMEDIATE),
        ]:
            add(f"{prefix}{name}.weight", rows, columns)
        add_norm(prefix + "attn_norm.weight")
        add_norm(prefix + "ffn_norm.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
