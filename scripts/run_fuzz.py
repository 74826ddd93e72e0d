#!/usr/bin/env python3
"""Runs the fuzz targets of build-fuzz/fuzz for a while each, two at a time: --seconds N [--only NAME].

New inputs are kept in build-fuzz/corpus/NAME, seeds come from fuzz/seeds/NAME, what crashes is left in
build-fuzz/crashes/. Exit status: 0 no crash, 1 a crash, 2 unknown name, 77 nothing was built.
"""
import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from repository import ROOT

BUILD = ROOT / "build-fuzz"


def run(target, seconds):
    corpus, crashes, seeds = BUILD / "corpus" / target.name, BUILD / "crashes", ROOT / "fuzz" / "seeds" / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(exist_ok=True)
    folders = [str(corpus)] + ([str(seeds)] if seeds.exists() else [])
    options = [f"-max_total_time={seconds}", "-max_len=65536", "-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1",
               f"-artifact_prefix={crashes}/{target.name}-"]
    done = subprocess.run([target, *options, *folders], capture_output=True, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, cwd=BUILD)
    runs = [l.split()[-1] for l in done.stderr.splitlines() if "number_of_executed_units" in l]
    print(f"{target.name:24} {'no crash' if done.returncode == 0 else 'CRASH'} after {runs[0] if runs else '?'} inputs",
          flush=True)
    if done.returncode != 0:
        print(done.stderr[-4000:], flush=True)
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--only", metavar="NAME")
    args = parser.parse_args()
    folder = BUILD / "fuzz"
    targets = sorted(p for p in folder.glob("*") if p.is_file() and p.stat().st_mode & 0o100) if folder.exists() else []
    if not targets:
        print("skipped: no fuzz target is built (./dev fuzz builds them)")
        return 77
    if args.only:
        known = [t.name for t in targets]
        targets = [t for t in targets if t.name == args.only]
        if not targets:
            print(f"no fuzz target '{args.only}'; there are: {', '.join(known)}", file=sys.stderr)
            return 2
    with ThreadPoolExecutor(2) as pool:
        good = list(pool.map(lambda t: run(t, args.seconds), targets))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
