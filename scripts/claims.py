#!/usr/bin/env python3
"""Measures the headline figures of bench/claims/claims.toml and prints one row each: claims.py [ID ...] [--json].

Exit status: 0 every figure asked for is met, 1 one is not met or could not be measured, 2 an unknown id.
"""
import argparse
import difflib
import json
import operator
import re
import shlex
import subprocess
import sys
import tomllib

from repository import ROOT

COMPARE = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
COLUMNS = ["id", "issue", "what", "target", "value", "unit", "met", "command", "conditions"]


def pick(document, path):
    """The number at `path` of a JSON document; KeyError, IndexError or StopIteration if there is none."""
    for name, choice in re.findall(r"([A-Za-z0-9_]+)|\[([^\]]*)\]", path):
        if name:
            document = document[name]
        elif choice.isdigit():
            document = document[int(choice)]
        else:
            wanted = dict(c.split("=", 1) for c in choice.split(","))
            document = next(d for d in document if all(str(d[k]) == v for k, v in wanted.items()))
    return float(document)


def measure(command, cache):
    """The JSON document of a command, run once; or the reason why there is none, as text."""
    if command not in cache:
        print(f"measuring: {command}", file=sys.stderr, flush=True)
        try:
            done = subprocess.run(shlex.split(command), cwd=ROOT, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            cache[command] = json.loads(done.stdout) if done.returncode in (0, 1) else f"exit status {done.returncode}"
        except OSError as error:
            cache[command] = f"cannot be run: {error.strerror}"
        except json.JSONDecodeError as error:
            cache[command] = f"printed no JSON: {error}"
    return cache[command]


def row_of(claim, cache):
    """One row; `value` is None and `conditions` says why where nothing was measured."""
    row = {c: claim.get(c) for c in COLUMNS} | {"value": None, "met": False}
    document = measure(claim["command"], cache)
    if isinstance(document, str):
        return row | {"conditions": f"not measured: {document}"}
    try:
        value = pick(document, claim["pick"]) * claim.get("scale", 1)
    except (KeyError, IndexError, StopIteration, TypeError, ValueError):
        return row | {"conditions": f"not measured: no number at {claim['pick']}"}
    sign, limit = claim["target"].split()
    return row | {"value": value, "met": COMPARE[sign](value, float(limit))}


def show(row):
    value = "not measured" if row["value"] is None else f"{row['value']:.4g} {row['unit']}"
    print(f"{'met    ' if row['met'] else 'NOT MET'} {row['id']:20} {value:>16}  target {row['target']} {row['unit']}")
    print(f"        {row['what']}\n        {row['command']}  ({row['conditions']})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    claims = {c["id"]: c for c in tomllib.loads((ROOT / "bench/claims/claims.toml").read_text())["claim"]}
    for name in args.ids:
        if name not in claims:
            near = difflib.get_close_matches(name, claims, 3, 0.3) or sorted(claims)
            print(f"no claim '{name}'; there are: {', '.join(near)}", file=sys.stderr)
            return 2
    cache, rows = {}, []
    for name in args.ids or claims:
        rows.append(row_of(claims[name], cache))
        if not args.json:
            show(rows[-1])
    if args.json:
        print(json.dumps(rows, indent=2))
    return 0 if all(r["met"] for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
