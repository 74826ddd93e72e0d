#!/usr/bin/env python3
"""Writes the demo's first screen into README.md, or with --check says whether it is the one there.

The screen is that of `perjoule demo` (PERJOULE, default build/perjoule); what the place of the program decides is written
as `./dev demo` prints it. Exit status: 0 fresh or written, 1 stale, 77 there is no program.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- demo screen: begin (written by scripts/generate_readme_screen.py) -->", "<!-- demo screen: end -->"


def screen(program):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([program, "demo", "--quiet", "--store", f"{folder}/store"], cwd=ROOT, text=True, check=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    text = done.stdout.replace(f"{folder}/store", "perjoule-store")
    return re.sub(r"^  \S*perjoule (explain|top|report)", r"  build/perjoule \1", text, flags=re.M).rstrip()


def main():
    program = os.environ.get("PERJOULE", str(ROOT / "build" / "perjoule"))
    if not os.access(program, os.X_OK):
        print(f"{program}: no program there. Type ./dev build", file=sys.stderr)
        return 77
    path = ROOT / "README.md"
    old = path.read_text(encoding="utf-8")
    before, rest = old.split(BEGIN)
    after = rest.split(END)[1]
    new = f"{before}{BEGIN}\n\n```text\n{screen(program)}\n```\n\n{END}{after}"
    if new == old:
        return 0
    if "--check" in sys.argv:
        print("README.md: the demo's screen is stale. Type scripts/generate_readme_screen.py", file=sys.stderr)
        return 1
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
