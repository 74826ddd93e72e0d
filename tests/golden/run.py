#!/usr/bin/env python3
"""Runs the golden scenarios beside this file: a scenario and what comes out of it, compared line by line.

    PERJOULE=build/perjoule tests/golden/run.py [--update] [NAME ...]

A scenario is NAME.golden: a TOML scenario, a line `----`, the expected lines. Comment lines of the TOML part that begin
with `# args:` add arguments of `perjoule simulate`, `# expect-error exit=N` expects that exit status and the text of
standard error. Files under the repository's data/ are named as "data/...". See README.md.
Exit status: 0 all as expected, 1 differences, 2 a scenario that cannot be read.
"""
import argparse
import difflib
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SEPARATOR = "----"


class Golden:
    def __init__(self, path):
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines()
        if SEPARATOR not in lines:
            raise ValueError(f"{path}: there is no line '{SEPARATOR}'")
        at = lines.index(SEPARATOR)
        self.toml, self.expected = lines[:at], lines[at + 1:]
        self.args, self.exit = [], 0
        for line in self.toml:
            if line.startswith("# args:"):
                self.args += shlex.split(line.removeprefix("# args:"))
            error = re.fullmatch(r"# expect-error exit=(\d+)", line)
            if error:
                self.exit = int(error.group(1))

    def run(self, binary):
        """The lines that come out, and the exit status."""
        with tempfile.TemporaryDirectory() as folder:
            scenario = pathlib.Path(folder) / "scenario.toml"
            scenario.write_text("\n".join(self.toml) + "\n", encoding="utf-8")
            (pathlib.Path(folder) / "data").symlink_to(ROOT / "data")
            command = [binary, "simulate", str(scenario), "--golden", *self.args]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            text = done.stdout if self.exit == 0 and done.returncode == 0 else done.stderr
            text = text.replace(str(scenario), "SCENARIO").replace(folder, "FOLDER")
            return text.splitlines(), done.returncode

    def update(self, lines):
        self.path.write_text("\n".join([*self.toml, SEPARATOR, *lines]) + "\n", encoding="utf-8")


def check(golden, binary, update):
    """True if as expected (or rewritten)."""
    lines, status = golden.run(binary)
    name = golden.path.stem
    if status != golden.exit:
        print(f"{name}: exit status {status}, expected {golden.exit}")
        print("\n".join("    " + line for line in lines))
        return False
    if lines == golden.expected:
        return True
    if update:
        golden.update(lines)
        print(f"{name}: rewritten")
        return True
    print("\n".join(difflib.unified_diff(golden.expected, lines, f"{name} expected", f"{name} now", lineterm="", n=1)))
    return False


def main():
    parser = argparse.ArgumentParser(description="Runs the golden scenarios.")
    parser.add_argument("names", nargs="*", help="scenarios without .golden (default: all)")
    parser.add_argument("--update", action="store_true", help="rewrite the expected lines; read the difference before committing")
    args = parser.parse_args()
    binary = os.path.abspath(os.environ.get("PERJOULE", str(ROOT / "build" / "perjoule")))
    if not os.access(binary, os.X_OK):
        print(f"{binary}: no program there. Build it, or set PERJOULE", file=sys.stderr)
        return 2
    paths = [HERE / f"{n}.golden" for n in args.names] or sorted(HERE.glob("*.golden"))
    try:
        goldens = [Golden(path) for path in paths]
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    bad = sum(not check(golden, binary, args.update) for golden in goldens)
    print(f"{len(goldens) - bad} of {len(goldens)} golden scenarios as expected")
    return 1 if bad or not goldens else 0


if __name__ == "__main__":
    sys.exit(main())
