#!/usr/bin/env python3
"""run.py [WORD...]: breaks chosen lines one at a time and shows that `make test-quick` notices each.

mutants.tsv lists the mutants: a name, a file, a text that is in it exactly once, what takes its place, and the suite that
should notice. In both texts \\n is a line break. Rows with one name are one mutant. With WORDs, only mutants whose names
contain one of them are tried.

All happens in a copy of the repository, .build/mutants, which is kept: a later run compiles what has changed. A mutant is
noticed if the suite fails, crashes or does not end; if the suite passes, all of test-quick is run. The exit status is 1 if
a mutant survives, and 2 if the table is wrong: a text that is not there exactly once, or a mutant that does not compile.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / ".build" / "mutants"
TABLE = pathlib.Path(__file__).resolve().parent / "mutants.tsv"
BUILD_SECONDS, TEST_SECONDS = 1800, 900


class TableError(Exception):
    """What is wrong with a row."""


def mutants():
    """Name -> (suite, [(file, text, replacement)]), in the table's order."""
    found = {}
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != 5:
            raise TableError(f"{TABLE.name}, line {number}: {len(fields)} columns, not 5")
        name, file, text, replacement, suite = fields
        edit = (file, text.replace("\\n", "\n"), replacement.replace("\\n", "\n"))
        found.setdefault(name, (suite, []))[1].append(edit)
    return found


def broken(edits):
    """File -> its text with the edits made."""
    texts = {}
    for file, text, replacement in edits:
        path = ROOT / file
        if not path.is_file():
            raise TableError(f"{file} is not there")
        old = texts.get(file) or path.read_text()
        if old.count(text) != 1:
            raise TableError(f"{file} has {text!r} {old.count(text)} times, not once")
        texts[file] = old.replace(text, replacement)
    return texts


def update_copy():
    """Makes the copy equal to the repository; what is equal keeps its time, so that it is not compiled again."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    ).stdout.decode()
    files = {name for name in listed.split("\0") if name and (ROOT / name).exists()}
    if (ROOT / "Package.resolved").exists():
        files.add("Package.resolved")
    for name in files:
        source, target = ROOT / name, COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink() or not target.exists() or source.read_bytes() != target.read_bytes():
            target.unlink(missing_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    for path in COPY.rglob("*"):
        name = path.relative_to(COPY)
        if name.parts[0] != ".build" and not path.is_dir() and str(name) not in files:
            path.unlink()


def make(seconds, *arguments):
    """Whether make succeeds in the copy, in time; and what it printed."""
    process = subprocess.Popen(
        ["make", *arguments], cwd=COPY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        errors="replace", start_new_session=True)
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode == 0, output
    except subprocess.TimeoutExpired:
        # The group was made for this process alone.
        subprocess.run(["kill", "-KILL", "--", f"-{process.pid}"], check=False)
        process.wait()
        return False, f"no end after {seconds} s"


def reason(output):
    """The line of a test's output that says what failed."""
    for pattern in (r"(Test .*) recorded an issue", r"(no end after .*)", r"(.*Fatal error.*)", r"(.*[Ss]ignal.*)"):
        if match := re.search(pattern, output):
            return match.group(1).strip()[:100]
    return output.strip().splitlines()[-1][:100]


def build():
    compiled, output = make(BUILD_SECONDS, "build-tests")
    if not compiled:
        lines = [line for line in output.splitlines() if "error:" in line]
        raise TableError(f"it does not compile: {lines[0] if lines else output[-200:]}")


def try_mutant(suite, edits, seconds):
    """What notices the mutant; None if nothing does. A test that takes longer than `seconds` will not end."""
    for file, text in broken(edits).items():
        (COPY / file).write_text(text)
    try:
        build()
        for quick in ([f"QUICK=--filter {suite}"], []):
            passed, output = make(seconds, "test-quick", *quick)
            if not passed:
                return ("" if quick else "only by all of test-quick: ") + reason(output)
        return None
    finally:
        for file, _, _ in edits:
            shutil.copy(ROOT / file, COPY / file)


def main():
    words = sys.argv[1:]
    chosen = {name: rest for name, rest in mutants().items() if not words or any(word in name for word in words)}
    for _, edits in chosen.values():
        broken(edits)
    COPY.mkdir(parents=True, exist_ok=True)
    update_copy()
    print("without a mutant:", end=" ", flush=True)
    build()
    start = time.monotonic()
    passed, output = make(TEST_SECONDS, "test-quick")
    if not passed:
        raise TableError(f"test-quick fails: {reason(output)}")
    seconds = time.monotonic() - start
    print(f"test-quick passes ({seconds:.0f} s)", flush=True)
    survived, wrong = [], []
    for name, (suite, edits) in chosen.items():
        start = time.monotonic()
        print(f"{name}:", end=" ", flush=True)
        try:
            found = try_mutant(suite, edits, 60 + 2 * seconds)
        except TableError as error:
            wrong.append(name)
            print(f"TABLE ERROR: {error}", flush=True)
            continue
        if found is None:
            survived.append(name)
        print(f"{found or 'SURVIVES'} ({time.monotonic() - start:.0f} s)", flush=True)
    print(f"{len(chosen) - len(survived) - len(wrong)} of {len(chosen)} mutants are noticed")
    return 2 if wrong else 1 if survived else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TableError as error:
        print(f"run.py: {error}", file=sys.stderr)
        sys.exit(2)
