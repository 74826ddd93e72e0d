#!/usr/bin/env python3
"""The documents' commands are real.

In every Markdown file, each line of a ```sh block that begins with `perjoule`, `build/perjoule` or `./dev` must name a
command that exists (`./dev help`, `perjoule NAME --help`). Blocks whose fence says ```sh run are executed, in order, in one
empty folder per document, and must succeed. Packages that ./dev may install must have a line in dependencies.md.
The program comes from $PERJOULE (build/perjoule); without it only ./dev commands are checked.
"""
import os
import re
import shlex
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from repository import ROOT, files, finish, relative

PROGRAM = Path(os.environ.get("PERJOULE", ROOT / "build" / "perjoule"))
FENCE = re.compile(r"^```sh\b(?P<info>[^\n]*)\n(?P<body>.*?)^```\s*$", re.S | re.M)
SECONDS = 120


@lru_cache
def dev_commands():
    text = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  ([a-z]+)\b", text, re.M))


@lru_cache
def program_knows(command):
    done = subprocess.run([PROGRAM, *command.split(), "--help"], capture_output=True, text=True, timeout=30)
    return done.returncode == 0


def commands(body):
    """(line offset, command) of a block: continuation lines joined, prompts and comments dropped."""
    joined, start = "", 0
    for offset, line in enumerate(body.splitlines()):
        start = start if joined else offset
        joined += line.strip().removeprefix("$ ")
        if joined.endswith("\\"):
            joined = joined[:-1] + " "
            continue
        if joined and not joined.startswith("#"):
            yield start, joined
        joined = ""


def check_command(command):
    """The reason why the command cannot be typed as it stands, or None."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError as error:
        return f"not a shell command: {error}"
    if not words or words[0] not in ("perjoule", "build/perjoule", "./dev"):
        return None
    name = words[1] if len(words) > 1 else ""
    if words[0] == "./dev":
        return None if name in dev_commands() else f"./dev has no command '{name}'"
    if not PROGRAM.exists() or name.startswith("-") or not name:
        return None
    return None if program_knows(name) else f"perjoule has no command '{name}'"


def run_block(body, folder):
    """The failure of the block as text, or None. The program and its data are found as in the root of a clone."""
    environment = dict(os.environ, PATH=f"{PROGRAM.parent}:{os.environ['PATH']}", NO_COLOR="1")
    try:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", body], cwd=folder, env=environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"did not end within {SECONDS} s"
    return None if done.returncode == 0 else f"exit status {done.returncode}:\n{done.stdout[-2000:]}"


def check_document(path):
    problems, run = [], 0
    text = path.read_text()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("data", "examples", "build"):
            if (ROOT / name).exists():
                os.symlink(ROOT / name, Path(folder) / name)
        for match in FENCE.finditer(text):
            first = text.count("\n", 0, match.start()) + 2
            for offset, command in commands(match["body"]):
                why = check_command(command)
                if why:
                    problems.append(f"{relative(path)}:{first + offset}: {command}: {why}")
            if match["info"].strip() == "run" and PROGRAM.exists():
                run += 1
                why = run_block(match["body"], folder)
                if why:
                    problems.append(f"{relative(path)}:{first}: {why}")
    return problems, run


def check_packages():
    """Names that ./dev may install and docs/design/dependencies.md does not explain."""
    document = ROOT / "docs" / "design" / "dependencies.md"
    known = document.read_text() if document.exists() else ""
    lines = subprocess.run([ROOT / "dev", "packages"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [f"{relative(document)}:1: no line for the package {name}" for name in (l.split("|")[0] for l in lines)
            if f"`{name}`" not in known]


def main():
    problems, run = check_packages(), 0
    paths = files(["."], (".md",))
    for path in paths:
        found, done = check_document(path)
        problems += found
        run += done
    finish(problems, f"commands in {len(paths)} documents exist; {run} blocks were run")


if __name__ == "__main__":
    main()
