#!/usr/bin/env python3
"""Measures the headline figures of bench/claims/claims.toml and prints one row each.

  run.py [ID ...] [--slow] [--json] [--write]

An ID may be the beginning of several (`cap` takes cap.v100.median and its like). --write puts the rows into docs/claims.md.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPARE = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
COLUMNS = ["id", "issue", "what", "target", "value", "unit", "met", "command", "conditions"]


def matches(element, condition):
    key, unlike, value = re.fullmatch(r"(\w+)(!?)=(.*)", condition).groups()
    return (str(element[key]).lower() == value.lower()) != bool(unlike)


def pick(document, path):
    """The numbers at `path` of a JSON document, at least one; KeyError, IndexError or ValueError if there is none."""
    found = [document]
    for name, choice in re.findall(r"([A-Za-z0-9_]+)|\[([^\]]*)\]", path):
        if name:
            found = [d[name] for d in found]
        elif choice.isdigit():
            found = [d[int(choice)] for d in found]
        else:
            conditions = [] if choice == "*" else choice.split(",")
            found = [e for d in found for e in d if all(matches(e, c) for c in conditions)]
    if not found:
        raise ValueError(path)
    return [float(f) for f in found]


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


def value_of(claim, document):
    """The figure: the worst of what is picked, as the target sees it."""
    picks = claim["pick"] if isinstance(claim["pick"], list) else [claim["pick"]]
    numbers = [n * claim.get("scale", 1) for p in picks for n in pick(document, p)]
    if claim.get("absolute"):
        numbers = [abs(n) for n in numbers]
    return min(numbers) if claim.get("target", "").startswith(">=") else max(numbers)


def row_of(claim, cache):
    """One row; `value` is None and `conditions` says why where nothing was measured; `met` is None without a target."""
    row = {c: claim.get(c) for c in COLUMNS} | {"value": None, "met": False}
    document = measure(claim["command"], cache)
    if isinstance(document, str):
        return row | {"conditions": f"not measured: {document}"}
    try:
        value = value_of(claim, document)
    except (KeyError, IndexError, TypeError, ValueError):
        return row | {"conditions": f"not measured: no number at {claim['pick']}"}
    if "target" not in claim:
        return row | {"value": value, "met": None}
    sign, limit = claim["target"].split()
    return row | {"value": value, "met": COMPARE[sign](value, float(limit))}


def texts(row):
    """(met, value, target) as people read them."""
    met = {True: "met", False: "NOT MET", None: "stated"}[row["met"]]
    value = "not measured" if row["value"] is None else f"{row['value']:.4g} {row['unit']}".strip()
    return met, value, f"{row['target']} {row['unit']}".strip() if row["target"] else "none"


def show(row):
    met, value, target = texts(row)
    print(f"{met:8} {row['id']:26} {value:>18}   target {target}")
    print(f"         {row['what']}\n         {row['command']}  ({row['conditions']})", flush=True)


def write(rows):
    lines = ["# Headline figures", "",
             "What `./dev claims` measured; every row can be measured again with its command, in the root of the tree.",
             "A figure not met stays here. How each is measured: `bench/claims/claims.toml`.", "",
             "| id | what | target | value | | command | conditions |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        met, value, target = texts(row)
        lines.append(f"| {row['id']} | {row['what']} | {target} | {value} | {met} | `{row['command']}` | {row['conditions']} |")
    (ROOT / "docs" / "claims.md").write_text("\n".join(lines) + "\n")


def chosen(claims, wanted, slow):
    """The claims asked for, or None after naming the nearest to an unknown id."""
    if not wanted:
        return [c for c in claims.values() if slow or not c.get("slow")]
    out = []
    for name in wanted:
        hits = [c for i, c in claims.items() if i == name or i.startswith(name + ".")]
        if not hits:
            near = difflib.get_close_matches(name, claims, 3, 0.3) or sorted(claims)
            print(f"no claim '{name}'; there are: {', '.join(near)}", file=sys.stderr)
            return None
        out += [h for h in hits if h not in out]
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--slow", action="store_true", help="also what takes many minutes: build and test from nothing")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="write docs/claims.md")
    args = parser.parse_args()
    claims = {c["id"]: c for c in tomllib.loads((ROOT / "bench/claims/claims.toml").read_text())["claim"]}
    selection = chosen(claims, args.ids, args.slow)
    if selection is None:
        return 2
    cache, rows = {}, []
    for claim in selection:
        rows.append(row_of(claim, cache))
        if not args.json:
            show(rows[-1])
    if args.json:
        print(json.dumps(rows, indent=2))
    if args.write:
        write(rows)
    return 0 if all(r["met"] is not False for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
