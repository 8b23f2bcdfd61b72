"""Measures prefill and decode of a GGUF file with OpenVINO GenAI: openvino_bench.py FILE THREADS PROMPT NEW. Prints two rates."""

import sys

import numpy as np
import openvino
import openvino_genai


def main(path, threads, prompt, new):
    pipeline = openvino_genai.LLMPipeline(
        path, "CPU", INFERENCE_NUM_THREADS=threads, PERFORMANCE_HINT="LATENCY", ENABLE_MMAP=False
    )
    # The prompts share no prefix, because the pipeline keeps the cache of earlier prompts.
    random = np.random.default_rng(0)
    first, second = (openvino.Tensor(random.integers(300, 30000, (1, prompt))) for _ in range(2))
    settings = openvino_genai.GenerationConfig(max_new_tokens=new, min_new_tokens=new, ignore_eos=True, do_sample=False)
    pipeline.generate(first, settings)
    metrics = pipeline.generate(second, settings).perf_metrics
    prefill = prompt / metrics.get_ttft().mean * 1000
    decode = 1000 / metrics.get_tpot().mean
    print(f"{prefill:.1f} {decode:.1f}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
