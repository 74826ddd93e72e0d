#!/usr/bin/env python3
"""Speed of `perjoule simulate` on one core, and how it grows with the hall: sim_speed.py [--hours H] [--json].

Every run is pinned to one core; seconds "cpu" are of the processor, which others on the machine change less. The first
is scenarios/hall-1024.toml (--hours of it, 72 by default). The others are the same scenario with 1, 2, 4, 8 and 16 times
its racks, nodes, requests and jobs over --growth-hours. Start-up weighs most in the narrowest hall, so each width also
runs a quarter of the hours, and the cost of the hours between is told apart. `--repeat N` takes the fastest of N.
`--simgrid PROGRAM` also runs SimGrid's host energy plugin on the same job trace, hosts and hours, with jobs on the hosts
that train here, without and with a reading of every host each 30 s. It has no requests, kernels, cooling, losses,
sensors and attribution, so events are not alike; the nearest to it here is the same hall with its jobs alone and no
policy, which is run and compared too.
Exit status: 0 done, 1 a run's energy did not add up or SimGrid's check failed, 3 the program is missing.
"""
import argparse
import json
import os
import re
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
    return absolute(text)


def absolute(text):
    return text.replace('"../', f'"{ROOT}/')


def without_requests(text):
    """The same hall and jobs, and nothing served: the work that SimGrid is given too."""
    for table in (r"\[\[service\]\]", r"\[requests\]"):
        text, changed = re.subn(rf"(?ms)^{table}.*?(?=^\[)", "", text)
        if changed == 0:
            raise SystemExit(f"sim_speed: {SCENARIO.name} has no {table}")
    return absolute(text)


def number(text):
    return float(text) if "." in text else int(text)


def machine():
    """What the figures were taken on."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", text)
    cache = ROOT / "build" / "CMakeCache.txt"
    compiler = re.search(r"CMAKE_CXX_COMPILER:\w+=(.*)", cache.read_text()) if cache.exists() else None
    version = subprocess.run([compiler[1], "--version"], text=True, stdout=subprocess.PIPE) if compiler else None
    return {"cpu": model[1] if model else "unknown", "cores": os.cpu_count(), "cores_used": 1,
            "compiler": version.stdout.splitlines()[0] if version else "unknown"}


def timed(command, repeat=1):
    """Runs a command on one core; (document it printed, wall seconds, processor seconds, MiB) of the fastest run."""
    return min((timed_once(command) for _ in range(repeat)), key=lambda run: run[2])


def timed_once(command):
    core = min(os.sched_getaffinity(0))
    start = time.monotonic()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL,
                                 preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - start
        if child.returncode != 0:
            raise SystemExit(f"sim_speed: exit status {child.returncode} of {' '.join(map(str, command))}")
        out.seek(0)
        return json.load(out), wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def simulate(program, scenario, hours, repeat, extra=()):
    command = [program, "simulate", scenario, "--hours", str(hours), "--json", "--quiet", *extra]
    document, wall, cpu, memory = timed(command, repeat)
    gpu_windows = document["gpus"] * hours * 3600 / WINDOW_S
    return {"gpus": document["gpus"], "hours": hours, "wall_s": wall, "cpu_s": cpu, "events": document["events"],
            "events_per_s": document["events"] / cpu, "joule_rows": document["joule_rows"],
            "machine_hours_per_s": document["gpus"] * hours / cpu, "us_per_gpu_window": cpu / gpu_windows * 1e6,
            "max_rss_mib": memory, "conserved": document["conserved"]}


def growth(program, hours, factors, repeat):
    """The same hall, wider and wider; each also for a quarter of the hours, to tell start-up apart."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for factor in factors:
            path = Path(folder) / f"hall-{factor}.toml"
            path.write_text(widen(SCENARIO.read_text(), factor))
            run, short = (simulate(program, path, h, repeat) for h in (hours, hours / 4))
            windows = run["gpus"] * (run["hours"] - short["hours"]) * 3600 / WINDOW_S
            run["marginal_us_per_gpu_window"] = (run["cpu_s"] - short["cpu_s"]) / windows * 1e6
            runs.append(run)
    return runs


def jobs_alone(program, hours, repeat):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.toml"
        path.write_text(without_requests(SCENARIO.read_text()))
        return simulate(program, path, hours, repeat, ["--policies", "none"])


def simgrid(program, hours, repeat):
    """The hosts that jobs may use are the scenario's GPUs that train: half of them."""
    out = {}
    for name, extra in (("jobs_only", []), ("jobs_and_readings", ["--read", str(WINDOW_S)])):
        command = [program, "--hosts", "1024", "--job-hosts", "512", "--hours", str(hours), "--json", *extra]
        out[name], out[name]["wall_s"], _, out[name]["max_rss_mib"] = timed(command, repeat)
    return out


def line(run):
    return (f"{run['gpus']:6} GPUs {run['hours']:5g} h  {run['wall_s']:7.2f} s wall {run['cpu_s']:7.2f} s cpu  "
            f"{run['events_per_s']:12,.0f} events/s  {run['machine_hours_per_s']:9,.0f} GPU-hours/s  "
            f"{run['us_per_gpu_window']:6.2f} us per GPU and window  {run['max_rss_mib']:6.0f} MiB"
            + (f"  ({run['marginal_us_per_gpu_window']:.2f} us without start-up)"
               if "marginal_us_per_gpu_window" in run else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=ROOT / "build" / "perjoule", type=Path)
    parser.add_argument("--simgrid", type=Path, metavar="PROGRAM")
    parser.add_argument("--hours", type=float, default=72)
    parser.add_argument("--growth-hours", type=float, default=2)
    parser.add_argument("--factors", default="1,2,4,8,16", help="widths of the hall, in times 1,024 GPUs; empty: none")
    parser.add_argument("--store", action="store_true", help="write the store too, to a temporary folder")
    parser.add_argument("--policies", default="all", help="of the first run, as in perjoule simulate")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each kind; the fastest counts")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not args.program.exists():
        print(f"sim_speed: there is no {args.program}. Type ./dev build", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory() as folder:
        extra = ["--policies", args.policies]
        if args.store:
            extra += ["--store", f"{folder}/store", "--overwrite"]
        out = {"machine": machine(), "run": simulate(args.program, SCENARIO, args.hours, args.repeat, extra)}
        if args.store:
            files = [p for p in Path(folder).rglob("*") if p.is_file()]
            out["run"]["store_bytes"] = sum(p.stat().st_size for p in files)
    factors = [int(f) for f in args.factors.split(",") if f]
    if factors:
        out["growth"] = growth(args.program, args.growth_hours, factors, args.repeat)
        out["cost_ratio"] = out["growth"][-1]["us_per_gpu_window"] / out["growth"][0]["us_per_gpu_window"]
        key = "marginal_us_per_gpu_window"
        out["marginal_cost_ratio"] = out["growth"][-1][key] / out["growth"][0][key]
    if args.simgrid and args.simgrid.exists():
        out["jobs_alone"] = jobs_alone(args.program, args.hours, args.repeat)
        out["simgrid"] = simgrid(args.simgrid, args.hours, args.repeat)
        out["times_simgrid_jobs_only"] = out["run"]["cpu_s"] / out["simgrid"]["jobs_only"]["cpu_s"]
        out["times_simgrid_jobs_and_readings"] = out["run"]["cpu_s"] / out["simgrid"]["jobs_and_readings"]["cpu_s"]
        out["jobs_alone_times_simgrid"] = out["jobs_alone"]["cpu_s"] / out["simgrid"]["jobs_and_readings"]["cpu_s"]
    if args.json:
        print(json.dumps(out, indent=2))
    else:
        m = out["machine"]
        print(f"{m['cpu']}, {m['cores']} cores, {m['cores_used']} used; {m['compiler']}")
        for run in [out["run"], *out.get("growth", [])]:
            print(line(run))
        if factors:
            print(f"cost per GPU and window, widest to narrowest: {out['cost_ratio']:.2f} "
                  f"({out['marginal_cost_ratio']:.2f} without start-up)")
        for name, run in out.get("simgrid", {}).items():
            print(f"SimGrid, {name}: {run['cpu_s']:.2f} s, {run['max_rss_mib']:.0f} MiB, {run['events_per_s']:,.0f} events/s; "
                  f"perjoule takes {out['times_simgrid_' + name]:.2f} times that")
        if "jobs_alone" in out:
            print(line(out["jobs_alone"]))
            print(f"perjoule with the jobs alone: {out['jobs_alone_times_simgrid']:.2f} times SimGrid with readings")
    ours = [out["run"], *out.get("growth", []), *([out["jobs_alone"]] if "jobs_alone" in out else [])]
    good = all(r["conserved"] for r in ours)
    return 0 if good and all(r["right"] for r in out.get("simgrid", {}).values()) else 1


if __name__ == "__main__":
    sys.exit(main())
