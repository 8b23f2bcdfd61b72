#!/usr/bin/env python3
"""mutations.py [COUNT [SEED]] [--case N] [--kind KIND] [--workers W]: runs the programs on COUNT (20,000) mutated inputs.

Each must end within 10 s with 0, 64, 65 or 66, below 600 MiB; on failure with exactly one printable line of at most 600 bytes
(logs and warnings aside) and nothing on standard output. Each fault is printed with its case, which `--case N` runs again
with the same SEED; the files of the first 20 are kept in a folder that is named at the end. PROGRAMS names the folder of the
programs (.build/release). Status 1 if there is a fault.
"""
import argparse, collections, json, multiprocessing, os, random, re, resource, shlex, shutil, signal, struct, subprocess, sys
import tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import edit

PROGRAMS = os.path.abspath(os.environ.get("PROGRAMS", ROOT + "/.build/release"))
GOLDEN = ROOT + "/Tests/Golden/checkpoints"
LOG = re.compile(r"^\d{4}-\d\d-\d\dT\S+ (trace|debug|info|notice|warning|error|critical) |^seed \d+$|^loaded in |^mpirun ")
BAD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
SECONDS, MEBIBYTES, LINE = 10, 600, 700
RAW = {"@1e400": "1e400", "@-1e400": "-1e400", "@big": "1" * 400, "@zero": "-0", "@exp": "1E+2", "@lead": "01", "@hex": "0x10",
       "@sur": '"\\ud800"', "@esc": '"\\u0000\\u001b[2J"', "@deep": "[" * 600 + "]" * 600, "@deeper": '{"a":' * 100000 + "1" + "}" * 100000,
       "@open": "[" * 50000, "@tru": "tru", "@ctl": '"a\x01b"', "@plus": "+1"}


def strange(rng):
    """Returns a value of an unexpected kind."""
    return rng.choice([
        None, True, False, -1, 0, 1, 2, 3, 7, 16, 64, 255, 256, 257, 512, 2**15, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1, 2**63, -2**63,
        2**64, 2**64 + 1, 10**18, 0.5, -0.5, 1e-320, 1e38, 1e39, 1e308, float("nan"), float("inf"), -float("inf"), 1.0000001, "", "x", "1", "64", "NaN",
        "\u202eabc\u2066", "\x1b[2J\x1b]0;t\x07", "a\nb\nc", "\u2028", "\x9b31m", "é" * 50, "😀", "../../../etc/passwd", "/dev/zero", "%s%n%d", "\\", "'\"",
        "n" * 3000, "n" * 200000, [], {}, [[]], [None], {"a": {}}, [1, 2, 3], ["x", 1], {"": ""}, [0] * 5000, *RAW.keys()])


def places(tree, path=()):
    yield path
    if isinstance(tree, dict):
        for key in tree: yield from places(tree[key], path + (key,))
    elif isinstance(tree, list):
        for index in range(min(len(tree), 12)): yield from places(tree[index], path + (index,))


def mutate(rng, tree, keys=()):
    """Returns the text of a JSON tree with one to three changes."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        options = [p for p in places(tree) if p]
        if not options: tree = strange(rng); break
        path = rng.choice(options)
        parent = tree
        for step in path[:-1]: parent = parent[step]
        last, action = path[-1], rng.random()
        if action < 0.55: parent[last] = strange(rng)
        elif action < 0.65: del parent[last]
        elif action < 0.72 and isinstance(parent, dict):
            key = rng.choice(["x\n", "\x1b[1m", "k" * 5000, "\u202e", "", str(last).upper(), str(last) + " "])
            parent[key] = parent.pop(last)
        elif action < 0.80 and isinstance(parent, dict): parent[rng.choice(list(keys) or ["more"])] = strange(rng)
        elif action < 0.88: parent[last] = [parent[last]] if rng.random() < 0.5 else {"x": parent[last]}
        elif isinstance(parent[last], (int, float)) and not isinstance(parent[last], bool):
            parent[last] = rng.choice([parent[last] + 1, parent[last] - 1, -parent[last], parent[last] * 2, parent[last] * 1000003, parent[last] / 3, str(parent[last])])
        elif isinstance(parent[last], str): parent[last] = rng.choice([parent[last][:-1], parent[last] * 2, parent[last].upper(), parent[last] + "\n"])
        elif isinstance(parent[last], list) and parent[last]: parent[last] = rng.choice([parent[last][:-1], parent[last] * 2, parent[last][::-1]])
    text = json.dumps(tree, ensure_ascii=rng.random() < 0.7)
    for name, raw in RAW.items(): text = text.replace(json.dumps(name), raw)
    action = rng.random()
    if action < 0.03: text = text[: rng.randrange(len(text) + 1)]
    elif action < 0.05: text = "\ufeff" + text
    elif action < 0.07: text += rng.choice(["}", "x", "\0", "\n\n", "{}", ","])
    elif action < 0.10 and text.startswith("{") and len(text) > 2:
        key = rng.choice([p[0] for p in places(tree) if p] or ["x"]) if isinstance(tree, dict) else "x"
        text = "{" + json.dumps(key) + ": " + json.dumps(None) + ", " + text[1:]
    elif action < 0.12: text = "".join(chr(rng.randrange(1, 0x3000)) for _ in range(rng.randrange(200)))
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.04 and data:
        data = bytearray(data)
        for _ in range(rng.choice([1, 5, 50])): data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


class Seeds:
    """The inputs to mutate, which are read or made once."""

    def __init__(self):
        self.models = {n: GOLDEN + "/" + n for n in os.listdir(GOLDEN) if os.path.isdir(GOLDEN + "/" + n)}
        self.models |= {n: ROOT + "/Tests/Golden/quantized/" + n for n in os.listdir(ROOT + "/Tests/Golden/quantized") if n.startswith("lc-")}
        read = lambda p: json.load(open(p))
        self.configs = {n: read(p + "/config.json") for n, p in self.models.items()}
        self.raw = {n: open(p + "/model.safetensors", "rb").read() for n, p in self.models.items()}
        self.tokenizer = self.small_tokenizer(read(ROOT + "/Models/tale-23m/tokenizer.json"))
        self.tokenizer_config = read(ROOT + "/Models/tale-23m/tokenizer_config.json")
        self.topology = {"tensor_parallel_size": 1, "pipeline_parallel_size": 1, "layers": [3], "weights": [1]}
        resources = ROOT + "/Sources/Sizing/Resources"
        self.profiles = read(resources + "/profiles.json")
        output = lambda *a: subprocess.run([PROGRAMS + "/" + a[0], *a[1:]], capture_output=True, timeout=60).stdout
        self.interconnect = json.loads(output("all_reduce_bench", "-b", "8", "-e", "64", "-n", "2", "--format", "json"))
        m = ["--model", self.models["llama-mha"], "--max-model-len", "64"]
        self.plan = json.loads(output("sizing", "plan", *m, "--memory", "8GiB", "--cards", "1", "--format", "json"))
        self.measured = json.loads(output("generate", *m, "--prompt-token-ids", "5", "--max-tokens", "2", "--format", "json"))
        with tempfile.TemporaryDirectory() as folder:
            output("bench", "run", *m, "--prompt-length", "4", "--new-tokens", "2", "--rounds", "1", "--json", folder + "/b")
            self.bench = json.loads(open(folder + "/b").readline())
            launch = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", "2"]
            subprocess.run([*launch, PROGRAMS + "/all_reduce_bench", "-b", "8", "-e", "8", "-n", "1", "--all-reduce-tuning", folder + "/t"], capture_output=True, timeout=120)
            try: self.tuning = read(folder + "/t")
            except (OSError, ValueError): self.tuning = {"crossovers": [1, 2]}
        self.options = {}
        for command in ("generate", "evaluate perplexity", "tokenize", "sizing plan", "sizing table", "sizing models", "sizing verify", "sizing fit", "quantize", "bench run", "bench compare", "all_reduce_bench"):
            text = output(*command.split(), "--help").decode()
            self.options[command] = sorted(set(re.findall(r"^  (?:-\w+, )?(--[a-z][a-zA-Z_-]+|-tp|-pp)", text, re.M)) - {"--help", "--version"})

    @staticmethod
    def small_tokenizer(whole):
        """Returns the embedded model's tokenizer with 250 of its tokens, which is quick to change and fits 256 ids."""
        model = whole["model"]
        special = [t["content"] for t in whole["added_tokens"]][:2]
        vocabulary = special + [t for t in model["vocab"] if len(t) == 1 and t not in special][:200]
        merges = []
        for merge in model["merges"]:
            left, right = merge.split(" ") if isinstance(merge, str) else merge
            if left in vocabulary and right in vocabulary and left + right not in vocabulary and len(vocabulary) < 250:
                vocabulary.append(left + right); merges.append(merge)
        small = json.loads(json.dumps(whole))
        small["model"]["vocab"] = {t: i for i, t in enumerate(vocabulary)}
        small["model"]["merges"] = merges
        small["added_tokens"] = [dict(t, id=i) for i, t in enumerate(small["added_tokens"][:2])]
        return small


def value(rng, option, folder):
    """Returns a value for an option: right, odd or absurd, but never one that would take hours to compute."""
    slow = {"--rounds", "--iters", "--warmup_iters", "--stress", "--payload_size_in_gib", "--new-tokens", "--prompt-length", "--batch", "--max-tokens", "--n", "--maxbytes", "--minbytes", "--stepbytes", "--stepfactor", "--window", "--limit"}
    absurd = ["-1", "", "x", "nan", "inf", "-inf", "1e9999", "0x10", "1.5", "99999999999999999999", "-9223372036854775809", " 3", "3 ", "\u0663", "3\n4", "\x1b[2J", "--", "-", "\u202e", "v" * 3000, "/dev/null", "/", folder, "..", "%s", "a,b", "1,2,3", "1,", ",", "[1]", "\udcff"]
    if option in slow: return rng.choice(["0", "1", "2", "3", "8", "64"] + absurd)
    right = {"--dtype": ["float32", "bfloat16", "float16", "auto"], "--quantization": ["auto", "none", "int8", "int4", "w8a8", "fp8", "awq"], "--granularity": ["group", "channel", "tensor"],
             "--kv-cache-dtype": ["auto", "float32", "int8", "fp8", "bfloat16"], "--kernels": ["scalar", "avx2", "avx512", "neon", "amx"], "--format": ["text", "json", "tsv", "markdown", "csv", "table"],
             "--memory": ["64MiB", "100MiB", "300MiB", "1GiB", "32GB"], "--max-model-len": ["auto", "8", "64", "512", "1K", "513"], "--lm-head": ["int8", "none", "same"], "--scheme": ["int4", "int8"],
             "--threads": ["1", "2", "3", "4"], "--timeout": ["1", "60", "0.5", "1e9"], "--temperature": ["0", "1", "1e-30", "1e30"], "--top-k": ["-1", "0", "1", "300"], "--top-p": ["0", "0.5", "1", "1.1"],
             "--log-level": ["trace", "debug", "error", "critical"], "--special": ["on", "off", "plain"], "--collective": ["all", "send_recv", "broadcast", "gather"], "--datatype": ["float32", "half", "float", "int8", "all"],
             "--op": ["sum", "prod", "max", "all"], "--backend": ["auto", "shm", "mpi", "messages"], "--predict": ["llama2-7b", "nonesuch"], "--decode": ["1,2", "300", "5"], "--cards": ["1", "2", "auto", "8"],
             "--max-shard-size": ["1", "1KB", "100KB", "5GB"], "--seed": ["0", "1", "18446744073709551615"], "--profile": ["trireme", "vllm-cuda"], "--group-size": ["8", "32", "64", "128", "3"]}
    numbers = ["0", "1", "2", "3", "7", "16", "100", "1000", "65536", "2147483648", "9223372036854775807", "9223372036854775808", "0.5", "-0.5", "1e18"]
    return rng.choice(rng.choice([right.get(option, numbers), numbers, absurd])) if option != "--threads" else rng.choice(right[option] + absurd)


def build(rng, seeds, folder, only=None):
    """Makes a case: fills `folder`, and returns the case's kind and command."""
    P = lambda name: f"{PROGRAMS}/{name}"
    kind = only or rng.choice(["header", "bytes", "tensors", "index", "config", "config", "config", "synthetic", "generation", "tokenizer", "tokenizer", "tokenizer_config",
                               "topology", "prompts", "tuning", "sizing", "command", "command", "command"])
    name = rng.choice(sorted(seeds.models))
    model = folder + "/m"
    os.makedirs(model)
    put = lambda file, data: open(model + "/" + file, "wb").write(data)
    whole = json.dumps(seeds.configs[name]).encode()
    text = False
    if kind in ("tokenizer", "tokenizer_config", "generation", "prompts", "command"): name = "llama-mha"; text = True
    put("config.json", json.dumps(seeds.configs[name]).encode())
    link = True
    raw = seeds.raw[name]
    if text:
        put("tokenizer.json", json.dumps(seeds.tokenizer).encode())
        put("tokenizer_config.json", json.dumps(seeds.tokenizer_config).encode())
    tail = ["--memory", "300MiB", "--max-tokens", "2"]
    ids = ["--prompt-token-ids", "5,6,7", *tail]
    command = [P("generate"), "--model", model, *ids]
    others = [command, command, [P("quantize"), "--model", model, "--scheme", rng.choice(["int8", "int4"]), "--group-size", "16", "--output", folder + "/q"],
              [P("bench"), "run", "--model", model, "--prompt-length", "4", "--new-tokens", "2", "--rounds", "1", "--memory", "300MiB"]]
    if rng.random() < 0.8: others.pop()  # This program measures memory bandwidth each time, over 1 GiB.
    length = struct.unpack("<Q", raw[:8])[0]
    if kind == "header":
        header = json.loads(raw[8:8 + length])
        if rng.random() < 0.5:  # close to right: another tensor's entry
            a, b = rng.sample(sorted(k for k in header if k != "__metadata__"), 2)
            field = rng.choice(["dtype", "shape", "data_offsets"])
            header[a][field] = rng.choice([header[b][field], strange(rng), [strange(rng), strange(rng)]])
            h = json.dumps(header).encode()
            for n, r in RAW.items(): h = h.replace(json.dumps(n).encode(), r.encode("utf-8", "surrogatepass"))
        else: h = mutate(rng, header)
        put("model.safetensors", struct.pack("<Q", len(h)) + h + raw[8 + length:]); link = False
        command = rng.choice(others)
    elif kind == "bytes":
        data = bytearray(raw)
        for _ in range(rng.choice([1, 3, 20])):
            action = rng.random()
            if action < 0.25: data = data[: rng.choice([0, 1, 7, 8, 9, rng.randrange(len(data) + 1), max(0, len(data) - 1)])]
            elif action < 0.5: data[0:8] = struct.pack("<Q", rng.choice([0, 1, 2**63, 2**64 - 1, length + 1, max(0, length - 1), 2**32, len(data), max(0, len(data) - 8)]))
            elif action < 0.8 and len(data): data[rng.randrange(min(len(data), length + 8))] = rng.randrange(256)
            elif action < 0.9 and len(data): data[rng.randrange(len(data))] = rng.randrange(256)
            else: data += os.urandom(0) + bytes(rng.randrange(20))
        put("model.safetensors", bytes(data)); link = False
        command = rng.choice(others)
    elif kind == "tensors":  # a well-formed file that is not this model's
        other = rng.choice(sorted(seeds.models))
        with open(model + "/x", "wb") as f: f.write(raw)
        t, meta = edit.read_tensors(model + "/x"); os.remove(model + "/x")
        for _ in range(rng.choice([1, 2])):
            key, action = rng.choice(sorted(t)), rng.random()
            if action < 0.2: t.pop(key)
            elif action < 0.4: t[key][0] = rng.choice(["F32", "F64", "I8", "I64", "BOOL", "F8_E4M3", "BF16", "F16", "U8", "", "X" * 500])
            elif action < 0.6: t[key][1] = rng.choice([[], [0], [1], t[key][1][::-1], t[key][1] + [1], [len(t[key][2])]])
            elif action < 0.8: t[key] = t[rng.choice(sorted(t))]
            else: t[rng.choice([key + ".bias", key.replace("weight", "scales"), "z\n", key.replace(".0.", ".7."), "lm_head.weight", "model." + key])] = t[key]
            if not t: break
        edit.write_tensors(model + "/model.safetensors", t, meta); link = False
        if rng.random() < 0.2: put("config.json", json.dumps(seeds.configs[other]).encode())
        command = rng.choice(others)
    elif kind == "index":
        names = [k for k in json.loads(raw[8:8 + length]) if k != "__metadata__"]
        shard = rng.choice(["model.safetensors", "model-00001-of-00001.safetensors"])
        put("model.safetensors.index.json", mutate(rng, {"metadata": {"total_size": len(raw)}, "weight_map": {n: shard for n in names}}))
        if shard != "model.safetensors": put(shard, raw); link = False
        command = rng.choice(others)
    elif kind in ("config", "synthetic"):
        put("config.json", mutate(rng, seeds.configs[name], ["rope_scaling", "layer_types", "sliding_window", "quantization_config", "head_dim", "architectures", "text_config", "num_local_experts", "tie_word_embeddings", "attention_bias", "dtype", "torch_dtype"]))
        command = rng.choice([*others, [P("sizing"), "plan", "--model", model, "--memory", "8GiB", "--format", rng.choice(["text", "json"])]])
        if kind == "synthetic": command = [P("generate"), "--model", f"synthetic:{model}/config.json", *ids]
    elif kind == "generation":
        put("generation_config.json", mutate(rng, {"bos_token_id": 1, "eos_token_id": [2, 3], "do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1, "max_new_tokens": 3, "min_p": 0.01, "pad_token_id": 0}))
        command = [P("generate"), "--model", model, "--prompt-token-ids", "5,6,7", "--memory", "300MiB"]
    elif kind in ("tokenizer", "tokenizer_config"):
        source = seeds.tokenizer if kind == "tokenizer" else seeds.tokenizer_config
        if kind == "tokenizer" and rng.random() < 0.7:  # in the structure, not in the vocabulary
            part = rng.choice(["normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens", "model"])
            kinds = ["BPE", "Unigram", "WordPiece", "ByteLevel", "Sequence", "Split", "Metaspace", "Replace", "Prepend", "NFC", "NFKC", "Strip", "Lowercase", "TemplateProcessing", "ByteFallback", "Fuse", "Digits", "Punctuation", "Whitespace"]
            copy = json.loads(json.dumps(source))
            if rng.random() < 0.4 and part not in ("added_tokens", "model"):
                copy[part] = {"type": rng.choice(kinds), rng.choice(["pattern", "pretokenizers", "normalizers", "decoders", "processors", "content", "prepend_scheme", "replacement", "start", "left", "individual_digits", "single"]): strange(rng),
                              "pattern": rng.choice([{"Regex": rng.choice(["(", "(a+)+$", "\\p{L}+", "(?:" * 500, "[", "a{100000}", "\\X", "(?R)", "(?<=a*)", ""])}, {"String": rng.choice(["", "x", " "])}]), "content": rng.choice(["", "▁", "x" * 1000])}
            else: copy[part] = json.loads(json.dumps(copy[part]))
            data = json.dumps(copy)
            if rng.random() < 0.8 and copy[part] is not None:
                changed = mutate(rng, {"p": copy[part]})
                data = data.encode().replace(json.dumps(copy[part]).encode(), changed.strip()[5:-1] if changed.startswith(b'{"p":') else changed, 1)
            else: data = data.encode()
        else: data = mutate(rng, source)
        put(kind + ".json", data)
        command = rng.choice([[P("tokenize"), "--model", model, "--text", "hello  world 123\n😀 x"], [P("tokenize"), "--model", model, "--decode", "5,6,200,1"], [P("generate"), "--model", model, "--prompt", "hello there", *tail]])
    elif kind == "topology":
        put("t.json", mutate(rng, seeds.topology))
        command = rng.choice([[*command, "--topology", model + "/t.json"], [P("sizing"), "plan", "--model", model, "--memory", "8GiB", "--topology", model + "/t.json"]])
    elif kind == "prompts":
        lines = []
        for _ in range(rng.choice([0, 1, 2, 5])):
            lines.append(rng.choice([b'"hello"', b'{"prompt": "hello"}', b"", b" ", b'""', b'{"text": "x"}', b"[1, 2]", b'"\\ud800"', b'"a\\u0000b"', b"\xff\xfe", json.dumps("long " * 300).encode(), mutate(rng, {"prompt": "hello", "n": 1}), json.dumps("😀" * 20).encode()]))
        put("p.jsonl", rng.choice([b"\n", b"\r\n", b"\r"]).join(lines) + rng.choice([b"", b"\n", b"\0"]))
        command = rng.choice([[P("generate"), "--model", model, "--prompts", model + "/p.jsonl", *tail], [P("tokenize"), "--model", model, "--jsonl", model + "/p.jsonl"], [P("tokenize"), "--model", model, "--decode-jsonl", model + "/p.jsonl"],
                              [P("generate"), "--model", model, "--prompt-file", model + "/p.jsonl", *tail], [P("evaluate"), "perplexity", "--model", model, "--text", model + "/p.jsonl", "--window", "8", "--limit", "2", "--memory", "300MiB"]])
    elif kind == "tuning":
        put("tuning", mutate(rng, seeds.tuning))
        command = [P("all_reduce_bench"), "-b", "8", "-e", "8", "-n", "1", "--all-reduce-tuning", model + "/tuning"]
        if rng.random() < 0.1: command = ["mpirun", "--quiet", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", "2", *command]
    elif kind == "sizing":
        what = rng.choice(["interconnect", "profile", "verify", "fit", "compare"])
        size = [P("sizing"), "plan", "--model", rng.choice(["llama2-7b", model]), "--memory", "64GiB", "--format", rng.choice(["text", "json"])]
        if what == "interconnect": put("i", mutate(rng, seeds.interconnect)); command = [*size, "--interconnect", model + "/i"]
        elif what == "profile": put("i", mutate(rng, rng.choice(seeds.profiles))); command = [*size, "--profile", model + "/i"]
        elif what == "verify":
            put("p", json.dumps(seeds.plan).encode()); put("g", json.dumps(seeds.measured).encode())
            if rng.random() < 0.5: put("p", mutate(rng, seeds.plan))
            else: put("g", mutate(rng, seeds.measured))
            command = [P("sizing"), "verify", "--plan", model + "/p", "--measured", model + "/g"]
        elif what == "compare":
            put("p", json.dumps(seeds.bench).encode()); put("g", mutate(rng, seeds.bench)); files = [model + "/p", model + "/g"]; rng.shuffle(files)
            command = [P("bench"), "compare", *files]
        else:
            rows = [["model", "cards_32", "max_len_k_32"]] + [[rng.choice(["llama2-7b", "llama2-70b", "qwen2-72b", "x\x1b"]), str(strange(rng))[:2000] if rng.random() < 0.4 else "2", str(rng.choice([4, 16, 32, "-", "", "x"]))] for _ in range(rng.randrange(8))]
            put("t.tsv", "\n".join("\t".join(r[: rng.choice([3, 3, 3, 2])]) for r in rows).encode("utf-8", "surrogatepass")); command = [P("sizing"), "fit", "--table", model + "/t.tsv"]
    else:
        which = rng.choice(sorted(seeds.options))
        base = {"generate": ["--model", model, "--prompt", "hello", *tail], "evaluate perplexity": ["--model", model, "--text", model + "/config.json", "--window", "16", "--limit", "2", "--memory", "300MiB"], "tokenize": ["--model", model, "--text", "hello"],
                "sizing plan": ["--model", model, "--memory", "8GiB"], "sizing table": ["--memory", "32GB"], "quantize": ["--model", model, "--scheme", "int8", "--group-size", "16", "--output", folder + "/q"],
                "bench run": ["--model", model, "--prompt-length", "4", "--new-tokens", "2", "--rounds", "1", "--memory", "300MiB"], "all_reduce_bench": ["-b", "8", "-e", "64", "-n", "1", "-w", "0"], "bench compare": [model + "/config.json"] * 2}.get(which, [])
        extra = []
        for _ in range(rng.choice([1, 1, 2, 3])):
            option = rng.choice(seeds.options[which] or ["--nothing"])
            extra.append(option)
            if rng.random() < 0.92: extra.append(value(rng, option, folder))
            if rng.random() < 0.1: extra[-1] = "=".join(extra[-2:]); del extra[-2:-1]
        command = [P(which.split()[0]), *which.split()[1:], *base, *extra]
    if link and not os.path.lexists(model + "/model.safetensors"): os.symlink(seeds.models[name] + "/model.safetensors", model + "/model.safetensors")
    command = [a.replace("\0", "") for a in command]
    return kind, command


def execute(command, folder):
    """Runs a command; returns status (124: out of time), standard output, standard error, MiB and seconds."""
    out, err = folder + "/out", folder + "/err"
    began = time.monotonic()
    with open(out, "wb") as o, open(err, "wb") as e:
        process = subprocess.Popen([os.fsencode(a) if "\udcff" in a else a.encode("utf-8", "surrogatepass") for a in command], stdin=subprocess.DEVNULL, stdout=o, stderr=e, start_new_session=True, cwd=folder)
    pause = 0.001
    while True:
        pid, state, usage = os.wait4(process.pid, os.WNOHANG)
        if pid: break
        if time.monotonic() - began > SECONDS:
            os.killpg(process.pid, signal.SIGKILL)
            pid, state, usage = os.wait4(process.pid, 0)
            process.returncode = 124
            return 124, open(out, "rb").read(), open(err, "rb").read(), usage.ru_maxrss // 1024, SECONDS
        time.sleep(pause); pause = min(pause * 1.3, 0.02)
    status = os.WEXITSTATUS(state) if os.WIFEXITED(state) else 128 + os.WTERMSIG(state)
    process.returncode = status
    return status, open(out, "rb").read(), open(err, "rb").read(), usage.ru_maxrss // 1024, time.monotonic() - began


def judge(command, status, out, err, mebibytes, seconds):
    text = err.decode("utf-8", "replace")
    lines = [l for l in text.split("\n") if l and not LOG.match(l)]
    faults = []
    if status not in (0, 64, 65, 66): faults.append("no end" if status == 124 else f"status {status}")
    elif status:
        if len(lines) != 1: faults.append(f"{len(lines)} lines")
        if out.strip() and not any("jsonl" in a for a in command) and b"marked WRONG" not in err: faults.append("a result beside a failure")
        if any(len(l.encode()) > LINE for l in lines): faults.append("a line of {} bytes".format(max(len(l.encode()) for l in lines) // 100 * 100))
        if not lines or re.search(r"NSCocoa|NSPOSIX|Error Domain|Optional\(|CancellationError|DecodingError|codingPath|The operation couldn", text): faults.append("no line for people")
    elif "json" in command and "--format" in command and command[command.index("--format") + 1] == "json" and not ("--output" in command):
        try: json.loads(out, parse_constant=lambda c: 1 / 0)
        except (ValueError, ZeroDivisionError):
            try: [json.loads(l, parse_constant=lambda c: 1 / 0) for l in out.splitlines() if l.strip()]
            except (ValueError, ZeroDivisionError): faults.append("no JSON")
    if BAD.search(text.replace("\n", " ")) : faults.append("control characters")
    if any(len(l.encode()) > 1000 for l in text.split("\n") if LOG.match(l)): faults.append("a log line of over 1000 bytes")
    if mebibytes > (1200 if command[0].endswith("/bench") else MEBIBYTES): faults.append(f"{mebibytes // 100 * 100} MiB")
    return faults


def one(arguments):
    case, seed, base, only, seeds = *arguments, SEEDS
    folder = f"{base}/{case}"
    os.makedirs(folder)
    rng = random.Random(f"{seed}/{case}")
    kind, command = build(rng, seeds, folder, only)
    result = execute(command, folder)
    faults = judge(command, *result)
    if not faults: shutil.rmtree(folder, ignore_errors=True)
    return case, kind, command, faults, result[0], result[2][:300].decode("utf-8", "replace"), result[4]


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    global SEEDS
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=20000); parser.add_argument("seed", nargs="?", type=int, default=1)
    parser.add_argument("--case", type=int); parser.add_argument("--kind"); parser.add_argument("--workers", type=int, default=2); parser.add_argument("--keep", default=None)
    a = parser.parse_args()
    SEEDS = Seeds()
    base = tempfile.mkdtemp(prefix="mutations.")
    kept = a.keep or tempfile.mkdtemp(prefix="mutations-faults.")
    cases = [a.case] if a.case is not None else range(a.count)
    faults, statuses, kinds, slowest = collections.Counter(), collections.Counter(), collections.Counter(), (0, None)
    began, number = time.monotonic(), 0
    try:
        with multiprocessing.Pool(a.workers) as pool:
            for case, kind, command, bad, status, err, seconds in pool.imap_unordered(one, ((c, a.seed, base, a.kind) for c in cases), 4):
                statuses[status] += 1; kinds[kind] += 1
                slowest = max(slowest, (seconds, case))
                if a.case is not None: print(shlex.join(command)[:2000], f"\nstatus {status}, {seconds:.2f} s\n{err}")
                if bad:
                    number += 1
                    for b in bad: faults[kind, b] += 1
                    print(f"FAULT case {case} ({kind}): {', '.join(bad)}: {ascii(shlex.join(command).replace(PROGRAMS, '').replace(base, ''))[:300]}: status {status}: {ascii(err[:200])}", flush=True)
                    if number <= 20: shutil.move(f"{base}/{case}", f"{kept}/{case}")
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(f"{sum(kinds.values())} cases, seed {a.seed}, {time.monotonic() - began:.0f} s; statuses {dict(sorted(statuses.items()))}; kinds {dict(sorted(kinds.items()))}; slowest {slowest[0]:.1f} s (case {slowest[1]})")
    for (kind, fault), count in faults.most_common(): print(f"  {count} {kind}: {fault}")
    if number: print(f"{number} faults; files of the first 20: {kept}")
    else: os.rmdir(kept)
    sys.exit(1 if number else 0)


if __name__ == "__main__": main()
