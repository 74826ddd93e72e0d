#!/usr/bin/env python3
"""Measurements that need more than one command; each prints one JSON document: probe.py WHAT ...

  timed COMMAND ...       seconds, processor seconds and largest memory of a command
  conservation            the demo written to a store, then the equalities of every window, by `perjoule audit`
  halls                   the property test over 10,000 random halls
  determinism             the same scenario and seed with one and with two threads: files that differ
  clean build|test        minutes of `./dev build` or `./dev test` in a clean copy of this tree, without a compiler cache

Exit status: 0 measured, 3 something needed is missing.
"""
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
PROGRAM = BUILD / "perjoule"
HALLS_TEST = "Settlement.TenThousandRandomHallsKeepBothEqualities"
HALLS = 10_000


def run(command, **options):
    return subprocess.run(list(map(str, command)), cwd=ROOT, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, **options)


def checked(command):
    done = run(command)
    if done.returncode != 0:
        sys.exit(f"probe: exit status {done.returncode} of {' '.join(map(str, command))}")
    return done.stdout


def timed(command):
    with tempfile.TemporaryDirectory() as folder:
        command = [word.replace("{tmp}", folder) for word in command]
        start = time.monotonic()
        checked(command)
        seconds = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": seconds, "cpu_s": used.ru_utime + used.ru_stime, "max_rss_gib": used.ru_maxrss / 2**20,
            "cores": len(os.sched_getaffinity(0))}


def conservation():
    with tempfile.TemporaryDirectory() as folder:
        store = f"{folder}/store"
        demo = json.loads(checked([PROGRAM, "simulate", ROOT / "scenarios/demo.toml", "--store", store, "--json"]))
        audit = run([PROGRAM, "audit", store, "--json"])
    found = json.loads(audit.stdout)["conservation"]
    site = demo["energy_uj"]["site"]
    return {"violations": found["violation_count"] + (found["root_uj"] != site) + (found["joules_uj"] != site),
            "windows": found["windows"], "leaf_checks": found["leaf_checks"], "parent_checks": found["parent_checks"],
            "joule_rows": found["joule_rows"], "site_uj": site}


def halls():
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        run([BUILD / "src/ledger/perjoule_ledger_test", f"--gtest_filter={HALLS_TEST}", f"--gtest_output=json:{report}"])
        document = json.loads(report.read_text())
    # A name that no longer exists would run nothing: that is no success.
    return {"violations": document["failures"] if document["tests"] == 1 else HALLS, "halls": HALLS * document["tests"]}


def digests(folder):
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def determinism():
    with tempfile.TemporaryDirectory() as folder:
        stores = []
        for name, threads in (("a", 1), ("b", 2), ("c", 1)):
            checked([PROGRAM, "simulate", ROOT / "scenarios/demo.toml", "--hours", "6", "--threads", threads,
                     "--store", f"{folder}/{name}", "--json"])
            stores.append(digests(f"{folder}/{name}"))
    names = set().union(*stores)
    return {"files": len(names), "differing_files": sum(len({s.get(n) for s in stores}) != 1 for n in names)}


def clean(what):
    with tempfile.TemporaryDirectory() as folder:
        copy = f"{folder}/tree"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=lambda d, names:
                        {n for n in names if Path(d) == ROOT and (n.startswith("build") or n == ".git")})
        environment = os.environ | {"CCACHE_DISABLE": "1"}
        start = time.monotonic()
        done = subprocess.run([f"{copy}/dev", what], cwd=copy, stdin=subprocess.DEVNULL, stdout=sys.stderr,
                              env=environment)
        seconds = time.monotonic() - start
    if done.returncode != 0:
        sys.exit(f"probe: exit status {done.returncode} of ./dev {what} in a clean copy")
    return {"minutes": seconds / 60, "cores": len(os.sched_getaffinity(0))}


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in ("timed", "conservation", "halls", "determinism", "clean"):
        print(__doc__, file=sys.stderr)
        return 2
    what, rest = sys.argv[1], sys.argv[2:]
    needed = {"conservation": PROGRAM, "determinism": PROGRAM, "halls": BUILD / "src/ledger/perjoule_ledger_test"}
    if what in needed and not needed[what].exists():
        print(f"probe: there is no {needed[what]}. Type ./dev build --all", file=sys.stderr)
        return 3
    arguments = {"timed": [rest], "clean": rest[:1]}.get(what, [])
    print(json.dumps(globals()[what](*arguments), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
