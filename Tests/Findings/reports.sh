#!/bin/bash
# reports.sh [WORD]: checks inputs of the kinds that users of such programs report, each with its expected result. It prints a
# line for each, `ok ...` or `FAULT ...`, and ends with status 1 if there is a fault. With WORD it runs only the groups whose names
# contain it (config, index, path, cache, sampling, prompt, interactive, tokenizer, output, sizing). PROGRAMS is the folder of the
# programs.
set -u
. "$(dirname "$0")/checks.sh"
only=${1:-}
group() { [ -z "$only" ] || [[ $1 == *"$only"* ]]; }
ids="--prompt-token-ids 5,6,7,9,11,200 --temperature 0 --ignore-eos --max-tokens 3"
g="$generate --model $tmp/m"
t="$generate --model $tale --temperature 0 --ignore-eos"
right=$("$generate" --model "$golden/llama-mha" $ids --log-level error 2>/dev/null)
hello=$($t --prompt hello --max-tokens 6 --log-level error 2>/dev/null)
right_answer() { wants "$1" 0 "${@:2}"; [ "$status" -eq 0 ] && { [ "$(cat "$out")" = "$right" ] || fault "$1: the answer" "$(head -c 60 "$out"), not $right"; }; }
hello_answer() { wants "$1" 0 "${@:2}"; [ "$status" -eq 0 ] && { [ "$(cat "$out")" = "$hello" ] || fault "$1: the answer" "$(head -c 60 "$out"), not $hello"; }; }

if group config; then
    c() { fresh llama-mha; json "$2"; right_answer "config: $1" $g $ids; }
    c "torch_dtype instead of dtype" "c['torch_dtype'] = c.pop('dtype')"
    c "no dtype at all" "c.pop('dtype')"
    c "no head_dim" "c.pop('head_dim')"
    c "head_dim null" "c['head_dim'] = None"
    c "no num_key_value_heads" "c.pop('num_key_value_heads')"
    c "num_key_value_heads null" "c['num_key_value_heads'] = None"
    c "no tie_word_embeddings" "c.pop('tie_word_embeddings')"
    c "no architectures" "c.pop('architectures')"
    c "architectures null" "c['architectures'] = None"
    c "rope_theta at the top, no rope_parameters" "c.pop('rope_parameters'); c['rope_theta'] = 10000.0"
    c "no rope at all" "c.pop('rope_parameters')"
    c "rope_theta as a whole number" "c['rope_parameters']['rope_theta'] = 10000"
    c "rope_scaling null" "c.pop('rope_parameters'); c['rope_scaling'] = None; c['rope_theta'] = 10000"
    c "sliding_window null" "c['sliding_window'] = None"
    c "attention_bias null" "c['attention_bias'] = None"
    c "hidden_act swish" "c['hidden_act'] = 'silu'"
    c "rms_norm_eps as text of a float" "c['rms_norm_eps'] = 1e-06"
    c "vocab_size as 256.0" "c['vocab_size'] = 256.0"
    c "quantization_config null" "c['quantization_config'] = None"
    c "auto_map and odd keys" "c['auto_map'] = {'AutoModel': 'x.py'}; c['_name_or_path'] = '/x'; c['ключ'] = '値'"
    c "pretraining_tp 2" "c['pretraining_tp'] = 2"
    c "eos_token_id a list" "c['eos_token_id'] = [2, 3]"
    c "bos_token_id null" "c['bos_token_id'] = None"
    c "task parameters of 1 MB" "c['task_specific_params'] = {'x' * 50: 'y' * 1000000}"
    fresh llama-mha; (printf '\xef\xbb\xbf'; cat "$golden/llama-mha/config.json") >"$tmp/m/config.json"; run $g $ids; [ "$status" -eq 0 ] || [ "$status" -eq 65 ] && ok "config: a byte order mark: $status" || fault "config: a byte order mark" "."
    fresh llama-mha; sed -i 's/$/\r/' "$tmp/m/config.json"; right_answer "config: CRLF" $g $ids
    fresh llama-mha; tr -d '\n ' <"$golden/llama-mha/config.json" >"$tmp/m/config.json"; right_answer "config: on one line, no newline" $g $ids
    fresh llama-mha; : >"$tmp/m/config.json"; wants "config: empty" 65 -e config.json $g $ids
    fresh llama-mha; rm "$tmp/m/config.json"; wants "config: missing" 66 -e config.json $g $ids
    fresh llama-mha; : >"$tmp/m/model.safetensors"; wants "config: empty weights" 65 -e model.safetensors $g $ids
    fresh llama-mha; : >"$tmp/m/generation_config.json"; wants "config: empty generation_config.json" 65 -e generation_config.json $g $ids
    fresh llama-mha; rm "$tmp/m/generation_config.json"; right_answer "config: no generation_config.json" $g $ids
    fresh llama-mha; setjson generation_config.json "c.update(temperature=None, top_k=None, top_p=None, do_sample=None, max_new_tokens=None, max_length=20)"; right_answer "config: nulls in generation_config.json" $g $ids
    fresh llama-mha; setjson generation_config.json "c.update(temperature=0.0, do_sample=False, top_p=1.0, top_k=50)"; wants "config: temperature 0 of generation_config.json" 0 -o . $g --prompt-token-ids 5 --max-tokens 3
    fresh tale; setjson generation_config.json "c['eos_token_id'] = None"; wants "config: eos_token_id null" 0 -o . "$generate" --model "$tmp/m" --prompt hello --max-tokens 3
    fresh llama-mha; json "c['model_type'] = 'mistral'; c['architectures'] = ['MistralForCausalLM']; c['sliding_window'] = None"; right_answer "config: Mistral without a window is Llama" $g $ids
    fresh llama-mha; json "c['architectures'] = ['LlamaForSequenceClassification']"; wants "config: a classifier" "0|65" $g $ids
    fresh llama-mha; json "c = {'model_type': 'llava', 'text_config': c}"; wants "config: a model of images and text" 65 -e 'llava|model_type' $g $ids
    fresh llama-mha; json "c['hidden_size'] = '64'"; wants "config: a number as text" 65 -e hidden_size $g $ids
    fresh llama-mha; json "c['max_position_embeddings'] = 131072"; right_answer "config: 128K positions on a little memory" $g $ids --memory 128MiB
fi

if group index; then
    fresh llama-mha; mv "$tmp/m/model.safetensors" "$tmp/m/model-00001-of-00001.safetensors"; right_answer "index: one shard, no index" $g $ids
    fresh llama-mha; mv "$tmp/m/model.safetensors" "$tmp/m/consolidated.safetensors"; wants "index: consolidated.safetensors alone" "0|65|66" $g $ids
    fresh llama-mha; cp "$tmp/m/model.safetensors" "$tmp/m/adapter_model.safetensors"; right_answer "index: an adapter beside the model" $g $ids
    fresh llama-mha; cp "$tmp/m/model.safetensors" "$tmp/m/consolidated.safetensors"; right_answer "index: consolidated.safetensors beside the model (Mistral)" $g $ids
    fresh llama-mha; touch "$tmp/m/._model.safetensors"; right_answer "index: a ._ file of macOS" $g $ids
    fresh llama-mha; cp "$tmp/m/model.safetensors" "$tmp/m/model.safetensors.incomplete"; right_answer "index: a rest of a download" $g $ids
    fresh llama-mha; touch "$tmp/m/pytorch_model.bin"; right_answer "index: pytorch_model.bin beside it" $g $ids
    fresh llama-mha; rm "$tmp/m/model.safetensors"; touch "$tmp/m/pytorch_model.bin"; wants "index: only pytorch_model.bin" "65|66" -e safetensors $g $ids
    fresh llama-mha; echo '{"weight_map": {}}' >"$tmp/m/model.safetensors.index.json"; right_answer "index: an empty map beside a whole file" $g $ids
    fresh llama-mha; : >"$tmp/m/model.safetensors.index.json"; wants "index: an empty file" "0|65" -e 'index.json|loaded in' $g $ids
    fresh llama-mha; python3 "$here/edit.py" bytes "$tmp/m/model.safetensors" 'n = struct.unpack("<Q", bytes(b[:8]))[0]; b[:8] = struct.pack("<Q", n + 64); b[8 + n:8 + n] = b" " * 64'; right_answer "index: a header padded by spaces" $g $ids
    fresh llama-mha; tensors 'for k in list(t)[::-1]: t[k] = t.pop(k)'; right_answer "index: tensors in another order" $g $ids
    fresh llama-mha; tensors 'for k in t: x = t[k]; x[0] = "F32"; x[2] = b"".join(b"\0\0" + x[2][i:i + 2] for i in range(0, len(x[2]), 2))'; wants "index: the same weights as float32" 0 -o . $g $ids
    fresh llama-mha; tensors 't["model.norm.weight"][0] = "F64"; t["model.norm.weight"][2] = b"\0" * 512'; wants "index: float64" 65 -e F64 $g $ids
    fresh llama-mha; tensors 'for k in list(t): t[k.removeprefix("model.")] = t.pop(k)'; wants "index: names without model." "0|65" $g $ids
fi

if group path; then
    for name in "with space" "quote'single" 'quote"double' 'dollar$HOME' 'ünïcödé-模型' 'semi;colon' 'per%cent' 'new
line' 'hash#x' 'colon:x' 'a,b' '[glob]*' '~tilde' 'trailing.' 'emoji😀'; do
        mkdir -p "$tmp/$name"; cp "$golden/llama-mha"/* "$tmp/$name/"; right_answer "path: '${name/$'\n'/\\n}'" "$generate" --model "$tmp/$name" $ids
    done
    right_answer "path: with a space, two ranks" "$local_sh" 2 "$generate" --model "$tmp/with space" $ids
    right_answer "path: a quote, two ranks" "$local_sh" 2 "$generate" --model "$tmp/quote'single" $ids
    fresh llama-mha
    right_answer "path: a trailing slash" "$generate" --model "$tmp/m/" $ids
    right_answer "path: several slashes" "$generate" --model "$tmp//m///" $ids
    right_answer "path: relative" bash -c 'cd "$0" && shift 0 && exec "$@"' "$tmp" "$generate" --model m $ids
    right_answer "path: ./ and .." bash -c 'cd "$0" && exec "$@"' "$tmp/m" "$generate" --model ../m/. $ids
    right_answer "path: the folder itself" bash -c 'cd "$0" && exec "$@"' "$tmp/m" "$generate" --model . $ids
    right_answer "path: relative, two ranks" bash -c 'cd "$0" && exec "$@"' "$tmp" "$local_sh" 2 "$generate" --model ./m $ids
    ln -sfn "$tmp/m" "$tmp/link"; right_answer "path: a linked folder" "$generate" --model "$tmp/link" $ids
    mkdir -p "$tmp/org"; ln -sfn "$tmp/m" "$tmp/org/name"; right_answer "path: org/name that is a folder here" bash -c 'cd "$0" && exec "$@"' "$tmp" "$generate" --model org/name $ids
    mkdir -p "$tmp/blobs" "$tmp/snap"; for f in "$golden/llama-mha"/*; do b=$(basename "$f"); cp "$f" "$tmp/blobs/$b.blob"; ln -sf "../blobs/$b.blob" "$tmp/snap/$b"; done; right_answer "path: links to blobs" "$generate" --model "$tmp/snap" $ids
    wants "path: the config.json itself" "0|64|65|66" "$generate" --model "$tmp/m/config.json" $ids
    wants "path: the weights themselves" "0|64|65|66" "$generate" --model "$tmp/m/model.safetensors" $ids
    wants "path: empty" "64|65|66" "$generate" --model "" $ids
    wants "path: /dev/null" "64|65|66" "$generate" --model /dev/null $ids
    chmod -R a-w "$tmp/m"; right_answer "path: a read-only folder" "$generate" --model "$tmp/m" $ids; chmod -R u+w "$tmp/m"
    long=$tmp/$(printf 'd%.0s' $(seq 200)); mkdir -p "$long"; cp "$golden/llama-mha"/* "$long/"; right_answer "path: a name of 200 letters" "$generate" --model "$long" $ids
    right_answer "path: TMPDIR is missing" env TMPDIR="$tmp/nowhere" "$generate" --model "$tmp/m" $ids
    right_answer "path: no HOME" env -u HOME "$generate" --model "$tmp/m" $ids
    right_answer "path: LANG=C" env LC_ALL=C LANG=C "$generate" --model "$tmp/ünïcödé-模型" $ids
    if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
        cp -r "$tmp/m" "$tmp/closed"; chmod 755 "$tmp"; chmod 000 "$tmp/closed/model.safetensors"; chmod a+rx "$tmp/closed"
        wants "path: weights that may not be read" "65|66" -e 'model.safetensors' setpriv --reuid 65534 --clear-groups "$generate" --model "$tmp/closed" $ids
    else skip "path: weights that may not be read: not root"; fi
fi

if group sampling; then
    wants "sampling: top-k beyond the vocabulary" 0 -o . $t --prompt hello --max-tokens 3 --temperature 1 --top-k 1000000
    hello_answer "sampling: top-k 1 is greedy" "$generate" --model "$tale" --prompt hello --max-tokens 6 --top-k 1 --temperature 1 --ignore-eos
    hello_answer "sampling: temperature 1e-6 is greedy" "$generate" --model "$tale" --prompt hello --max-tokens 6 --temperature 0.000001 --ignore-eos
    hello_answer "sampling: temperature 1e-30 is greedy" "$generate" --model "$tale" --prompt hello --max-tokens 6 --temperature 1e-30 --ignore-eos
    hello_answer "sampling: temperature 1e-45 is greedy" "$generate" --model "$tale" --prompt hello --max-tokens 6 --temperature 1e-45 --ignore-eos
    wants "sampling: temperature 1e30" "0|64" "$generate" --model "$tale" --prompt hello --max-tokens 3 --temperature 1e30 --seed 1
    hello_answer "sampling: top-p 1e-9 is greedy" "$generate" --model "$tale" --prompt hello --max-tokens 6 --temperature 1 --top-p 1e-9 --ignore-eos
    hello_answer "sampling: min-p 1 is greedy" "$generate" --model "$tale" --prompt hello --max-tokens 6 --temperature 1 --min-p 1 --ignore-eos
    for o in "--temperature nan" "--temperature inf" "--temperature=-1" "--top-p 0" "--top-p 1.5" "--top-p nan" "--min-p 2" "--min-p=-1" "--repetition-penalty 0" "--repetition-penalty=-1" "--repetition-penalty nan" "--presence-penalty nan" "--frequency-penalty inf" "--n 0" "--n=-1" "--max-tokens=-1" "--seed x" "--logprobs=-1" "--seed 18446744073709551616" "--max-num-seqs 0" "--max-num-batched-tokens 0" "--timeout 0" "--timeout=-1" "--timeout nan"; do
        wants "sampling: $o is wrong usage" 64 "$generate" --model "$tale" --prompt hello $o
    done
    wants "sampling: max-tokens 0" "0|64" "$generate" --model "$tale" --prompt hello --max-tokens 0
    wants "sampling: max-tokens 2^62" "0|64|65" "$generate" --model "$tale" --prompt hello --max-tokens 4611686018427387904 --max-model-len 32
    wants "sampling: max-tokens 2^63" "64" "$generate" --model "$tale" --prompt hello --max-tokens 9223372036854775808
    wants "sampling: logprobs beyond the vocabulary" "0|64|65" "$generate" --model "$tale" --prompt hello --max-tokens 1 --logprobs 100000 --format json
    wants "sampling: --n 2^62" "64|65" "$generate" --model "$tale" --prompt hello --max-tokens 1 --n 4611686018427387904
    for s in 0 1 4294967296 18446744073709551615; do
        run "$generate" --model "$tale" --prompt hello --max-tokens 8 --temperature 1 --seed $s --log-level error; a=$(cat "$out"); run "$local_sh" 2 "$generate" --model "$tale" --prompt hello --max-tokens 8 --temperature 1 --seed $s --log-level error
        same "sampling: seed $s draws the same on two ranks" "$(cat "$out")" "$a"
    done
    run "$generate" --model "$tale" --prompt hello --max-tokens 8 --temperature 1 --seed 5 --n 4 --format json; [ "$(outputs text | tr -d "[]'")" ] && python3 -c "import json; o = json.load(open('$out'))['outputs']; assert len(o) == 4 and len({x['text'] for x in o}) > 1" 2>/dev/null && ok "sampling: --n 4 draws several texts" || fault "sampling: --n 4 draws several texts" "$(head -c 100 "$out")"
fi

if group stop; then
    full=$($t --prompt "Once upon a time" --max-tokens 40 --log-level error 2>/dev/null)
    new=${full#"Once upon a time"} # The printed text begins with the prompt, which is not searched for stops.
    for s in "${new:3:1}" "${new:5:4}" "${new:0:1}" "${new:2:15}" "${new: -3}" upon; do
        [ -n "$s" ] || continue
        want="Once upon a time${new%%"$s"*}"
        run $t --prompt "Once upon a time" --max-tokens 40 --stop "$s" --log-level error; same "stop: '$s' cuts the text before it" "$(cat "$out")" "$want"
        run "$local_sh" 2 $t --prompt "Once upon a time" --max-tokens 40 --stop "$s" --stop nonesuch --log-level error; same "stop: '$s', two ranks and two stops" "$(cat "$out")" "$want"
    done
    run $t --prompt "Once upon a time" --max-tokens 40 --stop nonesuchtext --log-level error; same "stop: a text that never comes" "$(cat "$out")" "$full"
    wants "stop: empty" "0|64" $t --prompt x --max-tokens 3 --stop ""
    wants "stop: 100 kB" "0|64" $t --prompt x --max-tokens 3 --stop "$(printf 'x%.0s' $(seq 100000))"
fi

if group prompt; then
    hello_answer "prompt: from a file without a newline" bash -c 'printf hello >"$0"; exec "$@" --prompt-file "$0"' "$tmp/p" $t --max-tokens 6
    hello_answer "prompt: from standard input" bash -c 'printf hello | "$@" --prompt-file -' - $t --max-tokens 6
    hello_answer "prompt: from standard input, two ranks" bash -c 'printf hello | "$@" --prompt-file -' - "$local_sh" 2 $t --max-tokens 6
    wants "prompt: a NUL in a file" "0|65" bash -c 'printf "a\0b" | "$@" --prompt-file -' - $t --max-tokens 3
    wants "prompt: a byte order mark" 0 -o . bash -c 'printf "\xef\xbb\xbfhello" | "$@" --prompt-file -' - $t --max-tokens 3
    wants "prompt: CRLF" 0 -o . bash -c 'printf "a\r\nb\r\n" | "$@" --prompt-file -' - $t --max-tokens 3
    wants "prompt: empty text" "0|64|65" $t --prompt "" --max-tokens 3
    wants "prompt: only spaces" 0 -o . $t --prompt "   " --max-tokens 3
    wants "prompt: an emoji" 0 -o . $t --prompt "😀👨‍👩‍👧" --max-tokens 3
    wants "prompt: right to left" 0 -o . $t --prompt "שלום عليكم" --max-tokens 3
    wants "prompt: a million letters a" 65 -e 'tokens long|room' bash -c 'head -c 1000000 /dev/zero | tr "\0" a | "$@" --prompt-file -' - $t --max-tokens 3
    wants "prompt: two sources" 64 $t --prompt a --prompt-token-ids 5
    wants "prompt: none" 64 $t
    for i in "5,,6" "5, 6" " 5,6" "5,6," "5;6" "" "x" "-1" "5.0" "1e2" "[5,6]" "0x5" "٣"; do run $t --max-tokens 2 --prompt-token-ids="$i"; [ "$status" -eq 0 ] || [ "$status" -eq 64 ] || [ "$status" -eq 65 ] && [ "$(failure_lines | wc -l)" -le 1 ] && ok "prompt: ids '$i': $status" || fault "prompt: ids '$i'" "wanted 0, 64 or 65"; done
    wants "prompt: exactly the limit is too long" 65 $t --prompt-token-ids $(seq -s, 3 2050) --max-tokens 1
    wants "prompt: one below the limit" 0 -o . $t --prompt-token-ids $(seq -s, 3 2049) --max-tokens 5
    printf '"hello"\n\n"there"\n' >"$tmp/b"; wants "prompt: an empty line in a batch" "0|65" $t --prompts "$tmp/b" --max-tokens 2
    printf '"hello"\r\n"there"\r\n' >"$tmp/b"; wants "prompt: a batch with CRLF" 0 -o token_ids $t --prompts "$tmp/b" --max-tokens 2; same "prompt: two lines, two answers" "$(wc -l <"$out" | tr -d ' ')" 2
    printf '\xef\xbb\xbf"hello"\n' >"$tmp/b"; wants "prompt: a batch with a byte order mark" "0|65" $t --prompts "$tmp/b" --max-tokens 2
    printf '"hello"\n"x"' >"$tmp/b"; wants "prompt: no newline at the end" 0 -o token_ids $t --prompts "$tmp/b" --max-tokens 2
    printf '{"prompt": "hello", "id": 7, "max_tokens": 3}\n' >"$tmp/b"; wants "prompt: keys that nobody reads" "0|65" $t --prompts "$tmp/b" --max-tokens 2
    printf '"a\\u0000b"\n"\\ud83d\\ude00"\n"tab\\t"\n' >"$tmp/b"; wants "prompt: escapes in a batch" 0 -o token_ids $t --prompts "$tmp/b" --max-tokens 2
    printf '"\\ud83d"\n' >"$tmp/b"; wants "prompt: half an emoji in a batch" "0|65" $t --prompts "$tmp/b" --max-tokens 2
    : >"$tmp/b"; wants "prompt: an empty batch" "0|65" $t --prompts "$tmp/b" --max-tokens 2
    python3 -c "
for i in range(300): print('\"word %d\"' % i)" >"$tmp/b"; wants "prompt: 300 lines" 0 $t --prompts "$tmp/b" --max-tokens 2; same "prompt: 300 answers in order" "$(wc -l <"$out" | tr -d ' ')" 300
    run $t --prompts "$tmp/b" --max-tokens 2; a=$(python3 -c "
import json; print([json.loads(l)['outputs'][0]['token_ids'] for l in open('$out')][7])"); run $t --prompt "word 7" --max-tokens 2 --format json; same "prompt: the eighth line as alone" "$a" "$(outputs | sed 's/^\[//;s/\]$//')"
fi

if group interactive; then
    wants "interactive: end of input at once" 0 bash -c '"$@" --interactive </dev/null' - $t --max-tokens 2
    wants "interactive: no newline at the end" 0 -o . bash -c 'printf hello | "$@" --interactive' - $t --max-tokens 2
    wants "interactive: CRLF" 0 -o . bash -c 'printf "hello\r\nthere\r\n" | "$@" --interactive' - $t --max-tokens 2
    wants "interactive: empty lines between" 0 -o . bash -c 'printf "\n\nhello\n\n\nthere\n\n" | "$@" --interactive' - $t --max-tokens 2
    wants "interactive: two ranks" 0 -o . bash -c 'printf "hello\nthere\n" | "$@" --interactive' - "$local_sh" 2 $t --max-tokens 2
    wants "interactive: with a prompt too" "0|64" bash -c 'printf "hello\n" | "$@" --interactive --prompt x' - $t --max-tokens 2
    wants "interactive: JSON" "0|64" bash -c 'printf "hello\n" | "$@" --interactive --format json' - $t --max-tokens 2
    wants "interactive: 60 lines" "0|65" bash -c 'for i in $(seq 60); do echo "line $i of the talk"; done | "$@" --interactive' - $t --max-tokens 4
    wants "interactive: a NUL" "0|65" bash -c 'printf "a\0b\n" | "$@" --interactive' - $t --max-tokens 2
fi

if group tokenizer; then
    tk="$tokenize --model $tale"
    for s in "hello" " hello" "hello  world" "é" "e\u0301" "😀" "👨‍👩‍👧‍👦" "日本語テキスト" $'a\tb\nc' "<|end_of_text|>" "$(printf 'x%.0s' $(seq 500))" "ﬁ ½ Ⅳ" $'\u200b' "don't it's" "1234567890" "  " $'\r\n'; do
        s=$(printf '%b' "$s"; echo .); s=${s%.}
        i=$($tk --text "$s" --format json 2>/dev/null | python3 -c "import json, sys; j = json.load(sys.stdin); print(','.join(map(str, j['ids'])))" 2>/dev/null)
        status=0; : >"$err"; [ -n "$i" ] || { fault "tokenizer: '$s'" "no ids"; continue; }
        case $s in *"<|"*) continue ;; esac
        d=$($tk --decode "$i" 2>"$err"; echo .); d=${d%.}; same "tokenizer: '$(printf '%q' "${s:0:20}")' and back" "${d%$'\n'}" "$s"
    done
    wants "tokenizer: empty text" 0 $tk --text ""
    wants "tokenizer: --decode of nothing" "0|64" $tk --decode ""
    i=$($tk --text "a 😀 b" --format json 2>/dev/null | python3 -c "import json, sys; print(','.join(map(str, json.load(sys.stdin)['ids'])))"); run $tk --decode "$i" --stream
    python3 - "$out" <<'P' && ok "tokenizer: --stream never shows half a letter" || fault "tokenizer: --stream never shows half a letter" "$(head -c 100 "$out")"
import json, sys
pieces = [json.loads(l) for l in open(sys.argv[1], encoding="utf-8") if l.strip()]
flat = "".join("".join(p) if isinstance(p, list) else p for p in pieces)
assert "\ufffd" not in flat and flat == "a 😀 b", flat
P
    fresh tale; rm "$tmp/m/tokenizer_config.json"; hello_answer "tokenizer: no tokenizer_config.json" "$generate" --model "$tmp/m" --prompt hello --max-tokens 6 --temperature 0 --ignore-eos
    fresh tale; : >"$tmp/m/tokenizer_config.json"; wants "tokenizer: an empty tokenizer_config.json" "0|65" "$generate" --model "$tmp/m" --prompt hello --max-tokens 2
    fresh tale; rm "$tmp/m/tokenizer.json"; wants "tokenizer: missing" 66 -e tokenizer.json "$generate" --model "$tmp/m" --prompt hello --max-tokens 2
    fresh tale; (printf '\xef\xbb\xbf'; cat "$tale/tokenizer.json") >"$tmp/m/tokenizer.json"; run "$tokenize" --model "$tmp/m" --text hello; [ "$status" -eq 0 ] || [ "$status" -eq 65 ] && ok "tokenizer: a byte order mark: $status" || fault "tokenizer: a byte order mark" "."
    fresh tale; setjson tokenizer.json "c['truncation'] = {'max_length': 2, 'strategy': 'LongestFirst', 'stride': 0, 'direction': 'Right'}"; wants "tokenizer: truncation is not for prompts" "0|65" "$tokenize" --model "$tmp/m" --text "hello there my friend"
    fresh tale; setjson tokenizer.json "c['model']['merges'] = [m.split(' ') if isinstance(m, str) else ' '.join(m) for m in c['model']['merges']]"; hello_answer "tokenizer: merges written the other way" "$generate" --model "$tmp/m" --prompt hello --max-tokens 6 --temperature 0 --ignore-eos
    fresh tale; setjson tokenizer.json "c['model'].pop('type')"; wants "tokenizer: no type of the model" "0|65" "$tokenize" --model "$tmp/m" --text hello
    wants "tokenizer: the file itself as the model" 0 -o . "$tokenize" --model "$tale/tokenizer.json" --text hello
fi

if group output; then
    fresh llama-mha; json "c.update(num_attention_heads=2, num_key_value_heads=2, head_dim=32)"; mv "$tmp/m/config.json" "$tmp/two-heads.json"
    wants "output: two ranks print once" 0 "$local_sh" 2 $t --prompt hello --max-tokens 6; same "output: as one rank prints" "$(cat "$out")" "$hello"
    for n in 1 2 3 4; do run "$local_sh" $n $t --prompt hello --max-tokens 6 --format json; [ "$status" -eq 0 ] && python3 -c "import json; json.load(open('$out'))" 2>/dev/null && ok "output: one JSON object on $n ranks" || fault "output: one JSON object on $n ranks" "$(head -c 100 "$out")"; done
    run bash -c '"$@" | head -c 1 >/dev/null; exit ${PIPESTATUS[0]}' - "$generate" --model "$tale" --prompt hello --max-tokens 1500 --ignore-eos; [ "$status" -ne 0 ] && [ "$(failure_lines | wc -l)" -le 1 ] && ok "output: a reader that leaves: $status" || fault "output: a reader that leaves" "."
    run bash -c 'sleep 0.2 | "$@"' - $t --prompt hello --max-tokens 6; same "output: standard input is not read" "$(cat "$out")" "$hello"
    run setsid "$local_sh" 2 $t --prompt hello --max-tokens 6; same "output: without a terminal or session" "$(cat "$out")" "$hello"
    run env -i PATH="$PATH" $t --prompt hello --max-tokens 6; same "output: without an environment" "$(cat "$out")" "$hello"
    run env OMP_NUM_THREADS=64 OMPI_COMM_WORLD_RANK=0 $t --prompt hello --max-tokens 6; [ "$status" -eq 0 ] && ok "output: OMP_NUM_THREADS=64" || fault "output: OMP_NUM_THREADS=64" "."
    run bash -c '"$@" <&-' - "$local_sh" 2 $t --prompt hello --max-tokens 6; same "output: two ranks, standard input closed" "$(cat "$out")" "$hello"
    run bash -c '"$@" 2>&-' - $t --prompt hello --max-tokens 6; same "output: standard error closed" "$(cat "$out")" "$hello"
    run bash -c '"$@" 2>&-' - "$local_sh" 2 $t --prompt hello --max-tokens 6; same "output: standard error closed, two ranks" "$(cat "$out")" "$hello"
    for o in "" 0 -1 x 1.5; do wants "output: local.sh '$o' ranks" "64|65|1" timeout -s KILL 15 "$local_sh" "$o" "$generate" --version; done
    wants "output: local.sh, a program that is not there" "1|64|66|126|127" -e nosuch "$local_sh" 2 "$tmp/nosuch"
    wants "output: -tp beyond the heads" 65 -e head "$local_sh" 3 "$generate" --model "synthetic:$tmp/two-heads.json" $ids -tp 3
    wants "output: -pp beyond the layers" 65 -e layer "$local_sh" 4 "$generate" --model "$golden/llama-mha" $ids -pp 4
    wants "output: -tp 0" 64 "$generate" --model "$golden/llama-mha" $ids -tp 0
    right_answer "output: -tp 1 -pp 3" "$local_sh" 3 "$generate" --model "$golden/llama-mha" $ids -tp 1 -pp 3
    wants "output: a topology for more ranks" 65 -e rank "$generate" --model "$golden/llama-mha" $ids --topology "$root/Topologies/tp4.json"
    wants "output: a topology and -tp" "64|65|0" "$generate" --model "$golden/llama-mha" $ids --topology "$root/Topologies/single.json" -tp 1
fi

if group sizing; then
    s="$sizing plan --memory 64GiB"
    wants "sizing: a catalogue name" 0 -o . $s --model llama2-7b
    wants "sizing: another case" "0|66" $s --model Llama2-7B
    wants "sizing: an unknown name" "64|65|66" -e nonesuch $s --model nonesuch
    for m in 0 -1 64 64G 64g 64GB 64gib "64 GiB" 1e3GiB 1.5TiB 16EiB 99999999TiB x ''; do run "$sizing" plan --model llama2-7b --memory="$m"; [ "$status" -eq 0 ] || [ "$status" -eq 64 ] || [ "$status" -eq 65 ] && ok "sizing: --memory '$m': $status" || fault "sizing: --memory '$m'" "."; done
    for u in 0 1 1.1 -0.5 nan 0.9 90%; do run $s --model llama2-7b --utilization=$u; [ "$status" -eq 0 ] || [ "$status" -eq 64 ] || [ "$status" -eq 65 ] && ok "sizing: --utilization $u: $status" || fault "sizing: --utilization $u" "."; done
    for l in 0 1 16K 16k 1M auto 10000000 -5 1e3 9223372036854775807; do run $s --model llama2-7b --max-model-len=$l --format json; [ "$status" -eq 0 ] || [ "$status" -eq 64 ] || [ "$status" -eq 65 ] && ok "sizing: --max-model-len $l: $status" || fault "sizing: --max-model-len $l" "."; done
    for b in 0 1 100000 9223372036854775807; do run $s --model llama2-7b --batch=$b; [ "$status" -eq 0 ] || [ "$status" -eq 64 ] || [ "$status" -eq 65 ] && ok "sizing: --batch $b: $status" || fault "sizing: --batch $b" "."; done
    fresh llama-mha; rm "$tmp/m/model.safetensors"; wants "sizing: a folder with config.json only" 0 -o . $s --model "$tmp/m"; wants "sizing: config.json itself" 0 -o . $s --model "$tmp/m/config.json"
    json "c['num_hidden_layers'] = 1000000"; LIMIT=10 wants "sizing: a million layers" "0|65" $s --model "$tmp/m"
    wants "sizing: verify with the files exchanged" 65 bash -c '"$0" plan --model llama2-7b --memory 64GiB --format json >"$1/p"; exec "$0" verify --plan "$1/p" --measured "$1/p"' "$sizing" "$tmp"
    wants "sizing: verify of files that are not there" 66 "$sizing" verify --plan "$tmp/no1" --measured "$tmp/no2"
fi
summary
