#!/usr/bin/env python3
"""Trains the small tokenizers small_unigram_spm, small_bpe_spm and small_unigram_json on ../text/eval-20k.txt, and writes
what the reference libraries make of some texts; also glm4_ranks/cases.json, for the rank file of qwen_tiktoken.

Needs sentencepiece 0.2.3, tokenizers 0.23.3 and tiktoken 0.14.0 from PyPI. Usage: make_small.py SHARED_TOKENIZERS
"""
import base64
import json
import pathlib
import sys
import tempfile

import sentencepiece
import tiktoken
import tokenizers

HERE = pathlib.Path(__file__).parent
SHARED = pathlib.Path(sys.argv[1])
CORPUS = HERE.parent / "text" / "eval-20k.txt"
# Replacements as in nmt_nfkc, few enough to read: ligatures, full-width letters, a composed letter, white space, and
# the removal of a control character and of a joiner.
RULES = {"\ufb01": "fi", "\uff21": "A", "\uff22": "B", "e\u0301": "\u00e9", "\t": " ", "\n": " ", "\u00a0": " ",
         "\u3000": " ", "\u200d": "", "\u0001": "", "\u2026": "...", "\u00bd": "1\u20442", "\u2581": " "}


def texts():
    """The cases of the shared collection without the long ones, and some about the replacements."""
    cases = json.loads((SHARED / "unigram_spm" / "cases.json").read_text())
    found = [case["text"] for case in cases if len(case["text"]) < 120]
    return found + [
        "\ufb01ne \uff21\uff22 caf\u00e9 cafe\u0301 e\u0301\u0301", "\uff21\u0301 \uff21\u0300x", "a\u200db\u0001c\u2026",
        "1\u00bd \u3000 \u00a0x\u00a0", "\u2026", "\u200d", " \u200d ", "<extra_0>\ufb01<extra_0>", "x<keep \ufb01>y",
        "keep <extra_0> it", "\u2581<extra_0>\u2581", "\u0e01\u0e33\u0e49 \u0915\u094d\u0937 \U0001f469\u200d\U0001f469\u200d\U0001f467 \r\n x\r\n",
        "the the  the\tthe\nthe", "\ufeffthe", "e\u0301" * 9, "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
    ]


def write(folder, name, value):
    (HERE / folder).mkdir(exist_ok=True)
    (HERE / folder / name).write_text(json.dumps(value, separators=(",", ":")) + "\n")


def train(folder, **options):
    with tempfile.TemporaryDirectory() as place:
        rules = pathlib.Path(place) / "rules.tsv"
        code = lambda text: " ".join(f"{ord(c):X}" for c in text)
        rules.write_text("".join(f"{code(a)}\t{code(b)}\n" for a, b in RULES.items()))
        sentencepiece.SentencePieceTrainer.train(
            input=str(CORPUS), model_prefix=place + "/m", normalization_rule_tsv=str(rules), num_threads=1,
            user_defined_symbols=["<extra_0>", "<keep \ufb01>"], control_symbols=["[INST]"], **options)
        (HERE / folder).mkdir(exist_ok=True)
        (HERE / folder / "tokenizer.model").write_bytes(pathlib.Path(place + "/m.model").read_bytes())
    processor = sentencepiece.SentencePieceProcessor(model_file=str(HERE / folder / "tokenizer.model"))
    cases = []
    for text in texts():
        ids = processor.encode(text)
        cases.append({
            "text": text, "ids": ids, "ids_with_special": [processor.bos_id()] + ids, "decoded": processor.decode(ids),
            "decoded_skip_special": processor.decode(ids)})
    write(folder, "cases.json", cases)
    return processor


def unigram_json(processor):
    """The Unigram model as transformers would convert it, with T5's normalizers."""
    from sentencepiece import sentencepiece_model_pb2 as model

    proto = model.ModelProto()
    proto.ParseFromString((HERE / "small_unigram_spm" / "tokenizer.model").read_bytes())
    added = [
        {"id": index, "content": piece.piece, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": piece.type != 4}
        for index, piece in enumerate(proto.pieces) if piece.type in (2, 3, 4)]
    value = {
        "version": "1.0", "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Precompiled",
             "precompiled_charsmap": base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()},
            {"type": "Nmt"},
            {"type": "Strip", "strip_left": False, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
        "post_processor": {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]},
        "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": False,
                  "vocab": [[piece.piece, piece.score] for piece in proto.pieces if piece.type != 6]}}
    write("small_unigram_json", "tokenizer.json", value)
    tokenizer = tokenizers.Tokenizer.from_file(str(HERE / "small_unigram_json" / "tokenizer.json"))
    cases = []
    for text in texts():
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        special = tokenizer.encode(text).ids
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = False
        case = {
            "text": text, "ids": ids, "ids_with_special": special,
            "decoded": tokenizer.decode(ids, skip_special_tokens=False),
            "decoded_skip_special": tokenizer.decode(special)}
        if plain != ids:
            case["ids_plain"] = plain
        cases.append(case)
    write("small_unigram_json", "cases.json", cases)


def glm4():
    lines = (SHARED / "qwen_tiktoken" / "small.tiktoken").read_text().split("\n")
    ranks = {base64.b64decode(line.split()[0]): int(line.split()[1]) for line in lines if line}
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
    special = {"[gMASK]": 2005, "<sop>": 2007, "<|user|>": 2010}
    encoding = tiktoken.Encoding("glm4", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)
    cases = []
    for text in texts() + ["<|user|>\nhi [gMASK]<sop>x", "1234567 12 a1b22c333d4444"]:
        ids = encoding.encode(text, allowed_special="all")
        plain = encoding.encode(text, disallowed_special=())
        case = {"text": text, "ids": ids, "ids_with_special": [2005, 2007] + ids, "decoded": encoding.decode(ids)}
        if plain != ids:
            case["ids_plain"] = plain
        cases.append(case)
    write("glm4_ranks", "cases.json", cases)


unigram = train("small_unigram_spm", model_type="unigram", vocab_size=700, byte_fallback=True)
unigram_json(unigram)
train("small_bpe_spm", model_type="bpe", vocab_size=600, byte_fallback=False, character_coverage=0.98,
      remove_extra_whitespaces=False, treat_whitespace_as_suffix=True)
glm4()
