#!/usr/bin/env python3
"""digests.py [COUNT [SEED]] [--case N]: the same bits, however a random model's work is divided.

COUNT (100) times: a random tiny model (synthetic, in the shapes of Llama, Mistral or Qwen2, or a golden checkpoint), a random
arithmetic (type, quantization, cache, kernels), and several runs of it over random plans (1 to 4 ranks, uneven layers and
weights), threads, batches and cache limits. All `--logits-digest`s of a case must be equal; so must those of a prompt in a
batch and alone. Degrees that do not nest in eight slices (3) and unequal weights promise agreement within rounding only: of
these the first log-probability must be near. Every kernel table must give the same bits too, but for bfloat16 weights with avx512bf16 and amx, which are
compared within a table (the README says so). Float arithmetic without quantized weights promises equal bits over plans,
threads and ranks; chunks of a prompt are compared where weights are quantized, as the README promises for those.
PROGRAMS names the folder of the programs (.build/release). Status 1 if any differ.
"""
import argparse, json, os, random, shlex, shutil, signal, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAMS = os.path.abspath(os.environ.get("PROGRAMS", ROOT + "/.build/release"))
GOLDEN = ROOT + "/Tests/Golden"
GENERATE = PROGRAMS + "/generate"
MPI = ["mpirun", "--quiet", *(["--allow-run-as-root"] if os.geteuid() == 0 else []), "--oversubscribe", "--mca", "mpi_yield_when_idle", "1", "--bind-to", "none"]


def tables():
    """Returns the names of the kernel tables that this processor supports."""
    found = []
    for name in ("scalar", "avx2", "avx2vnni", "avx512", "avx512vnni", "avx512bf16", "amx", "neon"):
        r = subprocess.run([GENERATE, "--model", GOLDEN + "/checkpoints/llama-mha", "--prompt-token-ids", "5", "--max-tokens", "1", "--kernels", name], capture_output=True, timeout=60)
        if r.returncode == 0: found.append(name)
    return found


def configuration(rng):
    family = rng.choice(["llama", "llama", "mistral", "qwen2"])
    head = rng.choice([8, 16, 24, 32, 64])
    kv = rng.choice([1, 1, 2, 2, 3, 4])
    heads = kv * rng.choice([1, 2, 3, 4, 7])
    hidden = rng.choice([heads * head, 32 * rng.randrange(1, 9)])
    if family == "qwen2": hidden = heads * head
    if hidden % 32: hidden = -(-hidden // 32) * 32
    c = {"model_type": family, "architectures": [{"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM"}[family]], "hidden_size": hidden,
         "intermediate_size": rng.choice([32, 64, 96, 128, 160, 320]), "num_hidden_layers": rng.randrange(1, 6), "num_attention_heads": heads, "num_key_value_heads": kv, "head_dim": head,
         "vocab_size": rng.choice([33, 100, 257, 512, 1000]), "max_position_embeddings": rng.choice([128, 512]), "rms_norm_eps": rng.choice([1e-5, 1e-6]), "hidden_act": "silu", "tie_word_embeddings": rng.random() < 0.4,
         "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16", "rope_theta": rng.choice([10000.0, 500000.0])}
    if family == "mistral": c["sliding_window"] = rng.choice([None, 8, 64])
    scaling = rng.random()
    if scaling < 0.1: c["rope_scaling"] = {"rope_type": "linear", "factor": 2.0}
    elif scaling < 0.2: c["rope_scaling"] = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    elif scaling < 0.3: c["rope_scaling"] = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    return c


def case(number, seed, kernels, folder):
    """Runs one case; returns (runs, differences, refusals)."""
    rng = random.Random(f"{seed}/{number}")
    if rng.random() < 0.7:
        c = configuration(rng)
        path = f"{folder}/config.json"
        json.dump(c, open(path, "w"))
        model, layers, vocabulary, limit = "synthetic:" + path, c["num_hidden_layers"], c["vocab_size"], c["max_position_embeddings"]
        stored = False
    else:
        names = [f"checkpoints/{n}" for n in sorted(os.listdir(GOLDEN + "/checkpoints")) if os.path.isdir(f"{GOLDEN}/checkpoints/{n}")] + ["quantized/lc-w4a16-asym-g128", "quantized/lc-w8a16-channel"]
        name = rng.choice(names)
        model = f"{GOLDEN}/{name}"
        c = json.load(open(model + "/config.json"))
        layers, vocabulary, limit = c["num_hidden_layers"], c["vocab_size"], min(c["max_position_embeddings"], 512)
        stored = name.startswith("quantized")
    arithmetic, quantized = [], stored
    if not stored and rng.random() < 0.6:
        quantized = True
        scheme = rng.choice(["int8", "int4", "w8a8"])
        arithmetic += ["--quantization", scheme]
        if scheme != "w8a8": arithmetic += ["--group-size", "32"] if rng.random() < 0.8 else ["--granularity", rng.choice(["channel", "tensor"])]
        if scheme == "int4" and rng.random() < 0.3 or scheme == "int8" and rng.random() < 0.3: arithmetic += ["--asymmetric"]
        if rng.random() < 0.4: arithmetic += ["--lm-head", rng.choice(["int8", "none", "same"])]
    if rng.random() < 0.4: arithmetic += ["--dtype", rng.choice(["float32", "bfloat16", "float16"])]
    if rng.random() < 0.5: arithmetic += ["--kv-cache-dtype", rng.choice(["float32", "float16", "bfloat16", "int8", "fp8"])]
    if rng.random() < 0.2: arithmetic += ["--activation-dtype", "float32"]
    # Two tables round bfloat16 products differently, whenever float weights or float activations take part.
    table_family = rng.choice([[k for k in kernels if k not in ("avx512bf16", "amx")], [rng.choice(kernels)]])
    length = rng.choice([1, 2, 5, 17, 40, 70])
    prompts = [[rng.randrange(3, vocabulary) for _ in range(length if i == 0 else rng.choice([1, 3, 30]))] for i in range(2)]
    new = rng.choice([2, 5, 12])
    base = [GENERATE, "--model", model, *arithmetic, "--temperature", "0", "--ignore-eos", "--max-tokens", str(new), "--format", "json", "--logits-digest", "--logprobs", "1", "--prompt-token-ids", ",".join(map(str, prompts[0])), "--seed", "1", "--log-level", "error", "--timeout", "30"]
    runs, reference, differences, refusals = 0, None, [], []
    chunk_free = quantized and "float32" not in arithmetic[arithmetic.index("--activation-dtype") + 1:] if "--activation-dtype" in arithmetic else quantized
    for attempt in range(6):
        ranks = 1 if attempt == 0 else rng.choice([1, 2, 2, 3, 4])
        extra, nests, topology = [], True, {}
        if attempt:
            splits = [(t, ranks // t) for t in range(1, ranks + 1) if ranks % t == 0 and ranks // t <= layers]
            tensor, pipeline = rng.choice(splits) if splits else (ranks, 1)
            topology = {"tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline}
            if pipeline > 1 and rng.random() < 0.6:
                cuts = sorted(rng.sample(range(1, layers), pipeline - 1)); topology["layers"] = [b - a for a, b in zip([0] + cuts, cuts + [layers])]
            nests = tensor in (1, 2, 4)
            if rng.random() < 0.4: topology["weights"] = [rng.choice([1, 1, 2, 3]) for _ in range(ranks)]
            shares = [topology.get("weights", [1] * ranks)[i * tensor:(i + 1) * tensor] for i in range(pipeline)]
            if rng.random() < 0.7:
                json.dump(topology, open(f"{folder}/t{attempt}.json", "w")); extra += ["--topology", f"{folder}/t{attempt}.json"]; nests = nests and all(len(set(x)) == 1 for x in shares)
            else: extra += ["-tp", str(tensor), "-pp", str(pipeline)]
            if rng.random() < 0.5: extra += ["--threads", rng.choice(["1", "2", "3"])]
            if chunk_free and rng.random() < 0.5: extra += ["--max-num-batched-tokens", rng.choice(["1", "2", "3", "7", "16"])]
            if rng.random() < 0.3: extra += ["--n", "2"]
            if rng.random() < 0.3: extra += ["--max-model-len", str(limit)]
            if rng.random() < 0.2: extra += ["--check-collectives"]
        extra += ["--kernels", rng.choice(table_family)]
        command = (MPI + ["-n", str(ranks)] if ranks > 1 else []) + base + extra
        try: r = subprocess.run(command, capture_output=True, timeout=90, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired: differences.append(("no end in 90 s", command)); continue
        runs += 1
        if r.returncode:
            lines = [l for l in r.stderr.decode("utf-8", "replace").splitlines() if l]
            (refusals if r.returncode in (64, 65) and len(lines) == 1 else differences).append((f"status {r.returncode}: {lines[-1:] and lines[-1][:200]}", command))
            if attempt == 0: break
            continue
        outputs = json.loads(r.stdout)["outputs"]
        for o in outputs:
            digest = (o["token_ids"], o["logits_digests"])
            if reference is None: reference, first, near = digest, command, o["logprobs"][0]
            elif not nests:
                a, b = o["logprobs"][0], near
                if a["token_id"] == b["token_id"] and abs(a["logprob"] - b["logprob"]) > 0.25: differences.append((f"{topology}: log-probability {a['logprob']}, not {b['logprob']}", command)); break
            elif digest != reference:
                step = next((i for i, (a, b) in enumerate(zip(digest[1], reference[1])) if a != b), -1)
                differences.append((f"{topology} differs at step {step} of {new} from {shlex.join(first)}", command)); break
    return runs, differences, refusals


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=100); parser.add_argument("seed", nargs="?", type=int, default=1); parser.add_argument("--case", type=int)
    a = parser.parse_args()
    kernels = tables()
    print("kernel tables here:", ", ".join(kernels), flush=True)
    runs = bad = refused = 0
    for number in [a.case] if a.case is not None else range(a.count):
        folder = tempfile.mkdtemp(prefix="digests.")
        try: count, differences, refusals = case(number, a.seed, kernels, folder)
        finally: shutil.rmtree(folder, ignore_errors=True)
        runs += count; refused += len(refusals)
        for what, command in refusals: print(f"refused case {number}: {what}", flush=True)
        for what, command in differences: bad += 1; print(f"FAULT case {number}: {what}: {shlex.join(command)}".replace(PROGRAMS + "/", ""), flush=True)
    print(f"{runs} runs, {refused} refused, {bad} faults, seed {a.seed}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__": main()
