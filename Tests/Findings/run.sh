#!/bin/bash
# run.sh [ITEM...]: checks the programs for every fault that was once found by trying them. It prints a line for each check,
# `ok NN what` or `FAULT NN what`, and ends with status 1 if there is a fault. Without ITEM it checks all 34. PROGRAMS is the folder
# of the programs (.build/release). SLOW=1 repeats checks of faults that appear only by chance. The script makes its inputs in a
# temporary folder, ends only processes that it started, and needs neither the network nor files from elsewhere.
set -u
. "$(dirname "$0")/checks.sh"
ids="--prompt-token-ids 5,6,7,9,11,200 --temperature 0 --ignore-eos"
quiet="--log-level error"
long_text=$tmp/long; for i in $(seq 120); do printf 'Once upon a time there was a king. '; done >"$long_text"
text=$tmp/text; for i in $(seq 100); do echo "The king had three daughters, and the youngest was so beautiful that the sun itself wondered."; done >"$text"
can_mount() { unshare -m true 2>/dev/null; }
digest() { "$generate" "$@" $ids --max-tokens 3 --format json --logits-digest $quiet >"$out" 2>"$err" </dev/null; status=$?; echo $status >"$tmp/status"; [ $status -eq 0 ] && outputs logits_digests; }
ended_by_us() { # what, statuses: checks that a job ended in time, with such a status and one line, and left no process
    local what=$1 statuses=$2 most=$3
    case "|$statuses|" in *"|$status|"*) ;; *) fault "$what" "wanted status $statuses after $seconds s"; return ;; esac
    [ "$seconds" -le "$most" ] || { fault "$what" "ended after $seconds s, wanted $most"; return; }
    [ -z "$orphans" ] || { fault "$what" "still running:$orphans"; return; }
    [ -n "$(failure_lines)" ] || { fault "$what" "not one line"; return; }
    failure_lines | grep -qa 'CancellationError\|Stack dump\|Backtrace\|Crash' && { fault "$what" "no line for people"; return; }
    ok "$what"
}

item_1() {
    local delay rank program pid arguments
    for program in generate evaluate "bench" all_reduce_bench; do
        case $program in
        generate) arguments="--model $tale --prompt Once --max-tokens 1000 --ignore-eos" ;;
        evaluate) arguments="perplexity --model $tale --text $text" ;;
        bench) arguments="run --model $tale" ;;
        *) arguments="--stress 100000000" ;;
        esac
        for rank in 1 0; do
            for delay in 0.02 0.1 ${SLOW:+0.2 0.3 0.45}; do
                [ "$program" = generate ] || [ "$delay" = 0.1 ] || continue
                LIMIT=30 start mpirun "${mpirun_flags[@]}" -n 2 "$programs/$program" $arguments --timeout 3
                pid=$(rank_pid $job $rank) || { finish; fault "01 $program: rank $rank" "was not seen"; continue; }
                sleep $delay; kill -STOP $pid 2>/dev/null; left=$(descendants $job)
                finish; ended_by_us "01 $program, rank $rank stopped $delay s after its start" "75|137" 12
            done
        done
    done
    LIMIT=30 start "$local_sh" 2 "$generate" --model "$tale" --prompt Once --max-tokens 1000 --ignore-eos --timeout 3
    pid=$(rank_pid $job 1); sleep 0.1; kill -STOP $pid; left=$(descendants $job); finish
    ended_by_us "01 local.sh, rank 1 stopped in MPI_Init" "75|137" 12
    failure_lines | grep -qaiE 'rank 1|rank 0' && ok "01 the line names a rank" || fault "01 the line names a rank" "it does not"
    # Started by our launcher, because Open MPI's mpirun itself hangs with so few files.
    (ulimit -n 30; LIMIT=25 run "$local_sh" 2 "$generate" --model "$tale" --prompt x --max-tokens 2 --timeout 3; echo $status >"$tmp/s")
    status=$(cat "$tmp/s"); [ "$status" -ne 137 ] && [ -s "$err" ] && ok "01 ulimit -n 30 ends" || fault "01 ulimit -n 30 ends" "it hangs or says nothing"
    if can_mount; then
        LIMIT=25 run unshare -m bash -c 'mount -t tmpfs -o size=4k tmpfs /dev/shm && mkdir -p "$0/full" && mount -t tmpfs -o size=256k tmpfs "$0/full" &&
            export TMPDIR=$0/full && (mpirun '"${mpirun_flags[*]}"' -n 1 true; head -c 1m /dev/zero >"$0/full/x") 2>/dev/null; "$@"' \
            "$tmp" mpirun "${mpirun_flags[@]}" -n 2 "$generate" --model "$tale" --prompt x --max-tokens 2 --timeout 3
        [ "$status" -ne 137 ] && ok "01 /dev/shm of 4 KiB and a full TMPDIR end" || fault "01 /dev/shm of 4 KiB and a full TMPDIR end" "it hangs"
    else skip "01 a small /dev/shm: cannot mount"; fi
}

item_2() {
    local signal delay pid
    for signal in KILL TERM; do
        for delay in 0 0.03 0.08 0.15 0.25 ${SLOW:+0.05 0.1 0.2 0.35 0.45}; do
            LIMIT=30 start "$local_sh" 2 "$generate" --model "$tale" --prompt Once --max-tokens 1500 --ignore-eos --timeout 5
            pid=$(rank_pid $job 1); sleep $delay; kill -$signal $pid 2>/dev/null; left=$(descendants $job); finish
            ended_by_us "02 rank 1 ended by $signal $delay s after its start" "75|130|137|143|1" 12
        done
    done
}

item_3() {
    local signal script program hosts
    echo "localhost slots=2" >"$tmp/hosts"
    for script in local.sh hosts.sh; do
        for signal in TERM HUP INT QUIT; do
            [ $script = local.sh ] && program="$local_sh 2" || program="$root/Launch/hosts.sh $tmp/hosts"
            # A background job of a shell without job control ignores INT and QUIT, so Python restores the defaults.
            LIMIT=40 start python3 -c 'import os, signal, sys
for s in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM): signal.signal(s, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' $program "$generate" --model "$tale" --prompt Once --max-tokens 1900 --ignore-eos
            script_pid=; for i in $(seq 200); do script_pid=$(pgrep -P "$job" -f "$script" | head -1); [ -n "$script_pid" ] && break; sleep 0.02; done
            rank_pid "$job" 1 >/dev/null; sleep 0.3; left=$(descendants $job); kill -$signal $script_pid; finish
            if [ "$status" -eq 0 ]; then fault "03 $script, $signal" "status 0 after an interruption"
            elif [ -n "$orphans" ]; then fault "03 $script, $signal" "still running:$orphans"
            elif [ "$seconds" -gt 8 ]; then fault "03 $script, $signal" "took $seconds s"
            else ok "03 $script, $signal"; fi
        done
    done
}

item_4() {
    local signal pid launcher rank
    for signal in TERM INT; do
        for launcher in local direct; do for rank in 0 1 2; do
            if [ $launcher = local ]; then start "$local_sh" 3 "$generate" --model "$tale" --prompt Once --max-tokens 1900 --ignore-eos
            else start mpirun "${mpirun_flags[@]}" -n 3 "$generate" --model "$tale" --prompt Once --max-tokens 1900 --ignore-eos; fi
            pid=$(rank_pid $job $rank); for i in $(seq 100); do grep -q 'loaded in' "$err" && break; sleep 0.05; done
            left=$(descendants $job); kill -$signal $pid 2>/dev/null; finish
            ended_by_us "04 $launcher, $signal to rank $rank" "75|130|143" 8
        done; done
    done
}

item_5() {
    local signal n
    fresh llama-mha; rm "$tmp/m/model.safetensors"
    json 'c.update(hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=16, num_key_value_heads=16, head_dim=128, vocab_size=32000)'
    for n in 1 2; do for signal in INT TERM; do
        LIMIT=40 start python3 -c 'import os, signal, sys
for s in (signal.SIGINT, signal.SIGTERM): signal.signal(s, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' $([ $n -eq 1 ] || echo mpirun "${mpirun_flags[@]}" -n $n) "$generate" --model "synthetic:$tmp/m/config.json" --prompt-token-ids 5 --max-tokens 2
        if [ $n -eq 1 ]; then pid=; for i in $(seq 100); do pid=$(descendants $job | head -1); [ -n "$pid" ] && break; sleep 0.02; done; else pid=$(rank_pid $job 0); fi
        for i in $(seq 500); do [ "$(awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$pid/status" 2>/dev/null || echo 0)" -gt 150 ] 2>/dev/null && break; sleep 0.02; done # It is loading now.
        left=$(descendants $job); kill -$signal $pid; finish
        if [ "$status" -eq 0 ]; then fault "05 $signal while loading, $n ranks" "it went on"
        elif grep -q CancellationError "$err"; then fault "05 $signal while loading, $n ranks" "CancellationError"
        elif [ "$n" -eq 1 ] && [ "$status" -ne 130 ] && [ "$status" -ne 143 ]; then fault "05 $signal while loading, $n ranks" "wanted 130 (or 143)"
        elif ! failure_lines | grep -qai 'interrupt'; then fault "05 $signal while loading, $n ranks" "no line says interrupted"
        else ok "05 $signal while loading, $n ranks"; fi
    done; done
}

item_6() {
    local signal pid want
    for signal in ILL TRAP SEGV BUS FPE ABRT QUIT; do
        start "$generate" --model "$tale" --prompt Once --max-tokens 1900 --ignore-eos
        for i in $(seq 100); do grep -q 'loaded in' "$err" && break; sleep 0.05; done
        pid=$(descendants $job | head -1); left=$pid; kill -$signal $pid; finish
        if [ $signal = QUIT ]; then [ "$status" -eq 131 ] || [ "$status" -eq 130 ] && ok "06 QUIT ends the program" || fault "06 QUIT ends the program" "wanted 131"; continue; fi
        if [ "$status" -ne 70 ] && ! { [ $signal = BUS ] && [ "$status" -eq 65 ]; }; then fault "06 $signal from outside" "wanted 70"
        elif [ "$(failure_lines | grep -c .)" -ne 1 ]; then fault "06 $signal from outside" "$(failure_lines | grep -c .) lines"
        else ok "06 $signal from outside: one line, $status"; fi
        start "$local_sh" 2 "$generate" --model "$tale" --prompt Once --max-tokens 1900 --ignore-eos
        pid=$(rank_pid $job 1); for i in $(seq 100); do grep -q 'loaded in' "$err" && break; sleep 0.05; done
        left=$(descendants $job); kill -$signal $pid 2>/dev/null; finish
        if [ "$status" -eq 0 ] || [ "$seconds" -gt 8 ]; then fault "06 $signal to rank 1 of 2" "status $status after $seconds s"
        elif [ "$(failure_lines | grep -c .)" -gt 3 ]; then fault "06 $signal to rank 1 of 2" "$(failure_lines | grep -c .) lines"
        elif ! failure_lines | grep -qa 'rank 1'; then fault "06 $signal to rank 1 of 2" "no line names rank 1"
        else ok "06 $signal to rank 1 of 2"; fi
    done
}

item_7() {
    local how whole n
    whole=$("$generate" --model "$tale" --prompt Once --max-tokens 1500 --ignore-eos --temperature 0 $quiet 2>/dev/null | md5sum)
    for n in 1 2; do for how in truncated overwritten; do
        fresh tale
        LIMIT=60 start $([ $n -eq 1 ] || echo "$local_sh" $n) "$generate" --model "$tmp/m" --prompt Once --max-tokens 1500 --ignore-eos --threads 1 --temperature 0 --timeout 5
        for i in $(seq 200); do grep -q 'loaded in' "$err" && break; sleep 0.02; done; sleep 0.1
        if [ $how = truncated ]; then truncate -s 100000 "$tmp/m/model.safetensors"
        else head -c 25000000 /dev/urandom | dd of="$tmp/m/model.safetensors" conv=notrunc bs=1M status=none; fi
        left=$(descendants $job); finish
        if [ "$status" -eq 0 ]; then same "07 $how while it runs on $n: the same answer" "$(md5sum <"$out")" "$whole"
        elif [ "$status" -ne 65 ] && [ "$n" -eq 1 ]; then fault "07 $how while it runs on $n" "wanted 65 or the right answer"
        elif ! grep -q model.safetensors "$err"; then fault "07 $how while it runs on $n" "the line does not name the file"
        elif [ "$(failure_lines | grep -c .)" -gt 2 ]; then fault "07 $how while it runs on $n" "$(failure_lines | grep -c .) lines"
        else ok "07 $how while it runs on $n: $status"; fi
    done; done
}

item_8() {
    local n launcher
    for n in 1 2; do
        launcher=$([ $n -eq 1 ] || echo "$local_sh $n")
        rm -f "$tmp/o"
        wants "08 generate --output, $n ranks" 0 $launcher "$generate" --model "$tale" --prompt Once --max-tokens 3 --temperature 0 --output "$tmp/o"
        [ -s "$tmp/o" ] && ok "08 generate's file, $n ranks" || fault "08 generate's file, $n ranks" "is empty"
        [ ! -s "$out" ] && ok "08 nothing on standard output, $n ranks" || fault "08 nothing on standard output, $n ranks" "$(head -c 50 "$out")"
        rm -f "$tmp/o"
        wants "08 evaluate --output, $n ranks" 0 $launcher "$evaluate" perplexity --model "$tale" --text "$text" --window 32 --limit 1 --format json --output "$tmp/o"
        python3 -m json.tool "$tmp/o" >/dev/null 2>&1 && ok "08 evaluate's file, $n ranks" || fault "08 evaluate's file, $n ranks" "is no JSON"
        rm -f "$tmp/o"
        wants "08 all_reduce_bench --output, $n ranks" 0 $launcher "$all_reduce_bench" -b 8 -e 16 --format json --output "$tmp/o"
        python3 -m json.tool "$tmp/o" >/dev/null 2>&1 && ok "08 all_reduce_bench's file, $n ranks" || fault "08 all_reduce_bench's file, $n ranks" "is no JSON"
        rm -f "$tmp/o"
        wants "08 a malformed model writes no file, $n ranks" "64|65|66" $launcher "$generate" --model "$golden/llama-mha" --prompt x --output "$tmp/o"
        [ ! -e "$tmp/o" ] && ok "08 no file after a failure, $n ranks" || fault "08 no file after a failure, $n ranks" "there is one"
        wants "08 --output in a folder that is not there, $n ranks" "64|65|66" -e 'nosuch' $launcher "$generate" --model "$tale" --prompt Once --max-tokens 3 --output "$tmp/nosuch/o"
        wants "08 --output is a folder, $n ranks" "64|65|66" $launcher "$generate" --model "$tale" --prompt Once --max-tokens 3 --output "$tmp"
    done
    run bash -c '"$@" >/dev/full' - "$generate" --model "$tale" --prompt Once --max-tokens 3
    [ "$status" -ne 0 ] && [ "$status" -lt 128 ] && ok "08 one rank, full disk: $status" || fault "08 one rank, full disk" "status $status"
    run bash -c '"$@" >&-' - "$generate" --model "$tale" --prompt Once --max-tokens 3
    [ "$status" -ne 0 ] && [ "$status" -lt 128 ] && ok "08 one rank, closed output: $status" || fault "08 one rank, closed output" "status $status"
    run bash -c '"$@" >&-' - "$local_sh" 2 "$generate" --model "$tale" --prompt Once --max-tokens 3
    [ "$status" -ne 0 ] && ok "08 two ranks, closed output: $status" || fault "08 two ranks, closed output (local.sh can see it)" "status 0"
    grep -q -- '--output' "$root/README.md" && ok "08 the README says when to use --output" || fault "08 the README says when to use --output" "no word"
}

item_9() {
    local i
    fresh llama-mha; truncate -s 100000 "$tmp/m/model.safetensors"
    for i in $(seq ${SLOW:+500} ${SLOW:-20}); do
        run "$local_sh" 2 "$generate" --model "$tmp/m" --prompt-token-ids 5 --max-tokens 1
        [ "$status" -eq 65 ] || { fault "09 a malformed checkpoint on two ranks, run $i" "wanted 65"; return; }
        [ "$(failure_lines | grep -c .)" -eq 1 ] || { fault "09 a malformed checkpoint on two ranks, run $i" "$(failure_lines | grep -c .) lines"; return; }
    done
    ok "09 a malformed checkpoint on two ranks, every time 65 and one line"
}

item_10() {
    local n launcher length
    for n in 1 2; do
        launcher=$([ $n -eq 1 ] || echo "$local_sh $n")
        for length in 1 2 16 256 511; do
            wants "10 evaluate --max-model-len $length below the window, $n ranks" "64|65" $launcher "$evaluate" perplexity --model "$tale" --text "$text" --limit 1 --max-model-len $length
        done
        wants "10 evaluate, window beyond the model, $n ranks" "64|65" $launcher "$evaluate" perplexity --model "$tale" --text "$text" --window 2049 --limit 1
    done
    wants "10 --window 1" "64|65" "$evaluate" perplexity --model "$tale" --text "$text" --window 1 --limit 1
    wants "10 --window 0" "64" "$evaluate" perplexity --model "$tale" --text "$text" --window 0 --limit 1
    wants "10 --limit 0" "64" "$evaluate" perplexity --model "$tale" --text "$text" --window 32 --limit 0
    wants "10 --window 2" 0 -o perplexity "$evaluate" perplexity --model "$tale" --text "$text" --window 2 --limit 2
    wants "10 memory for less than a window" "64|65" "$evaluate" perplexity --model "$tale" --text "$long_text" --window 2048 --limit 1 --memory 82MiB
    echo hello >"$tmp/short"; wants "10 a text shorter than a window" 65 "$evaluate" perplexity --model "$tale" --text "$tmp/short"
    : >"$tmp/empty"; wants "10 an empty text" 65 "$evaluate" perplexity --model "$tale" --text "$tmp/empty"
}

item_11() {
    local id n
    for id in 8192 9999999 -5 2147483648 1e30 '"x"' 1.5; do
        fresh tale; json "c['bos_token_id'] = json.loads('''$id''')"
        setjson tokenizer_config.json "c.pop('bos_token', None)"
        setjson generation_config.json "c.pop('bos_token_id', None)"
        for n in 1 2; do
            wants "11 evaluate, bos_token_id $id, $n ranks" 65 -e bos_token_id $([ $n -eq 1 ] || echo "$local_sh" 2) "$evaluate" perplexity --model "$tmp/m" --text "$text" --window 64 --limit 1
        done
        wants "11 generate, bos_token_id $id" "0|65"  "$generate" --model "$tmp/m" --prompt x --max-tokens 1
        wants "11 bench, bos_token_id $id" "0|65"  "$bench" run --model "$tmp/m" --prompt-length 4 --new-tokens 2 --rounds 1
    done
    # An end token outside the vocabulary is harmless, and a wrong type must not trap.
    for file in config.json generation_config.json; do for id in 8192 '[1, 99999]' -7 '"x"' '[[1]]' '{}'; do
        fresh tale; setjson $file "c['eos_token_id'] = json.loads('''$id''')"
        wants "11 eos_token_id $id of $file" "0|65"  "$generate" --model "$tmp/m" --prompt x --max-tokens 1
    done; done
    fresh tale; setjson generation_config.json "c['bos_token_id'] = 99999"; wants "11 evaluate, bos_token_id of generation_config.json" "0|65" "$evaluate" perplexity --model "$tmp/m" --text "$text" --window 64 --limit 1
    fresh tale; setjson tokenizer.json "c['added_tokens'][0]['id'] = 8192"
    run "$generate" --model "$tmp/m" --prompt '<|begin_of_text|>x' --max-tokens 1; [ "$status" -eq 65 ] || [ "$status" -eq 0 ] && ok "11 an added token beyond the vocabulary: $status" || fault "11 an added token beyond the vocabulary" "wanted 65, or 0 with the vocabulary's id"
    fresh tale; setjson tokenizer.json "c['model']['vocab'][list(c['model']['vocab'])[300]] = 9000"
    run "$generate" --model "$tmp/m" --prompt 'he' --max-tokens 1; [ "$status" -eq 65 ] || [ "$status" -eq 0 ] && ok "11 a vocabulary id beyond the model: $status" || fault "11 a vocabulary id beyond the model" "wanted 65 or 0"
    wants "11 --prompt-token-ids beyond the vocabulary" "64|65" "$generate" --model "$tale" --prompt-token-ids 8192 --max-tokens 1
    wants "11 --prompt-token-ids beyond the vocabulary, two ranks" "64|65" "$local_sh" 2 "$generate" --model "$tale" --prompt-token-ids 4294967296 --max-tokens 1
    wants "11 tokenize --decode beyond the vocabulary" "64|65" "$tokenize" --model "$tale" --decode 8192
}

item_12() {
    local how option
    for how in '<&-' '</tmp'; do
        for option in "$generate --model $tale --max-tokens 3 --prompt-file -" "$generate --model $tale --max-tokens 3 --prompts -" "$tokenize --model $tale --file -" "$tokenize --model $tale --jsonl -" "$tokenize --model $tale --decode-jsonl -" "$local_sh 2 $generate --model $tale --max-tokens 3 --prompt-file -"; do
            case $option in
            *local.sh*) [ "$how" = '</tmp' ] && continue ;; # mpirun reads it, not the program.
            esac
            wants "12 ${option##*/} $how" "65|66" bash -c "$option $how"
        done
        run bash -c "$generate --model $tale --max-tokens 3 --interactive $how"
        [ "$status" -eq 66 ] || [ "$status" -eq 65 ] || [ "$status" -eq 0 ] && ok "12 --interactive $how: $status" || fault "12 --interactive $how" "wanted 66, or an end as after no line"
    done
}

item_13() {
    python3 - "$golden/llama-mha" "$tale" "$tmp" "$programs" "$here" <<'P' >"$tmp/13"
import json, os, shutil, subprocess, sys
golden, tale, tmp, programs, here = sys.argv[1:]
sys.path.insert(0, here)
import edit
odd = {"line breaks": "x\n\ny", "escapes": "\x1b[2J\x1b]0;t\x07", "100 kB": "n" * 100000, "bidi": "a\u202eb\u2066", "C1": "a\x9b31m\x85b", "separators": "a\u2028b\u2029", "2 MB": "m" * 2_000_000}
def report(what, result):
    e = result.stderr
    lines = [l for l in e.decode("utf-8", "replace").split("\n") if l and " info " not in l and not l.startswith("seed ")]
    bad = []
    if result.returncode not in (0, 64, 65, 66): bad.append(f"status {result.returncode}")
    if result.returncode and len(lines) != 1: bad.append(f"{len(lines)} lines")
    if any(len(l) > 900 for l in lines): bad.append(f"{max(map(len, lines))} characters")
    if any(ord(c) < 32 or 0x7f <= ord(c) < 0xa0 or c in "\u202e\u2066\u2028\u2029" for l in lines for c in l): bad.append("raw controls")
    print(("FAULT " + ", ".join(bad) if bad else "ok") + "\t" + what + "\t" + ascii(lines[0][:120] if lines else ""))
def model(source):
    shutil.rmtree(tmp + "/m", ignore_errors=True); shutil.copytree(source, tmp + "/m"); return tmp + "/m"
def run(what, program="generate", *more):
    args = more or ("--model", tmp + "/m", "--prompt-token-ids", "1", "--max-tokens", "1")
    try: report(what, subprocess.run([f"{programs}/{program}", *args], capture_output=True, timeout=20, stdin=subprocess.DEVNULL))
    except subprocess.TimeoutExpired: print("FAULT no end\t" + what + "\t")
for name, value in odd.items():
    d = model(golden); t, m = edit.read_tensors(d + "/model.safetensors"); t["model.layers.0." + value] = t.pop("model.norm.weight"); edit.write_tensors(d + "/model.safetensors", t, m); run(f"tensor name: {name}")
    d = model(golden); t, m = edit.read_tensors(d + "/model.safetensors"); t["model.norm.weight"][0] = "BF16" + value; edit.write_tensors(d + "/model.safetensors", t, m); run(f"dtype: {name}")
    d = model(golden); t, m = edit.read_tensors(d + "/model.safetensors"); t["rotary." + value] = t["model.norm.weight"]; edit.write_tensors(d + "/model.safetensors", t, m); run(f"unused tensor (a warning): {name}")
    d = model(golden); open(d + "/model.safetensors.index.json", "w").write(json.dumps({"weight_map": {"model.norm.weight": value}})); os.remove(d + "/model.safetensors"); run(f"file of the index: {name}")
    for key in ("model_type", "hidden_act", "dtype", "architectures", "rope_parameters", "quantization_config", "bos_token_id", "hidden_size", value):
        d = model(golden); c = json.load(open(d + "/config.json"))
        c[key] = {"architectures": [value], "rope_parameters": {"rope_type": value, "rope_theta": 1e4}, "quantization_config": {"quant_method": value}}.get(key, value)
        if key in ("architectures",): c.pop("model_type")
        json.dump(c, open(d + "/config.json", "w")); run(f"config.json {key[:20]!a}: {name}")
        run(f"sizing, config.json {key[:20]!a}: {name}", "sizing", "plan", "--model", d, "--memory", "8GiB", "--format", "json")
    for part in ("model", "pre_tokenizer", "normalizer", "decoder", "post_processor"):
        d = model(tale); c = json.load(open(d + "/tokenizer.json")); c[part] = {"type": value}; json.dump(c, open(d + "/tokenizer.json", "w"))
        run(f"tokenizer {part}: {name}", "tokenize", "--model", d, "--text", "x")
    d = model(tale); c = json.load(open(d + "/tokenizer.json")); c["model"]["merges"].insert(0, value); json.dump(c, open(d + "/tokenizer.json", "w")); run(f"merge: {name}", "tokenize", "--model", d, "--text", "x")
    d = model(tale); c = json.load(open(d + "/tokenizer.json")); c["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "(" + value}, "behavior": "Isolated", "invert": False}; json.dump(c, open(d + "/tokenizer.json", "w")); run(f"pattern: {name}", "tokenize", "--model", d, "--text", "x")
    d = model(golden); open(d + "/t.json", "w").write(json.dumps({"tensor_parallel_size": 1, value: 1})); run(f"topology key: {name}", "generate", "--model", d, "--prompt-token-ids", "1", "--max-tokens", "1", "--topology", d + "/t.json")
    open(tmp + "/table.tsv", "w").write("model\tcards_32\tmax_len_k_32\n" + value.replace("\n", " ") + "\t1\t4\n"); run(f"fit, model name: {name}", "sizing", "fit", "--table", tmp + "/table.tsv")
    open(tmp + "/profile.json", "w").write(json.dumps({"name": value})); run(f"profile: {name}", "sizing", "plan", "--model", "llama2-7b", "--memory", "64GiB", "--profile", tmp + "/profile.json")
    if len(value) < 100_001:
        for option in ("--model", "--kernels", "--dtype", "--quantization", "--topology"): run(f"{option}: {name}", "generate", "--model", golden, "--prompt-token-ids", "1", "--max-tokens", "1", option, value)
        run(f"sizing --model: {name}", "sizing", "plan", "--model", value, "--memory", "64GiB"); run(f"unknown option: {name}", "generate", "--" + value)
P
    while IFS=$'\t' read -r verdict what line; do
        case $verdict in ok) ok "13 $what" ;; *) status=-; printf '%s' "$line" >"$err"; fault "13 $what" "${verdict#FAULT }" ;; esac
    done <"$tmp/13"
}

item_14() {
    echo '"hello"' >"$tmp/p.jsonl"; echo hello >"$tmp/p.txt"
    wants "14 --prompt-file <(...)" 0 -o . bash -c '"$0" --model "$1" --max-tokens 3 --prompt-file <(echo hello)' "$generate" "$tale"
    wants "14 --prompts <(...)" 0 -o token_ids bash -c '"$0" --model "$1" --max-tokens 3 --prompts <(echo "\"hello\"")' "$generate" "$tale"
    wants "14 --prompts - " 0 -o token_ids bash -c '"$0" --model "$1" --max-tokens 3 --prompts - <"$2"' "$generate" "$tale" "$tmp/p.jsonl"
    wants "14 --prompt-file <(...), two ranks" 0 -o . bash -c '"$0" 2 "$1" --model "$2" --max-tokens 3 --prompt-file "$3"' "$local_sh" "$generate" "$tale" "$tmp/p.txt"
    wants "14 evaluate --text <(...)" 0 -o perplexity bash -c '"$0" perplexity --model "$1" --window 32 --limit 1 --text <(cat "$2")' "$evaluate" "$tale" "$text"
    wants "14 tokenize --file <(...)" 0 -o . bash -c '"$0" --model "$1" --file <(echo hello)' "$tokenize" "$tale"
    wants "14 tokenize --jsonl <(...)" 0 -o ids bash -c '"$0" --model "$1" --jsonl <(cat "$2")' "$tokenize" "$tale" "$tmp/p.jsonl"
    wants "14 tokenize --decode-jsonl <(...)" 0 -o . bash -c '"$0" --model "$1" --decode-jsonl <(echo "[300]")' "$tokenize" "$tale"
    wants "14 tokenize --file /dev/null" 0 "$tokenize" --model "$tale" --file /dev/null
    wants "14 generate --prompt-file /dev/null" "0|65" -E 'no such file|not readable' "$generate" --model "$tale" --prompt-file /dev/null --max-tokens 1
    wants "14 generate --prompts /dev/null" "0|65" -E 'no such file|not readable' "$generate" --model "$tale" --prompts /dev/null --max-tokens 1
    wants "14 evaluate --text /dev/null" 65 -E 'no such file|not readable' "$evaluate" perplexity --model "$tale" --text /dev/null
    wants "14 --topology <(...)" 0 bash -c '"$0" --model "$1" --max-tokens 1 --prompt x --topology <(echo "{\"tensor_parallel_size\": 1}")' "$generate" "$tale"
    wants "14 sizing --profile /dev/null" 65 -E 'no such file|not readable' "$sizing" plan --model llama2-7b --memory 64GiB --profile /dev/null
    mkfifo "$tmp/fifo"; (cat "$tmp/p.txt" >"$tmp/fifo" &) ; wants "14 a named pipe" 0 -o . "$generate" --model "$tale" --max-tokens 3 --prompt-file "$tmp/fifo"; rm "$tmp/fifo"
}

item_15() {
    local n
    if can_mount; then
        for size in 4k 64k; do
            wants "15 /dev/shm of $size" 0 -e 'warning: /dev/shm .* exchange messages' unshare -m bash -c 'mount -t tmpfs -o size='$size' tmpfs /dev/shm; "$@"' - "$local_sh" 2 "$generate" --model "$tale" --prompt x --max-tokens 3
        done
        mkdir -p "$tmp/fs"
        run unshare -m bash -c 'mount -t tmpfs -o nr_inodes=4,size=64m tmpfs "$0/fs" && "$@"' "$tmp" "$quantize" --model "$golden/llama-mha" --scheme int8 --output "$tmp/fs/q" --group-size 16
        grep -q 'NSCocoa\|NSPOSIX\|Error Domain' "$err" && fault "15 quantize without inodes" "a raw error" || { [ "$status" -ne 0 ] && ok "15 quantize without inodes: $status" || fault "15 quantize without inodes" "status 0"; }
        run unshare -m bash -c 'mount -t tmpfs -o size=128k tmpfs "$0/fs" && "$@"; s=$?; ls "$0/fs" >&2; exit $s' "$tmp" "$quantize" --model "$golden/llama-mha" --scheme int8 --output "$tmp/fs/q" --group-size 16
        [ "$status" -ne 0 ] && ! grep -q 'NSCocoa\|NSPOSIX' "$err" && ok "15 quantize on a full disk: $status" || fault "15 quantize on a full disk" "."
    else skip "15 small /dev/shm, no inodes: cannot mount"; fi
    run bash -c 'ulimit -v 200000; "$@"' - "$generate" --model "$tale" --prompt x --max-tokens 2
    grep -qi 'permission' "$err" && fault "15 ulimit -v" "speaks of permissions" || { [ "$status" -lt 128 ] && [ "$status" -ne 70 ] && ok "15 ulimit -v: $status" || fault "15 ulimit -v" "."; }
    for n in plan verify; do
        for format in $("$sizing" $n --help | tr '\n' ' ' | grep -o 'How the answer is printed.*default\|text or json.*default' | grep -oE 'text|json|markdown|tsv' | sort -u); do
            [ $n = plan ] || continue
            wants "15 sizing plan --format $format, which --help lists" 0 -o . "$sizing" plan --model llama2-7b --memory 64GiB --format $format
        done
    done
    wants "15 sizing of weights as stored" 0 -o . "$sizing" plan --model llama2-7b --memory 64GiB --quantization none; grep -q 'none weights' "$out" && fault "15 'none weights'" "it says so" || ok "15 no 'none weights'"
    wants "15 a prompt longer than the model" 65 -E 'raise --max-model-len|more --max-model-len|increase --max-model-len' "$generate" --model "$tale" --prompt-token-ids $(seq -s, 3 2100) --max-tokens 1
    fresh llama-mha; rm "$tmp/m/model.safetensors"; ln -s model.safetensors "$tmp/m/model.safetensors"
    wants "15 a file that links to itself" "65|66" -E 'index.json' -e 'model.safetensors' "$generate" --model "$tmp/m" --prompt-token-ids 5 --max-tokens 1
    ln -s "$tmp/nowhere/at/all" "$tmp/dangling"; wants "15 quantize to a dangling link" "64|65|66|73" -E 'Not a directory|NSCocoa' "$quantize" --model "$golden/llama-mha" --scheme int8 --output "$tmp/dangling" --group-size 16
    rm -rf "$tmp/two"; for n in 1 2 3 4; do ("$quantize" --model "$golden/llama-mha" --scheme int8 --output "$tmp/two" --group-size 16 >"$tmp/q$n.out" 2>"$tmp/q$n.err"; echo $? >"$tmp/q$n.s") & pids[n]=$!; done; wait ${pids[*]}
    cat "$tmp"/q?.err >"$err"; status=$(cat "$tmp"/q?.s | tr '\n' ' '); grep -qi 'permission' "$err" && fault "15 the losers of four quantize at once" "permissions" || ok "15 the losers of four quantize at once"
    [ "$(grep -cx 0 <<<"$(cat "$tmp"/q?.s)")" -ge 1 ] && "$generate" --model "$tmp/two" --prompt-token-ids 5 --max-tokens 1 >/dev/null 2>&1 && ok "15 one of four won, and its model runs" || fault "15 one of four won" "none, or broken"
    for p in generate evaluate tokenize sizing quantize bench all_reduce_bench; do
        for o in --version --help; do
            run bash -c '"$@" >/dev/full' - "$programs/$p" $o
            [ "$status" -ne 0 ] && grep -q "^$p: \|^trireme: " "$err" && ok "15 $p $o on a full disk: $status" || fault "15 $p $o on a full disk" "no program name, or status 0"
        done
    done
    run bash -c '"$@" >/dev/full' - "$tokenize" --model "$tale" --text hello; [ "$status" -ne 0 ] && grep -q '^tokenize: \|^trireme: ' "$err" && ok "15 tokenize on a full disk: $status" || fault "15 tokenize on a full disk" "no program name, or status 0"
    run "$local_sh" 2 "$generate" --model "$tale" --prompt x --memory 20MiB; grep -q 'rank \([0-9]\).*: rank \1' "$err" && fault "15 'rank 0 on vm: rank 0:'" "twice" || ok "15 a rank is named once"
    wants "15 bad UTF-8 in --prompt" "64|65" bash -c '"$0" --model "$1" --max-tokens 1 --prompt "$(printf "a\xffb")"' "$generate" "$tale"
    wants "15 bad UTF-8 in --stop" "64|65" bash -c '"$0" --model "$1" --max-tokens 1 --prompt x --stop "$(printf "a\xffb")"' "$generate" "$tale"
    wants "15 bad UTF-8 in tokenize --text" "64|65" bash -c '"$0" --model "$1" --text "$(printf "a\xffb")"' "$tokenize" "$tale"
    run bash -c 'printf "a\xffb\n" | "$0" --model "$1" --max-tokens 1 --interactive' "$generate" "$tale"; [ "$status" -eq 65 ] || failure_lines | grep -qi utf && ok "15 bad UTF-8 in --interactive" || fault "15 bad UTF-8 in --interactive" "taken silently"
    wants "15 bad UTF-8 in tokenize --file" 65 bash -c 'printf "a\xffb" | "$0" --model "$1" --file -' "$tokenize" "$tale"
    wants "15 bad UTF-8 in --prompt-file" 65 bash -c 'printf "a\xffb" | "$0" --model "$1" --prompt-file -' "$generate" "$tale"
    start "$local_sh" 2 "$generate" --model "$tale" --prompt Once --max-tokens 1900 --ignore-eos --timeout 5
    pid=$(rank_pid $job 1); for i in $(seq 200); do grep -q 'loaded in' "$err" && break; sleep 0.01; done
    left=$(descendants $job); kill -KILL $pid; finish; failure_lines | grep -qi 'starting' && fault "15 a rank lost just after loading" "is called starting" || ok "15 a rank lost just after loading"
}

lengths() { python3 -c "
import json
print([len(o['token_ids']) for l in open('$out') if l.strip() for o in json.loads(l)['outputs']])"; }
item_16() {
    local n words
    for n in 1 2; do for words in 1 500 508 510; do
        python3 -c "import json; print(json.dumps('hello')); print(json.dumps('the king and the ' * $words)); print(json.dumps('x'))" >"$tmp/b.jsonl"
        run $([ $n -eq 1 ] || echo "$local_sh" $n) "$generate" --model "$tale" --prompts "$tmp/b.jsonl" --max-tokens 50 --temperature 0 --ignore-eos
        case $(lengths 2>&1 | tail -1) in "[50, "*", 50]") ok "16 a long line of $words times leaves the others' 50 tokens, $n ranks" ;; *) fault "16 a long line of $words times, $n ranks" "$(lengths 2>&1 | tail -1)" ;; esac
    done; done
    python3 -c "import json; print(json.dumps('hello')); print(json.dumps('the king and the ' * 900))" >"$tmp/b.jsonl"
    wants "16 a line beyond the model's limit is named" 65 -e 'line 2|prompt 2' "$generate" --model "$tale" --prompts "$tmp/b.jsonl" --max-tokens 5
    python3 -c "import json; print(json.dumps('hello')); print(json.dumps('the king and the ' * 12))" >"$tmp/b.jsonl"
    run "$generate" --model "$tale" --prompts "$tmp/b.jsonl" --max-tokens 50 --temperature 0 --ignore-eos --max-model-len 64
    case $(lengths 2>&1 | tail -1) in "[50, "*) ok "16 --max-model-len 64: the first has its 50" ;; *) fault "16 --max-model-len 64" "$(lengths 2>&1 | tail -1)" ;; esac
}

item_17() {
    local n launcher m p
    for n in 1 2; do
        launcher=$([ $n -eq 1 ] || echo "$local_sh $n"); [ $n -eq 1 ] && m="82MiB 90MiB 104MiB 118MiB" || m="68MiB 75MiB 85MiB"
        for p in $m; do
            # A prompt that fits is computed, one that does not is refused, and nothing loops.
            wants "17 --memory $p auto, a long prompt, $n ranks" "0|65" $launcher "$generate" --model "$tale" --memory $p --max-model-len auto --prompt-file "$long_text" --max-tokens 4
            wants "17 --memory $p auto, 1900 new tokens, $n ranks" "0|65" $launcher "$generate" --model "$tale" --memory $p --max-model-len auto --prompt hello --max-tokens 1900
            wants "17 --memory $p, 8 outputs, $n ranks" "0|65" $launcher "$generate" --model "$tale" --memory $p --max-model-len auto --prompt-file "$long_text" --n 8 --max-tokens 4
        done
        wants "17 bench run, a token beyond the model, $n ranks" "64|65" $launcher "$bench" run --model "$tale" --rounds 1 --prompt-length 2045 --new-tokens 4
        wants "17 bench run's defaults on 512 positions, $n ranks" "64|65" $launcher "$bench" run --model "$golden/llama-mha"
        wants "17 bench run --batch 9 --max-model-len 64, $n ranks" "64|65" $launcher "$bench" run --model "$tale" --rounds 1 --prompt-length 300 --new-tokens 4 --batch 9 --max-model-len 64
        wants "17 bench run, batch beyond --max-num-seqs, $n ranks" "0|64|65" $launcher "$bench" run --model "$tale" --rounds 1 --prompt-length 8 --new-tokens 4 --batch 20
        wants "17 --n beyond --max-num-seqs, $n ranks" 0 -o . $launcher "$generate" --model "$tale" --prompt hello --max-tokens 3 --n 20 --max-num-seqs 3
        wants "17 --max-num-batched-tokens 1, $n ranks" 0 -o . $launcher "$generate" --model "$tale" --prompt "hello there" --max-tokens 3 --n 4 --max-num-batched-tokens 1
    done
    wants "17 synthetic, 1900 tokens of 100 KiB" "65" "$generate" --model "$tale" --memory 78.6MiB --max-model-len 2048 --prompt hello --max-tokens 1900
}

differ() { # what, expected status, options of rank 0, options of rank 1
    run mpirun "${mpirun_flags[@]}" -n 1 "$generate" $3 --prompt-token-ids 5,6,7,9,11,200 --max-tokens 6 --temperature 0 --ignore-eos --format json --timeout 5 : \
        -n 1 "$generate" $4 --prompt-token-ids 5,6,7,9,11,200 --max-tokens 6 --temperature 0 --ignore-eos --format json --timeout 5
    local what="18 $1" statuses=$2 o='' e='' E='' w='' W=''
    judge
}
item_18() {
    local g=$golden/llama-mha k v
    differ "the same model on both" 0 "--model $g" "--model $g"
    cp -r "$g" "$tmp/copy"; differ "the same model at another path" 0 "--model $g" "--model $tmp/copy"
    fresh llama-mha; python3 "$here/edit.py" bytes "$tmp/m/model.safetensors" 'b[200001::2] = bytes(x ^ 0x80 for x in b[200001::2])'; differ "other weights" 65 "--model $g" "--model $tmp/m"
    for k in rms_norm_eps=0.1 'hidden_act="gelu"'; do
        fresh llama-mha; json "c['${k%%=*}'] = ${k#*=}"; differ "$k on rank 1" 65 "--model $g" "--model $tmp/m"
    done
    # A stored head is used whatever the flag says, so the model is the same.
    fresh llama-mha; tensors "t.pop('lm_head.weight')"; json "c['tie_word_embeddings'] = True"; differ "a tied head on rank 1" 65 "--model $g" "--model $tmp/m"
    fresh llama-mha; json "c['rope_parameters']['rope_theta'] = 100.0"; differ "rope_theta on rank 1" 65 "--model $g" "--model $tmp/m"
    fresh llama-mha; json "c['rope_parameters'] = {'rope_type': 'linear', 'factor': 2.0, 'rope_theta': 10000.0}"; differ "rotary scaling on rank 1" 65 "--model $g" "--model $tmp/m"
    for k in model.norm.weight model.layers.0.input_layernorm.weight model.layers.2.mlp.down_proj.weight lm_head.weight model.embed_tokens.weight; do
        fresh llama-mha; tensors "x = t['$k']; x[2] = b'\x80\x3f' * (len(x[2]) // 2)"; differ "another $k, all of it" 65 "--model $g" "--model $tmp/m"
    done
    fresh llama-mha; tensors "a, b = 'model.layers.0.mlp.up_proj.weight', 'model.layers.0.mlp.gate_proj.weight'; t[a], t[b] = t[b], t[a]"; differ "two tensors exchanged" 65 "--model $g" "--model $tmp/m"
    fresh mistral-swa; json "c['sliding_window'] = 4"; differ "another sliding window" 65 "--model $golden/mistral-swa" "--model $tmp/m"
    echo '{"tensor_parallel_size": 2}' >"$tmp/a.json"; echo '{"tensor_parallel_size": 2, "weights": [3, 1]}' >"$tmp/c.json"; differ "a topology edited on one host" 65 "--model $g --topology $tmp/a.json" "--model $g --topology $tmp/c.json"
    for v in "--dtype float32" "--quantization int8 --group-size 32" "--kv-cache-dtype int8" "--kv-cache-dtype float32" "--max-num-batched-tokens 2" "-pp 2" "--activation-dtype float32" "--all-reduce-dtype bfloat16" "--max-model-len 64" "--seed 5" "--n 2" "--max-num-seqs 2"; do
        case $v in "--seed 5" | "--n 2" | "--max-num-seqs 2") differ "$v on rank 1 only" "0|65" "--model $g" "--model $g $v" ;; *) differ "$v on rank 1 only" 65 "--model $g" "--model $g $v" ;; esac
    done
    differ "--lm-head on rank 1 only" 65 "--model $g --quantization int8 --group-size 32" "--model $g --quantization int8 --group-size 32 --lm-head none"
    fresh tale; setjson generation_config.json "c['eos_token_id'] = 300"; differ "another generation_config.json" "0|65" "--model $tale" "--model $tmp/m"
    run mpirun "${mpirun_flags[@]}" -n 1 "$evaluate" perplexity --model "$g" --text "$text" : -n 1 "$generate" --model "$g" --prompt-token-ids 5 --max-tokens 2
    [ "$status" -ne 0 ] && [ "$status" -ne 137 ] && ok "18 two programs in one job: $status" || fault "18 two programs in one job" "."
    run mpirun "${mpirun_flags[@]}" -n 1 "$evaluate" perplexity --model "$tale" --text "$text" --window 32 --limit 2 --timeout 5 : -n 1 "$evaluate" perplexity --model "$tale" --text "$text" --window 64 --limit 2 --timeout 5
    [ "$status" -eq 65 ] || [ "$status" -eq 0 ] && ok "18 evaluate, another window on rank 1: $status" || fault "18 evaluate, another window on rank 1" "."
    run mpirun "${mpirun_flags[@]}" -n 1 "$all_reduce_bench" -b 8 -e 64 --timeout 5 : -n 1 "$all_reduce_bench" -b 8 -e 128 --timeout 5
    [ "$status" -ne 0 ] && [ "$status" -ne 137 ] && ok "18 all_reduce_bench, other sizes on rank 1: $status" || fault "18 all_reduce_bench, other sizes on rank 1" "."
}

item_19() {
    local right plain d
    # what, code that changes c; the code may use y (the YaRN parameters), s (the same without theta) and theta.
    rope() {
        fresh llama-yarn; json "y = dict(c['rope_parameters']); s = {k: v for k, v in y.items() if k != 'rope_theta'}; theta = y['rope_theta']
$2"
        d=$(digest --model "$tmp/m"); status=$(cat "$tmp/status"); [ "$status" -eq 65 ] && { ok "19 $1: refused"; return; }
        same "19 $1" "$d" "${3:-$right}"
    }
    right=$(digest --model "$golden/llama-yarn"); fresh llama-yarn; json "c['rope_parameters'] = {'rope_type': 'default', 'rope_theta': c['rope_parameters']['rope_theta']}"; plain=$(digest --model "$tmp/m")
    [ "$right" != "$plain" ] && ok "19 the digest sees scaling" || fault "19 the digest sees scaling" "it does not"
    rope "rope_scaling alone" "del c['rope_parameters']; c.update(rope_theta=theta, rope_scaling=s)"
    rope "default rope_parameters and rope_scaling" "c['rope_parameters'] = {'rope_type': 'default', 'rope_theta': theta}; c['rope_scaling'] = s"
    rope "empty rope_parameters and rope_scaling" "c['rope_parameters'] = {}; c.update(rope_theta=theta, rope_scaling=s)"
    rope "rope_scaling with the old word type" "del c['rope_parameters']; s['type'] = s.pop('rope_type'); c.update(rope_theta=theta, rope_scaling=s)"
    rope "nested by layer type" "c['rope_parameters'] = {'full_attention': y}"
    rope "no rope_type" "del c['rope_parameters']['rope_type']"
    rope "rope_scaling null" "c['rope_scaling'] = None"
    rope "rope_parameters null, rope_scaling" "c['rope_parameters'] = None; c.update(rope_theta=theta, rope_scaling=s)"
    rope "rope_scaling default, no parameters" "del c['rope_parameters']; c.update(rope_theta=theta, rope_scaling={'rope_type': 'default'})" "$plain"
    rope "rope_scaling empty, no parameters" "del c['rope_parameters']; c.update(rope_theta=theta, rope_scaling={})" "$plain"
    rope "rope_scaling, theta only in rope_parameters" "c['rope_parameters'] = {'rope_theta': theta}; c['rope_scaling'] = s"
    rope "rope_theta beside rope_parameters without it" "c['rope_parameters'] = s; c['rope_theta'] = theta"
    rope "both words" "c['rope_parameters']['type'] = 'yarn'"
    rope "rope_scaling inside rope_parameters that disagree" "c['rope_parameters'] = {'rope_type': 'linear', 'factor': 2.0, 'rope_theta': theta}; c['rope_scaling'] = s"
}

item_20() {
    local tied own a n
    tie() { fresh llama-gqa-tied; tensors "e = t['model.embed_tokens.weight']; r = e[1][1] * 2; x = b''.join(e[2][i:i + r] for i in range(len(e[2]) - r, -1, -r))
$1"; }
    head_tokens() { for n in 1 2; do run $([ $n -eq 1 ] || echo "$local_sh" $n) "$generate" --model "$tmp/m" $ids --max-tokens 6 --format json; echo $status >"$tmp/status"; [ "$status" -eq 0 ] && outputs; done; }
    fresh llama-gqa-tied; tied=$(head_tokens)
    tie "t['lm_head.weight'] = [e[0], e[1], x]"; a=$(head_tokens); s=$(cat "$tmp/status"); status=$s
    json "c['tie_word_embeddings'] = False"; own=$(head_tokens)
    [ "$own" != "$tied" ] && ok "20 the two heads answer differently" || fault "20 the two heads answer differently" "they do not"
    [ "$s" -eq 65 ] && ok "20 tied, a head of its own: refused" || same "20 tied, a head of its own" "$a" "$own"
    tie "t['lm_head.weight'] = [e[0], e[1], e[2]]"; a=$(head_tokens); same "20 tied, an equal head" "$a" "$tied"
    tie "t['lm_head.weight'] = [e[0], [e[1][0] // 2, e[1][1]], e[2][:len(e[2]) // 2]]"; wants "20 tied, a head of another shape" 65 -e lm_head "$generate" --model "$tmp/m" $ids --max-tokens 2
    fresh llama-gqa-tied; json "c['tie_word_embeddings'] = False"; wants "20 not tied, no head" "0|65" -e 'lm_head' "$generate" --model "$tmp/m" $ids --max-tokens 2
    for k in q_proj k_proj v_proj o_proj; do fresh llama-mha; tensors "t['model.layers.0.self_attn.$k.bias'] = ['BF16', [64], b'\x80\x3f' * 64]"; wants "20 a $k bias where none is expected" 65 -e "$k" "$generate" --model "$tmp/m" $ids --max-tokens 2; done
    fresh llama-mha; tensors "t['model.layers.0.mlp.up_proj.bias'] = ['BF16', [176], b'\x80\x3f' * 176]"; wants "20 an up_proj bias" 65 -e up_proj "$generate" --model "$tmp/m" $ids --max-tokens 2
    fresh llama-mha; tensors "t['lm_head.bias'] = ['BF16', [256], b'\x80\x3f' * 256]"; wants "20 a bias of the head" 65 -e lm_head "$generate" --model "$tmp/m" $ids --max-tokens 2
    fresh llama-mha; tensors "t['model.norm.bias'] = ['BF16', [64], b'\x80\x3f' * 64]"; wants "20 a bias of the norm" 65 -e norm "$generate" --model "$tmp/m" $ids --max-tokens 2
    fresh llama-mha; tensors "t['model.layers.1.self_attn.q_norm.weight'] = ['BF16', [8], b'\x80\x3f' * 8]"; wants "20 a q_norm that the family has not" 65 -e q_norm "$generate" --model "$tmp/m" $ids --max-tokens 2
}

item_21() {
    local n launcher
    for n in 1 2; do
        launcher=$([ $n -eq 1 ] || echo "$local_sh $n")
        for lines in '\nhello\n' '\n\n\n' 'hello\n' 'hello' '' 'hello\n\nthere\n' '\r\nhello\r\n' ' \n'; do
            wants "21 --interactive, lines '$lines', $n ranks" "0" bash -c 'printf "'"$lines"'" | "$@"' - $launcher "$generate" --model "$tale" --interactive --max-tokens 3 --temperature 0 $quiet
            case $lines in *hello*) [ -s "$out" ] && ok "21 an answer to '$lines', $n ranks" || fault "21 an answer to '$lines', $n ranks" "none" ;; esac
        done
        wants "21 --interactive --n 2, $n ranks" "0|64" bash -c 'printf "\nhello\n" | "$@"' - $launcher "$generate" --model "$tale" --interactive --max-tokens 3 --n 2
        INPUT=$long_text run $launcher "$generate" --model "$tale" --interactive --max-tokens 3 --max-model-len 128
        [ "$status" -eq 65 ] && ok "21 a first line that is too long, $n ranks: 65" || fault "21 a first line that is too long, $n ranks" "wanted 65"
        (cat "$long_text"; echo; echo hello) >"$tmp/i"
        INPUT=$tmp/i run $launcher "$generate" --model "$tale" --interactive --max-tokens 3 --max-model-len 128
        { [ "$status" -eq 65 ] || { [ "$status" -eq 0 ] && [ -s "$out" ] && [ -n "$(warnings; failure_lines)" ]; }; } && ok "21 too long, then a short one, $n ranks: $status" || fault "21 too long, then a short one, $n ranks" "no answer and no word"
        (for i in $(seq 40); do echo "once upon a time there was a king"; done) >"$tmp/i"
        INPUT=$tmp/i run $launcher "$generate" --model "$tale" --interactive --max-tokens 3 --max-model-len 128 --ignore-eos
        { [ "$status" -eq 65 ] || [ -n "$(warnings; failure_lines)" ]; } && ok "21 a conversation that outgrows its limit, $n ranks: $status" || fault "21 a conversation that outgrows its limit, $n ranks" "no word about it"
    done
}

resident() { # runs a command; sets mib (its peak resident memory in MiB) and status
    mib=$(python3 -c 'import resource, subprocess, sys
r = subprocess.run(sys.argv[3:], stdout=open(sys.argv[1], "wb"), stderr=open(sys.argv[2], "wb"), stdin=subprocess.DEVNULL, timeout=120)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(r.returncode)' "$out" "$err" "$@")
    status=$?
}
item_22() {
    local plain option
    python3 -c "
for i in range(1500): print('\"hello\"')" >"$tmp/many.jsonl"
    resident "$generate" --model "$tale" --prompts "$tmp/many.jsonl" --max-tokens 1 --temperature 0 --seed 1; plain=$mib
    for option in "--repetition-penalty 1.05" "--presence-penalty 0.5" "--frequency-penalty 0.5" "--min-p 0.1 --temperature 1"; do
        resident "$generate" --model "$tale" --prompts "$tmp/many.jsonl" --max-tokens 1 --temperature 0 --seed 1 $option
        [ "$status" -eq 0 ] && [ "$mib" -le $((plain + 40)) ] && ok "22 1500 prompts $option: $mib MiB, $plain without" || fault "22 1500 prompts $option" "$mib MiB, $plain without"
    done
    resident "$generate" --model "$tale" --prompt hello --n 1500 --max-tokens 1 --seed 1 --repetition-penalty 1.05
    [ "$status" -eq 0 ] && [ "$mib" -le $((plain + 40)) ] && ok "22 --n 1500: $mib MiB" || fault "22 --n 1500" "$mib MiB, $plain without penalty"
}

item_23() {
    local cores base many group
    cores=$(nproc)
    speed() { grep -ao 'decode [0-9.]*' "$err" | tail -1 | cut -d' ' -f2; }
    run "$generate" --model "$tale" --prompt Once --max-tokens 200 --ignore-eos --threads "$cores"; base=$(speed)
    LIMIT=60 run "$generate" --model "$tale" --prompt Once --max-tokens 200 --ignore-eos --threads $((cores + 1)); many=$(speed)
    warnings | grep -qi thread && ok "23 a warning for more threads than cores" || fault "23 a warning for more threads than cores" "none"
    python3 -c "import sys; sys.exit(not ${many:-0} * 20 > ${base:-1})" && ok "23 one thread more than cores: $many tokens/s, $base without" || fault "23 one thread more than cores" "$many tokens/s, $base without"
    LIMIT=60 run "$local_sh" 2 "$generate" --model "$tale" --prompt Once --max-tokens 50 --ignore-eos --threads "$cores"; many=$(speed)
    warnings | grep -qi thread && ok "23 a warning for two ranks of $cores threads" || fault "23 a warning for two ranks of $cores threads" "none"
    python3 -c "import sys; sys.exit(not ${many:-0} * 40 > ${base:-1})" && ok "23 two ranks of $cores threads: $many tokens/s" || fault "23 two ranks of $cores threads" "$many tokens/s, $base on one"
    run "$generate" --model "$tale" --prompt Once --max-tokens 2 --threads "$cores"; [ -z "$(warnings)" ] && ok "23 no warning for as many threads as cores" || fault "23 no warning for as many threads as cores" "$(warnings | head -c 100)"
    for v in 0 -1 x 100000 99999999999999999999; do run "$generate" --model "$tale" --prompt Once --max-tokens 1 --threads $v; [ "$status" -eq 64 ] || [ "$status" -eq 65 ] || { [ "$v" = 100000 ] && [ "$status" -eq 0 ]; } && ok "23 --threads $v: $status" || fault "23 --threads $v" "wanted 64"; done
    group=/sys/fs/cgroup/cpu/trireme-findings-$$
    if [ "$cores" -gt 1 ] && mkdir "$group" 2>/dev/null; then
        echo 100000 >"$group/cpu.cfs_period_us"; echo 100000 >"$group/cpu.cfs_quota_us"
        wants "23 a quota of one processor" 0 -e '1 thread\(s\) a rank' bash -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$group" "$generate" --model "$tale" --prompt Once --max-tokens 1
        rmdir "$group"
    else skip "23 a container's quota: no control group of version 1 can be made, or one core"; fi
}

item_24() {
    local value format a b
    for value in '\x80\x7f' '\xc0\x7f' '\x7f\x7f'; do
        fresh tale; tensors "x = t['model.norm.weight']; n = x[1][0]; x[0] = 'BF16'; x[2] = b'$value' * n"
        run "$evaluate" perplexity --model "$tmp/m" --text "$text" --window 32 --limit 1; a=$status; cp "$err" "$tmp/e24"
        run "$evaluate" perplexity --model "$tmp/m" --text "$text" --window 32 --limit 1 --format json; b=$status
        if [ $a -ne $b ] || [ $a -eq 70 ] || [ $a -ge 128 ]; then fault "24 norms of $value" "text $a, JSON $b"
        elif [ $b -eq 0 ] && ! python3 -c "import json; json.load(open('$out'), parse_constant=lambda x: 1/0)" 2>/dev/null; then fault "24 norms of $value" "no JSON: $(head -c 100 "$out")"
        else ok "24 evaluate, norms of $value: both $a"; fi
        for format in text json; do run "$generate" --model "$tmp/m" --prompt hello --max-tokens 3 --temperature 0 --format $format; [ "$status" -eq 65 ] || [ "$status" -eq 0 ] && ok "24 generate $format, norms of $value: $status" || fault "24 generate $format, norms of $value" "."; done
        run "$generate" --model "$tmp/m" --prompt hello --max-tokens 3 --seed 1 --format json --logprobs 2 --prompt-logprobs; [ "$status" -eq 65 ] || { [ "$status" -eq 0 ] && python3 -c "import json; json.load(open('$out'), parse_constant=lambda x: 1/0)" 2>/dev/null; } && ok "24 generate --logprobs, norms of $value: $status" || fault "24 generate --logprobs, norms of $value" "no JSON, or a defect"
    done
    wants "24 bench run --json with nothing to divide by" 0 "$bench" run --model "$golden/llama-mha" --prompt-length 1 --new-tokens 2 --rounds 1 --json "$tmp/b.json"
    python3 -c "import json; [json.loads(l, parse_constant=lambda x: 1/0) for l in open('$tmp/b.json')]" 2>/dev/null && ok "24 bench's JSON reads" || fault "24 bench's JSON reads" "$(head -c 200 "$tmp/b.json")"
    wants "24 generate --format json, one token" 0 "$generate" --model "$tale" --prompt-token-ids 5 --max-tokens 1 --format json; python3 -c "import json; json.load(open('$out'), parse_constant=lambda x: 1/0)" 2>/dev/null && ok "24 its JSON reads" || fault "24 its JSON reads" "."
}

item_25() {
    local k f=4
    for k in llama-linear-rope llama-dynamic; do
        fresh $k; json "c['max_position_embeddings'] = 64"
        wants "25 $k: 90 tokens, limit 64 times 4" 0 -o . "$generate" --model "$tmp/m" --prompt-token-ids $(seq -s, 3 92) --max-tokens 2 --temperature 0
        wants "25 $k: --max-model-len 200" 0 "$generate" --model "$tmp/m" --prompt-token-ids 5 --max-model-len 200 --max-tokens 2
        wants "25 $k: beyond the factor" 65 "$generate" --model "$tmp/m" --prompt-token-ids $(seq -s, 3 250),$(seq -s, 3 50) --max-tokens 2
        wants "25 $k: sizing" 0 -o '"max_model_len": ?256\b' "$sizing" plan --model "$tmp/m" --memory 8GiB --format json
    done
    fresh llama-linear-rope; json "c['max_position_embeddings'] = 64; p = c.pop('rope_parameters'); c['rope_theta'] = p['rope_theta']; c['rope_scaling'] = {'type': 'linear', 'factor': 4.0}"
    wants "25 old keys: 90 tokens" 0 -o . "$generate" --model "$tmp/m" --prompt-token-ids $(seq -s, 3 92) --max-tokens 2 --temperature 0
}

item_26() {
    local k
    for k in model.layers.0.self_attn.rotary_emb.inv_freq model.layers.0.self_attn.rotary_emb.cos_cached model.layers.0.self_attn.rotary_emb.sin_cached model.layers.0.self_attn.k_scale model.layers.1.self_attn.v_scale score.weight \
        model.layers.3.mtp.weight model.layers.3.self_attn.q_proj.weight model.layers.61.embed_tokens.weight mtp.fc.weight model.position_ids model.layers.0.self_attn.masked_bias model.layers.0.self_attn.bias v_head.summary.weight model.rotary_emb.inv_freq; do
        fresh llama-mha; tensors "t['$k'] = ['F32', [2], b'\0' * 8]"
        case $k in *inv_freq | *position_ids) wants "26 $k" 0 "$generate" --model "$tmp/m" $ids --max-tokens 1 ;;
        *self_attn.bias | *masked_bias) wants "26 $k" "0|65" -e "${k##*.}" "$generate" --model "$tmp/m" $ids --max-tokens 1 ;;
        *) wants "26 $k" 0 -w "${k##*.}" "$generate" --model "$tmp/m" $ids --max-tokens 1 ;; esac
    done
    fresh llama-mha; tensors "
for i in range(3, 40): t[f'model.layers.{i}.self_attn.q_proj.weight'] = ['BF16', [2], b'\0' * 4]"
    wants "26 37 of them: one warning" 0 -w 'model.layers' "$generate" --model "$tmp/m" $ids --max-tokens 1; [ "$(warnings | wc -l)" -eq 1 ] && [ "$(warnings | head -1 | wc -c)" -lt 800 ] && ok "26 one short warning" || fault "26 one short warning" "$(warnings | wc -l) warnings of $(warnings | wc -c) bytes"
    wants "26 the same on two ranks" 0 -w 'model.layers' "$local_sh" 2 "$generate" --model "$tmp/m" $ids --max-tokens 1; [ "$(warnings | wc -l)" -eq 1 ] && ok "26 one warning over two ranks" || fault "26 one warning over two ranks" "$(warnings | wc -l)"
    wants "26 quantize with tensors that no one needs" "0|65" "$quantize" --model "$tmp/m" --scheme int8 --group-size 16 --output "$tmp/q26"; rm -rf "$tmp/q26"
    fresh llama-mha; tensors "t['model.layers.1.mlp.other.weight'] = ['BF16', [2], b'\0' * 4]"; wants "26 an unknown weight of a layer that is computed" 65 -e other "$generate" --model "$tmp/m" $ids --max-tokens 1
    fresh llama-mha; tensors "t['model.layers.0.mlp.experts.0.up_proj.weight'] = ['BF16', [2], b'\0' * 4]"; wants "26 an expert of a layer that is computed" 65 -e experts "$generate" --model "$tmp/m" $ids --max-tokens 1
}

item_27() {
    local k raw
    fresh llama-mha; json "del c['max_position_embeddings']"; wants "27 no max_position_embeddings" 0 "$generate" --model "$tmp/m" $ids --max-tokens 1
    wants "27 no max_position_embeddings: sizing has 2048" 0 -o '"max_model_len": ?2048\b' "$sizing" plan --model "$tmp/m" --memory 8GiB --format json
    fresh tale; json "c['bos_token_id'] = -1"; wants "27 bos_token_id -1" 0 "$generate" --model "$tmp/m" --prompt x --max-tokens 1
    wants "27 bos_token_id -1, evaluate" "0|65" "$evaluate" perplexity --model "$tmp/m" --text "$text" --window 32 --limit 1
    fresh tale; json "c['eos_token_id'] = -1"; wants "27 eos_token_id -1" "0|65" "$generate" --model "$tmp/m" --prompt x --max-tokens 1
    fresh tale; json "c['pad_token_id'] = -1"; wants "27 pad_token_id -1" 0 "$generate" --model "$tmp/m" --prompt x --max-tokens 1
    fresh llama-mha; json "c = {k: c[k] for k in ('model_type', 'hidden_size', 'intermediate_size', 'num_attention_heads', 'num_hidden_layers', 'rms_norm_eps', 'vocab_size', 'architectures')}"; wants "27 a configuration of Llama 1's keys" 0 "$generate" --model "$tmp/m" $ids --max-tokens 1
    for raw in '"odd": Infinity' '"odd": -Infinity' '"odd": NaN' '"odd": 1e400' '"odd": 1, "odd": 2' '"odd\ud800": 1' '"odd": "\udfff"' '"odd": -0' '"odd": 123456789012345678901234567890' '"odd": [[[[[[]]]]]]' '"vocab_size": 7, "vocab_size": 256' '"time_step_limit": [0.0, Infinity]'; do
        fresh llama-mha; python3 - "$tmp/m/config.json" "$raw" <<'P'
import sys
s = open(sys.argv[1]).read().rstrip(); i = s.index('"vocab_size"')
raw = sys.argv[2]
if raw.startswith('"vocab_size"'): s = s[:i] + raw.split(",")[0] + ", " + s[i:]
else: s = s[:-1].rstrip() + ", " + raw + "}"
open(sys.argv[1], "w").write(s)
P
        wants "27 config.json with $raw" 0 "$generate" --model "$tmp/m" $ids --max-tokens 1
        wants "27 sizing, config.json with $raw" 0 "$sizing" plan --model "$tmp/m" --memory 8GiB
        fresh tale; python3 - "$tmp/m" "$raw" <<'P'
import sys
if "vocab_size" not in sys.argv[2]:
    for f in ("generation_config.json", "tokenizer_config.json"):
        p = sys.argv[1] + "/" + f; s = open(p).read().rstrip(); open(p, "w").write(s[:-1].rstrip() + ", " + sys.argv[2] + "}")
P
        wants "27 other files with $raw" 0 "$generate" --model "$tmp/m" --prompt x --max-tokens 1
    done
    for k in rms_norm_eps hidden_size num_hidden_layers; do for raw in NaN Infinity 1e400 -Infinity '"\ud800"' 1e-400; do
        [ "$k$raw" = rms_norm_eps1e-400 ] && continue
        fresh llama-mha; sed -i "s/\"$k\": [^,]*/\"$k\": ${raw//\\/\\\\}/" "$tmp/m/config.json"; wants "27 $k $raw is refused, with its place" 65 -e "config.json.*$k|$k.*config.json" "$generate" --model "$tmp/m" $ids --max-tokens 1
    done; done
    fresh llama-mha; sed -i 's/"use_cache": true,/"use_cache": tru,/' "$tmp/m/config.json"; wants "27 what is no JSON is refused with its place" 65 -e 'config.json.*(line|offset|position|byte|column|:[0-9])' "$generate" --model "$tmp/m" $ids --max-tokens 1
}

item_28() {
    local right=$(digest --model "$golden/llama-mha") d k
    index() { fresh llama-mha; python3 - "$tmp/m" "$here" "$1" <<'P'
import json, os, sys
d, here, code = sys.argv[1:]
sys.path.insert(0, here)
import edit
t, m = edit.read_tensors(d + "/model.safetensors")
names = list(t)
a, b = names[: len(names) // 2], names[len(names) // 2:]
edit.write_tensors(d + "/model-00001-of-00002.safetensors", {n: t[n] for n in a}, m)
edit.write_tensors(d + "/model-00002-of-00002.safetensors", {n: t[n] for n in b}, m)
w = {n: "model-00001-of-00002.safetensors" for n in a} | {n: "model-00002-of-00002.safetensors" for n in b}
c = {"metadata": {"total_size": 1}, "weight_map": w}
whole = False
exec(code)
if not whole: os.remove(d + "/model.safetensors")
if c is not None: json.dump(c, open(d + "/model.safetensors.index.json", "w"))
P
    }
    try() { index "$2"; d=$(digest --model "$tmp/m"); status=$(cat "$tmp/status"); same "28 $1" "$d" "$right"
        run "$local_sh" 2 "$generate" --model "$tmp/m" $ids --max-tokens 3 --format json --logits-digest; same "28 $1, two ranks" "$(outputs logits_digests)" "$right"; }
    try "an exact index" "pass"
    try "names more than the shards have" "w['model.other.weight'] = 'model-00001-of-00002.safetensors'"
    try "names a head that is tied or absent elsewhere" "w['model.layers.0.self_attn.rotary_emb.inv_freq'] = 'model-00002-of-00002.safetensors'"
    try "names fewer than the shards have" "w.pop('model.norm.weight')"
    try "names half" "[w.pop(n) for n in a[1:]]"
    try "left over beside a whole file" "whole = True; [os.remove(d + f'/model-0000{i}-of-00002.safetensors') for i in (1, 2)]"
    try "shards and a whole file, with an index" "whole = True"
    try "no metadata" "c.pop('metadata')"
    try "no index" "c = None"
    try "names a tensor in the wrong shard" "w['model.norm.weight'] = 'model-00001-of-00002.safetensors' if w['model.norm.weight'][8] == '2' or '00002' in w['model.norm.weight'] else 'model-00002-of-00002.safetensors'"
    index "w['x'] = 'model-00003-of-00003.safetensors'"; run "$generate" --model "$tmp/m" $ids --max-tokens 1; [ "$status" -eq 66 ] || [ "$status" -eq 65 ] && ok "28 a shard that is not there: $status" || fault "28 a shard that is not there" "wanted 66"
    index "del c['weight_map']"; wants "28 no weight_map" 65 -e index.json "$generate" --model "$tmp/m" $ids --max-tokens 1
    index "c = []"; wants "28 the index is a list" 65 -e index.json "$generate" --model "$tmp/m" $ids --max-tokens 1
    index "c['weight_map'] = {}"; wants "28 an empty weight_map" "0|65" "$generate" --model "$tmp/m" $ids --max-tokens 1
    index "os.remove(d + '/model-00002-of-00002.safetensors')"; run "$generate" --model "$tmp/m" $ids --max-tokens 1; [ "$status" -eq 66 ] && ok "28 a shard was not downloaded" || fault "28 a shard was not downloaded" "wanted 66"
}

item_29() {
    tok() { fresh tale; setjson tokenizer.json "$2"; wants "29 $1" 0 -o '"he"' "$tokenize" --model "$tmp/m" --text "hello there"; wants "29 $1: generate" 0 "$generate" --model "$tmp/m" --prompt "hello there" --max-tokens 1; }
    tok "an added token with another id than the vocabulary's" "c['added_tokens'].append({'id': 8191, 'content': 'he', 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': False})"
    fresh tale; setjson tokenizer.json "c['added_tokens'].append({'id': 300, 'content': '<x>', 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': False})"
    wants "29 an added token with an id that is in use" 0 "$tokenize" --model "$tmp/m" --text "hello there"
    tok "one content twice" "c['added_tokens'].append(dict(c['added_tokens'][0], id=5))"
    tok "the same token twice" "c['added_tokens'].append(dict(c['added_tokens'][0]))"
    tok "#version as the first merge" "c['model']['merges'].insert(0, '#version: 0.2' if isinstance(c['model']['merges'][0], str) else '#version: 0.2')"
    tok "no added tokens" "c['added_tokens'] = []; c['post_processor'] = None"
    tok "special false" "[x.update(special=False) for x in c['added_tokens']]"
    for part in model pre_tokenizer decoder; do
        fresh tale; setjson tokenizer.json "c['$part'] = {'type': 'Nonesuch'}"
        wants "29 an unsupported $part, and --prompt-token-ids" 0 "$generate" --model "$tmp/m" --prompt-token-ids 5,6 --max-tokens 2 --format json
        wants "29 an unsupported $part, and --prompt-token-ids, two ranks" 0 "$local_sh" 2 "$generate" --model "$tmp/m" --prompt-token-ids 5,6 --max-tokens 2 --format json
        wants "29 an unsupported $part, and bench run" 0 "$bench" run --model "$tmp/m" --prompt-length 4 --new-tokens 2 --rounds 1
        wants "29 an unsupported $part, and text" 65 -e Nonesuch "$generate" --model "$tmp/m" --prompt x --max-tokens 2
    done
    echo '{' >"$tmp/m/tokenizer.json"; wants "29 a broken tokenizer.json, and --prompt-token-ids" 0 "$generate" --model "$tmp/m" --prompt-token-ids 5,6 --max-tokens 2 --format json
}

item_30() {
    local size
    weights() { "$sizing" plan --model "$tmp/m" --memory 8GiB --cards 1 --format json 2>"$err" >"$out"; status=$?; echo $status >"$tmp/status"; python3 -c "import json; print(json.load(open('$out'))['per_card']['weights'])" 2>/dev/null; }
    quant() { fresh llama-mha; rm "$tmp/m/model.safetensors"; json "g = lambda bits, targets=['Linear'], group=32: {'weights': {'num_bits': bits, 'type': 'int', 'symmetric': True, 'strategy': 'group', 'group_size': group, 'dynamic': False}, 'targets': targets, 'input_activations': None, 'output_activations': None}
q = {'quant_method': 'compressed-tensors', 'format': 'pack-quantized', 'ignore': ['lm_head'], 'config_groups': {'group_0': g(4)}}
c.update(hidden_size=256, intermediate_size=1024, num_hidden_layers=8, head_dim=32)
$1
c['quantization_config'] = q if q else None
if not q: c.pop('quantization_config')"; weights; }
    status=0
    none=$(quant 'q = None'); four=$(quant pass); eight=$(quant 'q["config_groups"] = {"group_0": g(8)}')
    [ -n "$four" ] && [ "$four" -lt "$eight" ] && [ "$eight" -lt "$none" ] && ok "30 4 bits $four < 8 bits $eight < none $none" || fault "30 4 < 8 < 16 bits" "$four $eight $none"
    same "30 a group of another name" "$(quant 'q["config_groups"] = {"my_group": g(4)}')" "$four"
    same "30 a group of another name, 8 bits" "$(quant 'q["config_groups"] = {"group_1": g(8)}')" "$eight"
    m=$(quant 'q["config_groups"] = {"group_0": g(4, ["re:.*self_attn.*"]), "group_1": g(8, ["re:.*mlp.*"])}'); status=$(cat "$tmp/status")
    { [ -n "$m" ] && [ "$m" -gt "$four" ] && [ "$m" -lt "$eight" ]; } || [ "$status" -eq 65 ] && ok "30 mixed bits lie between, or are refused: ${m:-65}" || fault "30 mixed bits" "$m, not between $four and $eight"
    m=$(quant 'c["compression_config"] = q; q = None'); same "30 compression_config" "$m" "$four"
    g4=$(quant 'q = {"quant_method": "gptq", "bits": 4, "group_size": 32}'); g3=$(quant 'q = {"quant_method": "gptq", "bits": 3, "group_size": 32}'); g2=$(quant 'q = {"quant_method": "gptq", "bits": 2, "group_size": 32}'); g8=$(quant 'q = {"quant_method": "gptq", "bits": 8, "group_size": 32}')
    fresh llama-mha; rm "$tmp/m/model.safetensors"; json 'c["quantization_config"] = {"quant_method": "gptq", "bits": 3, "group_size": 32}'; run "$sizing" plan --model "$tmp/m" --memory 8GiB
    grep -q 'note: .*3-bit' "$out" || { [ -n "$g2" ] && [ "$g2" -lt "$g3" ] && [ "$g3" -lt "$g4" ] && [ "$g4" -lt "$g8" ]; } && ok "30 GPTQ of 2, 3, 4, 8 bits differ, or a note says why not: $g2 $g3 $g4 $g8" || fault "30 GPTQ of 2, 3, 4, 8 bits" "$g2 $g3 $g4 $g8"
    m=$(quant 'q = {"quant_method": "nonesuch"}'); status=$(cat "$tmp/status"); [ "$status" -eq 65 ] || grep -qi 'nonesuch' "$out" "$err" && ok "30 an unknown method is noted or refused" || fault "30 an unknown method" "no note, $m"
    m=$(quant 'q = {"bits": 4}'); status=$(cat "$tmp/status"); [ "$status" -eq 65 ] || grep -qiE 'quant_method|unknown|note' "$out" "$err" && ok "30 no method is noted or refused" || fault "30 no method" "no note, $m"
    wants "30 generate refuses an unknown method" "65|66" -e "nonesuch|quantiz|safetensors" "$generate" --model "$(quant 'q = {"quant_method": "nonesuch"}' >/dev/null; echo "$tmp/m")" --prompt-token-ids 5 --max-tokens 1
}

item_31() {
    local c=$tmp/cache s
    put() { mkdir -p "$1/models--org--name/snapshots/abc123" "$1/models--org--name/blobs"; cp "$golden/llama-mha"/* "$1/models--org--name/snapshots/abc123/"; [ "${2:-}" = noref ] || { mkdir -p "$1/models--org--name/refs"; printf abc123 >"$1/models--org--name/refs/main"; }; }
    put "$c/a/hub"; put "$c/b"; put "$c/x/huggingface/hub"; put "$c/n/hub" noref; put "$c/h/.cache/huggingface/hub"
    try() { wants "31 $1" 0 env -u HF_HOME -u HF_HUB_CACHE -u XDG_CACHE_HOME HOME="$tmp" "${@:2}" --model org/name --prompt-token-ids 5 --max-tokens 1; }
    try HF_HOME HF_HOME="$c/a" "$generate"; try HF_HUB_CACHE HF_HUB_CACHE="$c/b" "$generate"; try XDG_CACHE_HOME XDG_CACHE_HOME="$c/x" "$generate"; try HOME HOME="$c/h" "$generate"
    try "no refs/main" HF_HOME="$c/n" "$generate"; try "HF_HUB_CACHE before HF_HOME" HF_HOME="$tmp/none" HF_HUB_CACHE="$c/b" "$generate"; try "HF_HOME before XDG" HF_HOME="$c/a" XDG_CACHE_HOME="$tmp/none" "$generate"
    try "empty HF_HUB_CACHE" HF_HUB_CACHE= HF_HOME="$c/a" "$generate"; try "HUGGINGFACE_HUB_CACHE" HUGGINGFACE_HUB_CACHE="$c/b" "$generate"
    run env HOME="$tmp" HF_HUB_CACHE="$c/b" "$sizing" plan --model org/name --memory 8GiB; [ "$status" -eq 0 ] && ok "31 sizing" || fault "31 sizing" "."
    run env HOME="$tmp" HF_HUB_CACHE="$c/b" "$quantize" --model org/name --scheme int8 --group-size 16 --output "$tmp/q31"; [ "$status" -eq 0 ] && ok "31 quantize" || fault "31 quantize" "."
    run env HOME="$tmp" HF_HUB_CACHE="$c/b" "$local_sh" 2 "$generate" --model org/name --prompt-token-ids 5 --max-tokens 1; [ "$status" -eq 0 ] && ok "31 two ranks" || fault "31 two ranks" "."
    wants "31 a name that is nowhere" 66 -e 'org/other' env HOME="$tmp" HF_HUB_CACHE="$c/b" "$generate" --model org/other --prompt-token-ids 5
    mkdir -p "$c/b/models--org--two/snapshots/1" "$c/b/models--org--two/snapshots/2"; wants "31 two snapshots without a reference" "65|66" env HOME="$tmp" HF_HUB_CACHE="$c/b" "$generate" --model org/two --prompt-token-ids 5
}

item_32() {
    local g="$generate --model $tale --max-tokens 1 --ignore-eos"
    wants "32 --prompt '- one item'" 0 $g --prompt "- one item"; wants "32 --prompt '-5 degrees'" 0 $g --prompt "-5 degrees"; wants "32 --prompt -x" 0 $g --prompt -x; wants "32 --prompt --" 0 $g --prompt --; wants "32 --prompt ---" 0 $g --prompt ---
    wants "32 --prompt '--model'" "0|64" $g --prompt --model; wants "32 --prompt=-x" 0 $g --prompt=-x
    wants "32 --top-k -1" 0 $g --prompt x --top-k -1; wants "32 --frequency-penalty -0.5" 0 $g --prompt x --frequency-penalty -0.5; wants "32 --presence-penalty -1" 0 $g --prompt x --presence-penalty -1; wants "32 --presence-penalty -.5" 0 $g --prompt x --presence-penalty -.5
    wants "32 --stop ---" 0 $g --prompt x --stop ---; wants "32 two stops with dashes" 0 $g --prompt x --stop -- --stop - ; wants "32 --temperature -1 is refused for what it is" 64 -E 'Missing value' $g --prompt x --temperature -1
    wants "32 --max-tokens -1 is refused for what it is" 64 -E 'Missing value' "$generate" --model "$tale" --prompt x --max-tokens -1; wants "32 --seed -1" "0|64" -E 'Missing value' $g --prompt x --seed -1
    wants "32 tokenize --text -5" 0 -o . "$tokenize" --model "$tale" --text -5; wants "32 tokenize --text '- a'" 0 -o . "$tokenize" --model "$tale" --text "- a"; wants "32 tokenize --text --model-like words" 0 "$tokenize" --model "$tale" --text "--help me"
    wants "32 two ranks" 0 "$local_sh" 2 $g --prompt "- one item" --top-k -1
    wants "32 a missing value is still wrong usage" 64 $g --prompt; wants "32 an option in place of a value" "0|64" $g --prompt --temperature 0
    wants "32 --help after a value" 0 -o USAGE $g --prompt x --help; wants "32 a missing file value" 64 "$sizing" plan --model llama2-7b --memory
    mkdir "$tmp/-odd"; cp "$golden/llama-mha"/* "$tmp/-odd/"; wants "32 --model -odd works, or the line says --model=-odd" "0|64" -e "loaded in|--model=" bash -c 'cd "$0" && "$1" --model -odd --prompt-token-ids 5 --max-tokens 1' "$tmp" "$generate"
}

item_33() {
    local o n
    for o in float half bfloat16 float32 float16 int8 fp32 fp16 bf16; do wants "33 -d $o" $(case $o in fp*|bf16) echo '0|64' ;; *) echo 0 ;; esac) "$all_reduce_bench" -b 64 -e 64 -d $o -n 2; done
    for o in double int32 uint8 int64 nonesuch; do wants "33 -d $o" "0|64" "$all_reduce_bench" -b 64 -e 64 -d $o -n 2; done
    for o in sum prod max min product maximum minimum; do wants "33 -o $o" 0 "$local_sh" 2 "$all_reduce_bench" -b 64 -e 64 -o $o -n 2; done
    wants "33 -o avg" "0|64" "$all_reduce_bench" -b 64 -e 64 -o avg -n 2
    for o in 8k 8K 1m 1M 64 8KiB 16kb; do wants "33 -b $o" 0 "$all_reduce_bench" -b $o -e $o -n 2; done
    for o in x -1 8x 99999999999999999999G ''; do wants "33 -b '$o'" 64 "$all_reduce_bench" -b "$o" -e 1M -n 2; done
    LIMIT=10 wants "33 -b 4 -e 1G -i 4" 64 "$all_reduce_bench" -b 4 -e 1G -i 4 -n 1; LIMIT=10 wants "33 -i 0" 64 "$all_reduce_bench" -b 4 -e 1M -i 0; LIMIT=10 wants "33 -f 1" 64 "$all_reduce_bench" -b 4 -e 1M -f 1; LIMIT=10 wants "33 -f 0" 64 "$all_reduce_bench" -b 4 -e 1M -f 0; LIMIT=10 wants "33 -f -2" 64 "$all_reduce_bench" -b 4 -e 1M -f -2
    wants "33 -e below -b" 64 "$all_reduce_bench" -b 1M -e 4
    for o in send_recv all all_to_all gather; do
        run "$all_reduce_bench" --collective $o -b 64 -e 64 -n 2; [ "$status" -eq 0 ] || [ "$status" -eq 64 ] || [ "$status" -eq 65 ] && ok "33 $o on one rank: $status" || fault "33 $o on one rank" "wanted 0 or 64"
        wants "33 $o on two ranks" 0 "$local_sh" 2 "$all_reduce_bench" --collective $o -b 64 -e 64 -n 2
    done
    wants "33 -n 0" "0|64" "$all_reduce_bench" -b 64 -e 64 -n 0; wants "33 -g 1 -t 1, nccl-tests' others" "0|64" "$all_reduce_bench" -b 64 -e 64 -g 1
    wants "33 --stress 50 on one" 0 "$all_reduce_bench" --stress 50; wants "33 --stress -1" 64 "$all_reduce_bench" --stress -1
    wants "33 -b 1T" "0|64|65" "$all_reduce_bench" -b 1T -e 1T -n 1
}

item_34() {
    local f
    printf '"hello"\n"there"\n{"prompt": 5}\n' >"$tmp/b"; wants "34 a bad line of a batch has its number" 65 -e 'line 3' "$generate" --model "$tale" --prompts "$tmp/b" --max-tokens 1
    printf '"hello"\n"a\xff"\n' >"$tmp/b"; wants "34 bad UTF-8 in a batch has its line" 65 -e 'line 2' "$generate" --model "$tale" --prompts "$tmp/b" --max-tokens 1
    printf '"hello"\nnope\n' >"$tmp/b"; wants "34 no JSON in a batch has its line" 65 -e 'line 2' "$generate" --model "$tale" --prompts "$tmp/b" --max-tokens 1; run "$tokenize" --model "$tale" --jsonl "$tmp/b"; grep -q 'line 2' "$err" && ok "34 tokenize --jsonl has its line" || fault "34 tokenize --jsonl has its line" "no"
    printf '"hello"\n""\n' >"$tmp/b"; wants "34 an empty prompt in a batch" "0|65" "$generate" --model "$tale" --prompts "$tmp/b" --max-tokens 1; [ "$status" -eq 0 ] || { grep -q 'line 2' "$err" && ok "34 an empty prompt has its line" || fault "34 an empty prompt has its line" "no"; }
    printf '[1]\n[99999]\n' >"$tmp/b"; run "$tokenize" --model "$tale" --decode-jsonl "$tmp/b"; grep -q 'line 2' "$err" && ok "34 tokenize --decode-jsonl has its line" || fault "34 tokenize --decode-jsonl has its line" "no"
    for k in top_p=0 top_p=2 temperature=-1 top_k=-5 repetition_penalty=0 min_p=3 'top_p="x"' max_new_tokens=0 max_new_tokens=-3; do
        fresh tale; setjson generation_config.json "c['${k%%=*}'] = ${k#*=}; c['do_sample'] = True"; wants "34 $k of generation_config.json names the file" "0|65" -E '\(see --help\)|--top' "$generate" --model "$tmp/m" --prompt x --max-tokens 1
        [ "$status" -eq 0 ] || { grep -q generation_config.json "$err" && ok "34 $k: the file is named" || fault "34 $k: the file is named" "it is not"; }
    done
    fresh llama-mha; printf 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 370592\n' >"$tmp/m/model.safetensors"; wants "34 a Git LFS pointer" "65|66" -e 'LFS' "$generate" --model "$tmp/m" --prompt-token-ids 5; wants "34 a Git LFS pointer, quantize" "65|66" -e LFS "$quantize" --model "$tmp/m" --scheme int8 --output "$tmp/q34"
    fresh tale; cp "$tmp/m/config.json" "$tmp/c"; printf 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 370592\n' >"$tmp/m/tokenizer.json"; wants "34 tokenizer.json is a Git LFS pointer" "65|66" -e LFS "$tokenize" --model "$tmp/m" --text x
    fresh llama-mha; rm "$tmp/m/model.safetensors"; ln -s ../../blobs/gone "$tmp/m/model.safetensors"; wants "34 a dangling link" "65|66" -E 'index.json' -e 'model.safetensors' "$generate" --model "$tmp/m" --prompt-token-ids 5
    for f in '{"tensor_parallel_size": 1, "pipelineparallel_size": 1}' '{"tensor_parallel": 1}' '{"tensor_parallel_size": 1, "wieghts": [1]}'; do echo "$f" >"$tmp/t.json"; wants "34 a misspelt topology key: $f" "65" -e 'pipelineparallel|tensor_parallel|wieghts' "$generate" --model "$golden/llama-mha" --prompt-token-ids 5 --max-tokens 1 --topology "$tmp/t.json"
        wants "34 sizing, a misspelt topology key" 65 "$sizing" plan --model "$golden/llama-mha" --memory 8GiB --topology "$tmp/t.json"; done
    fresh qwen2; json "c['layer_types'] = ['full_attention'] * (c['num_hidden_layers'] - 1) + ['nonesuch_attention']"; wants "34 an unknown kind of layer_types" 65 -e 'layer_types|nonesuch' "$generate" --model "$tmp/m" --prompt-token-ids 5 --max-tokens 1
    fresh qwen2; json "c['layer_types'] = ['full_attention']"; wants "34 layer_types of another length" 65 -e layer_types "$generate" --model "$tmp/m" --prompt-token-ids 5 --max-tokens 1
    bad=$(printf '%s/a\xffb' "$tmp"); cp -r "$golden/llama-mha" "$bad" 2>/dev/null && wants "34 a path that is not UTF-8" "0|64|65" -E 'no such' "$generate" --model "$bad" --prompt-token-ids 5 --max-tokens 1
    run "$all_reduce_bench" -b 8 -e 64 -n 2 --plot /dev/full; [ "$status" -ne 0 ] && ok "34 --plot /dev/full: $status" || fault "34 --plot /dev/full" "status 0"
    run "$bench" run --model "$golden/llama-mha" --prompt-length 4 --new-tokens 2 --rounds 1 --json /dev/full; [ "$status" -ne 0 ] && ok "34 bench run --json /dev/full: $status" || fault "34 bench run --json /dev/full" "status 0"
    run "$local_sh" 2 "$bench" run --model "$golden/llama-mha" --prompt-length 4 --new-tokens 2 --rounds 1 --json /dev/full; [ "$status" -ne 0 ] && ok "34 bench run --json /dev/full, two ranks" || fault "34 bench run --json /dev/full, two ranks" "status 0"
    run "$all_reduce_bench" -b 8 -e 64 -n 2 --plot "$tmp/nosuch/x.svg"; [ "$status" -ne 0 ] && ok "34 --plot in no folder: $status" || fault "34 --plot in no folder" "status 0"
    fresh tale; setjson tokenizer_config.json "c['add_bos_token'] = True"; a=$("$generate" --model "$tmp/m" --prompt hello --max-tokens 1 --format json $quiet 2>/dev/null | grep -ao '"prompt_token_ids":\[[^]]*')
    setjson tokenizer_config.json "c['add_bos_token'] = False"; b=$("$generate" --model "$tmp/m" --prompt hello --max-tokens 1 --format json $quiet 2>/dev/null | grep -ao '"prompt_token_ids":\[[^]]*')
    status=0; : >"$err"; [ "$a" != "$b" ] && ok "34 add_bos_token is read: $a, $b" || fault "34 add_bos_token is read" "$a both ways"
}

for item in "${@:-all}"; do
    if [ "$item" = all ]; then for item in $(seq 34); do item_$item; done
    elif declare -F "item_$item" >/dev/null; then "item_$item"
    else echo "$0: no item $item; there are 1 to 34" >&2; exit 64; fi
done
summary
