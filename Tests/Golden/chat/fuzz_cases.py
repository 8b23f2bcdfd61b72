#!/usr/bin/env python3
"""Writes random templates with what jinja2 gives for them, for the test that reads the file named by JINJA_CASES.

    venv/bin/python fuzz_cases.py SEED COUNT FILE
"""
import json
import random
import re
import signal
import sys

import make_cases

R = random.Random()

NAMES = ["n", "x", "s", "e", "xs", "d", "words", "text", "people", "messages", "tools", "nope", "a", "b", "ns", "loop"]
ATTRIBUTES = ["role", "content", "name", "age", "b", "a", "items", "nope", "0", "1", "index", "last", "tool_calls"]
STRINGS = ["''", "'a'", "'b'", "'ab'", "' x '", "'Hello World'", "'é中😀'", "'a,b,c'", "'%s'", "'%d-%s'", "'{}'", "'{:>5}'",
           "'1'", "'-2.5'", "'\\n'", "'a\\nb\\n'", "'<b>'", "'role'", "'name'", "'odd'", "'upper'", "'x' 'y'", "'ß'", "'Σ'",
           "'it\\'s'", '"q\\"q"', "'0x1f'", "'  a  b '", "'aXbXc'", "'X'", "'\\t'", "'age'", "'content'"]
NUMBERS = ["0", "1", "2", "3", "-1", "-2", "10", "7", "1.5", "-0.5", "2.0", "1e3", "0.1", "100", "1_0", "2.675"]
FILTERS = ["abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape",
           "filesizeformat", "first", "float", "forceescape", "format", "groupby", "indent", "int", "join", "last", "length",
           "list", "lower", "items", "map", "min", "max", "reject", "rejectattr", "replace", "reverse", "round", "safe",
           "select", "selectattr", "slice", "sort", "string", "striptags", "sum", "title", "trim", "truncate", "unique",
           "upper", "urlencode", "wordcount", "xmlattr", "tojson"]
KEYWORDS = ["attribute", "default", "reverse", "case_sensitive", "indent", "width", "first", "boolean", "sort_keys", "start",
            "by", "end", "length", "leeway", "count"]
TESTS = ["odd", "even", "divisibleby", "defined", "undefined", "filter", "test", "none", "boolean", "false", "true",
         "integer", "float", "lower", "upper", "string", "mapping", "number", "sequence", "iterable", "callable", "sameas",
         "escaped", "in", "eq", "equalto", "ne", "gt", "ge", "lt", "le", "greaterthan", "lessthan"]
METHODS = ["upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip", "split", "rsplit", "startswith",
           "endswith", "find", "rfind", "index", "count", "replace", "join", "splitlines", "format", "isdigit", "isalpha",
           "isalnum", "isspace", "isupper", "islower", "istitle", "zfill", "ljust", "rjust", "center", "removeprefix",
           "removesuffix", "partition", "rpartition", "swapcase", "expandtabs", "get", "keys", "values", "items", "append",
           "pop", "update", "copy"]


def pick(*choices):
    return R.choice(choices)()


def expression(depth):
    if depth <= 0:
        return atom()
    d = depth - 1
    return R.choices([
        atom,
        lambda: f"{expression(d)} {R.choice(['+', '-', '*', '/', '//', '%', '~', '~', '+'])} {expression(d)}",
        lambda: f"{expression(d)} {R.choice(['==', '!=', '<', '<=', '>', '>=', 'in', 'not in'])} {expression(d)}",
        lambda: f"{expression(d)} {R.choice(['and', 'or'])} {expression(d)}",
        lambda: f"{R.choice(['not ', '-', '+'])}{expression(d)}",
        lambda: f"({expression(d)})",
        lambda: f"{expression(d)} if {expression(d)}" + (f" else {expression(d)}" if R.random() < .7 else ""),
        lambda: f"({expression(d)}) | {R.choice(FILTERS)}{arguments(d, .5)}",
        lambda: f"{atom()} | {R.choice(FILTERS)}{arguments(d, .5)} | {R.choice(FILTERS)}",
        lambda: f"{atom()} is {'not ' if R.random() < .3 else ''}{R.choice(TESTS)}{arguments(d, .3)}",
        lambda: f"{postfix(R.choice(NAMES + STRINGS), d)}",
        lambda: f"({expression(d)}).{R.choice(METHODS)}{arguments(d, 1)}",
        lambda: f"{R.choice(STRINGS)}.{R.choice(METHODS)}{arguments(d, 1)}",
        lambda: f"[{', '.join(expression(d) for _ in range(R.randrange(4)))}]",
        lambda: f"({expression(d)}, {expression(d)})",
        lambda: "{" + ", ".join(f"{atom()}: {expression(d)}" for _ in range(R.randrange(3))) + "}",
        lambda: R.choice(["range(%s)", "dict(a=%s)", "namespace(b=%s)", "cycler(%s)"]) % expression(d),
    ], [4, 4, 3, 2, 1, 1, 2, 5, 4, 4, 4, 3, 5, 2, 1, 1, 1])[0]()


def atom():
    return R.choices([lambda: R.choice(NAMES), lambda: R.choice(STRINGS), lambda: R.choice(NUMBERS),
                      lambda: R.choice(["true", "false", "none", "[]", "{}", "()", "[1, 2, 3]", "['b', 'a']", "{'a': 1}"])],
                     [5, 3, 3, 1])[0]()


def postfix(value, depth):
    return value + R.choice([
        lambda: "." + R.choice(ATTRIBUTES), lambda: f"[{expression(depth)}]", lambda: f"['{R.choice(ATTRIBUTES)}']",
        lambda: f"[{R.choice(['', '1', '-1', '2'])}:{R.choice(['', '1', '-1', '5'])}{R.choice(['', ':', ':-1', ':2'])}]",
        lambda: f"[{R.choice(['0', '-1', '1'])}].{R.choice(ATTRIBUTES)}",
        lambda: "." + R.choice(METHODS) + arguments(depth, 1)])()


def arguments(depth, chance):
    if R.random() > chance:
        return ""
    values = [expression(min(depth, 1)) for _ in range(R.choices([0, 1, 2, 3], [3, 5, 2, 1])[0])]
    if R.random() < .25:
        values.append(f"{R.choice(KEYWORDS)}={expression(0)}")
    return f"({', '.join(values)})"


def space():
    return R.choice(["", "", " ", "  ", "\n", "\n  ", " \n", "\n\n"])


def mark(open, close, body):
    left = R.choices(["", "-", "+"], [6, 3, 1])[0]
    right = R.choices(["", "-", "+"], [6, 3, 1 if close == "%}" else 0])[0]
    return f"{open}{left} {body} {right}{close}"


def tag(body):
    return mark("{%", "%}", body)


def statements(depth):
    return "".join(space() + statement(depth) + space() for _ in range(R.randrange(1, 4)))


def statement(depth):
    d = depth - 1
    if depth <= 0:
        return pick(lambda: R.choice(["text", "x", "{", "}", "%", "#"]), lambda: mark("{{", "}}", expression(1)))
    target = R.choice(["a", "b", "n", "ns.b", "a, b", "x"])
    return R.choices([
        lambda: mark("{{", "}}", expression(2)),
        lambda: tag(f"set {target} = {expression(2)}"),
        lambda: tag(f"set {R.choice(['a', 'b'])}") + statements(d) + tag("endset"),
        lambda: tag(f"if {expression(2)}") + statements(d) + (tag(f"elif {expression(1)}") + statements(d) if R.random() < .3 else "")
        + (tag("else") + statements(d) if R.random() < .5 else "") + tag("endif"),
        lambda: tag(f"for {R.choice(['a', 'a, b', 'x', 'm'])} in {R.choice(['xs', 'words', 'messages', 'd.items()', 'people', expression(1)])}"
                    + (f" if {expression(1)}" if R.random() < .2 else "")) + statements(d)
        + (tag("else") + statements(d) if R.random() < .2 else "") + tag("endfor"),
        lambda: tag(R.choice(["break", "continue"])),
        lambda: tag(f"with a = {expression(1)}") + statements(d) + tag("endwith"),
        lambda: tag("filter " + R.choice(["upper", "trim", "indent", "title", "replace('a', 'b')"])) + statements(d) + tag("endfilter"),
        lambda: tag(f"macro f(a, b={expression(0)})") + statements(d) + tag("endmacro") + mark("{{", "}}", f"f{arguments(1, 1)}"),
        lambda: tag("macro g()") + "[" + mark("{{", "}}", "caller(1)") + "]" + tag("endmacro") + tag("call(a) g()") + statements(d)
        + tag("endcall"),
        lambda: mark("{#", "#}", "comment"), lambda: tag("raw") + "{{ x }}" + tag("endraw"),
        lambda: tag("generation") + statements(d) + tag("endgeneration"),
        lambda: tag("set ns = namespace(b=0, a=[])"),
        lambda: mark("{{", "}}", "loop." + R.choice(["index", "index0", "first", "last", "length", "revindex", "previtem",
                                                  "nextitem", "depth", "cycle('a', 'b')", "changed(a)"])),
    ], [8, 5, 1, 5, 5, 1, 1, 1, 1, 1, 1, .5, .5, 1, 2])[0]()


def timeout(*_):
    raise TimeoutError


def main():
    seed, count, target = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    R.seed(seed)
    env = make_cases.environment()
    cases = []
    signal.signal(signal.SIGALRM, timeout)
    while len(cases) < count:
        template = statements(R.choice([1, 2, 3])) if R.random() < .5 else "{{ " + expression(R.choice([1, 1, 2, 3])) + " }}"
        signal.setitimer(signal.ITIMER_REAL, 1)
        try:
            case = make_cases.case(env, template, None)
        except TimeoutError:
            continue
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        # Addresses differ, and so do integers beyond 64 bits.
        rendered = case.get("rendered", "")
        # Which error comes first depends on details that no template relies on.
        if case.get("error") not in (None, "syntax"):
            case["error"] = "any"
        if not re.search(r"(?i) at 0x|generator|\d{19}|Cycler|\.\.\.\}|LoopContext|jinja2\.", rendered):
            cases.append(case)
    with open(target, "w", encoding="ascii") as out:
        json.dump({"context": make_cases.CONTEXT, "cases": cases}, out)
    print(len(cases), "cases,", sum("error" in c for c in cases), "errors")


main()
