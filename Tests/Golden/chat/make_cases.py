#!/usr/bin/env python3
"""Writes cases.json: what jinja2 3.1.6 gives for each template in cases.txt.

    python3 -m venv venv && venv/bin/pip install jinja2==3.1.6 && venv/bin/python make_cases.py

cases.txt holds templates between lines of ====; a line of ---- ends the context (JSON) that may stand before one.
In a part that begins with a line of #each, every line is a template.
␍, ␤ and ␉ stand for a carriage return, a line end and a tab.
The environment is the one that transformers makes for chat templates.
"""
import copy
import datetime
import json
import os
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_call"), [], [], body).set_lineno(line)

    @jinja2.pass_eval_context
    def _call(self, context, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: NOW.strftime(format)
    return env


CONTEXT = {
    "messages": [
        {"role": "system", "content": "You are helpful."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi!", "tool_calls": [
            {"type": "function", "function": {"name": "f", "arguments": {"a": 1, "b": [1.5, None, True]}}}]},
        {"role": "tool", "content": "{\"x\": 1}"},
        {"role": "user", "content": "Bye"},
    ],
    "tools": None,
    "bos_token": "<s>",
    "add_generation_prompt": True,
    "n": 7, "x": 2.5, "s": "héllo wörld", "e": "", "xs": [3, 1, 2], "d": {"b": 1, "a": [1, {"c": "z"}], "items": 5},
    "words": ["b", "A", "c", "a"], "text": "line one\n  line two\n\nline four\n",
    "people": [{"name": "Bo", "age": 30, "city": "x"}, {"name": "al", "age": 25, "city": "Y"},
               {"name": "Cy", "age": 30, "city": "X"}],
}


def case(env, template, context):
    entry = {"template": template}
    if context is not None:
        entry["context"] = context
    try:
        # Some filters change the lists that they are given.
        variables = copy.deepcopy(CONTEXT if context is None else context)
        entry["rendered"] = env.from_string(template).render(**variables)
    except jinja2.exceptions.SecurityError:
        entry["error"] = "security"
    except jinja2.exceptions.UndefinedError as error:
        entry["error"] = "undefined"
        entry["message"] = str(error)
    except (jinja2.exceptions.TemplateSyntaxError, SyntaxError):
        entry["error"] = "syntax"
    except Exception as error:
        entry["error"] = "raised" if type(error) is jinja2.exceptions.TemplateError else "operation"
        if entry["error"] == "raised":
            entry["message"] = str(error)
    return entry


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    source = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "cases.txt")
    target = sys.argv[2] if len(sys.argv) > 2 else os.path.join(here, "cases.json")
    env = environment()
    cases = []
    for part in open(source, encoding="utf-8", newline="").read().split("\n====\n"):
        context = None
        if "\n----\n" in part:
            head, part = part.split("\n----\n", 1)
            context = json.loads(head)
        isEach = part.startswith("#each\n")
        for template in part.split("\n")[1:] if isEach else [part]:
            template = template.replace("␍", "\r").replace("␤", "\n").replace("␉", "\t")
            cases.append(case(env, template, context))
    with open(target, "w", encoding="ascii") as out:
        json.dump({"context": CONTEXT, "cases": cases}, out, indent=1)
        out.write("\n")
    print(len(cases), "cases,", sum("error" in c for c in cases), "errors")


if __name__ == "__main__":
    main()
