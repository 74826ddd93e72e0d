#!/usr/bin/env python3
"""Speed of `perjoule simulate` on one core, and how it grows with the hall: sim_speed.py [--hours H] [--json].

Every run is pinned to one core. The first is scenarios/hall-1024.toml (--hours of it, 72 by default). The others are the
same scenario with 1, 2, 4, 8 and 16 times its racks, nodes, requests and jobs over --growth-hours. `--simgrid PROGRAM`
also runs SimGrid's host energy plugin on the job trace of the same machine-hours, without and with a reading of every
host each 30 s; it has no requests, kernels, cooling, losses, sensors and attribution, so events are not alike.
Exit status: 0 done, 1 a run's energy did not add up or SimGrid's check failed, 3 the program is missing.
"""
import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCENARIO = ROOT / "scenarios" / "hall-1024.toml"
WINDOW_S = 30


def widen(text, factor):
    """The scenario with `factor` times the racks, nodes, requests and jobs; paths made absolute."""
    for key in ("count", "rate", "repeat"):
        text, changed = re.subn(rf"(?m)^{key} = ([0-9.]+)", lambda m: f"{key} = {number(m[1]) * factor}", text)
        if changed == 0:
            raise SystemExit(f"sim_speed: {SCENARIO.name} has no '{key} ='")
    return text.replace('"../', f'"{ROOT}/')


def number(text):
    return float(text) if "." in text else int(text)


def timed(command):
    """Runs a command on one core; (document it printed, wall seconds, processor seconds)."""
    core = min(os.sched_getaffinity(0))
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=ROOT, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode != 0:
        raise SystemExit(f"sim_speed: exit status {done.returncode} of {' '.join(map(str, command))}")
    return json.loads(done.stdout), wall, cpu


def simulate(program, scenario, hours, extra=()):
    document, wall, cpu = timed([program, "simulate", scenario, "--hours", str(hours), "--json", "--quiet", *extra])
    gpu_windows = document["gpus"] * hours * 3600 / WINDOW_S
    return {"gpus": document["gpus"], "hours": hours, "wall_s": wall, "cpu_s": cpu, "events": document["events"],
            "events_per_s": document["events"] / cpu, "joule_rows": document["joule_rows"],
            "machine_hours_per_s": document["gpus"] * hours / cpu, "us_per_gpu_window": cpu / gpu_windows * 1e6,
            "conserved": document["conserved"]}


def growth(program, hours, factors):
    """The same hall, wider and wider."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for factor in factors:
            path = Path(folder) / f"hall-{factor}.toml"
            path.write_text(widen(SCENARIO.read_text(), factor))
            runs.append(simulate(program, path, hours))
    return runs


def simgrid(program, hours):
    out = {}
    for name, extra in (("jobs_only", []), ("jobs_and_readings", ["--read", str(WINDOW_S)])):
        out[name], wall, _ = timed([program, "--hosts", "1024", "--hours", str(hours), "--json", *extra])
        out[name]["wall_s"] = wall
    return out


def line(run):
    return (f"{run['gpus']:6} GPUs {run['hours']:5g} h  {run['wall_s']:7.2f} s wall {run['cpu_s']:7.2f} s cpu  "
            f"{run['events_per_s']:12,.0f} events/s  {run['machine_hours_per_s']:9,.0f} GPU-hours/s  "
            f"{run['us_per_gpu_window']:6.2f} us per GPU and window")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=ROOT / "build" / "perjoule", type=Path)
    parser.add_argument("--simgrid", type=Path, metavar="PROGRAM")
    parser.add_argument("--hours", type=float, default=72)
    parser.add_argument("--growth-hours", type=float, default=2)
    parser.add_argument("--factors", default="1,2,4,8,16", help="widths of the hall, in times 1,024 GPUs; empty: none")
    parser.add_argument("--store", action="store_true", help="write the store too, to a temporary folder")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not args.program.exists():
        print(f"sim_speed: there is no {args.program}. Type ./dev build", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory() as folder:
        extra = ["--store", f"{folder}/store"] if args.store else []
        out = {"run": simulate(args.program, SCENARIO, args.hours, extra)}
    factors = [int(f) for f in args.factors.split(",") if f]
    if factors:
        out["growth"] = growth(args.program, args.growth_hours, factors)
        out["cost_ratio"] = out["growth"][-1]["us_per_gpu_window"] / out["growth"][0]["us_per_gpu_window"]
    if args.simgrid and args.simgrid.exists():
        out["simgrid"] = simgrid(args.simgrid, args.hours)
        out["times_simgrid_jobs_only"] = out["run"]["cpu_s"] / out["simgrid"]["jobs_only"]["cpu_s"]
        out["times_simgrid_jobs_and_readings"] = out["run"]["cpu_s"] / out["simgrid"]["jobs_and_readings"]["cpu_s"]
    if args.json:
        print(json.dumps(out, indent=2))
    else:
        for run in [out["run"], *out.get("growth", [])]:
            print(line(run))
        if factors:
            print(f"cost per GPU and window, widest to narrowest: {out['cost_ratio']:.2f}")
        for name, run in out.get("simgrid", {}).items():
            print(f"SimGrid, {name}: {run['cpu_s']:.2f} s, {run['events_per_s']:,.0f} events/s; "
                  f"perjoule takes {out['times_simgrid_' + name]:.2f} times that")
    good = all(r["conserved"] for r in [out["run"], *out.get("growth", [])])
    return 0 if good and all(r["right"] for r in out.get("simgrid", {}).values()) else 1


if __name__ == "__main__":
    sys.exit(main())
