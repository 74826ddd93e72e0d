#!/usr/bin/env python3
"""Words and calls that must not be in the tree: unfinished work, one machine's paths, and hidden time or chance.

Time and randomness are injected (base/clock.hpp, base/rng.hpp), so that a seed reproduces a run byte for byte; only
src/base may ask the system for them. Tests never sleep.
"""
import re

from repository import CODE, ROOT, files, finish, relative

TEXTS = CODE + (".md", ".py", ".sh", ".toml", ".txt", ".cmake", ".json")
TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CMakeLists.txt", "dev", "data/README.md")
# Written in two pieces, so that this file passes its own check.
EVERYWHERE = [
    (re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b"), "unfinished work: finish it or say it in the docs"),
    (re.compile(r"\bfor n" r"ow\b", re.I), "say what is, not what is meant to come"),
    (re.compile(r"(?<![\w.$}*-])/(home|root|work|Users)/\w"), "a path of one machine"),
    (re.compile(r"https?://(pypi\.|files\.pythonhosted|registry\.|deb\.debian|security\.debian)"),
     "a package host: use the clients as configured"),
]
IN_CODE = [
    (re.compile(r"_clock::now\s*\(|\b(gettimeofday|clock_gettime)\s*\(|\bstd::time\s*\("), "time is injected: base/clock.hpp"),
    (re.compile(r"\bstd::random_device\b|(?<![\w.>:])s?rand\s*\("), "randomness is injected: base/rng.hpp"),
]
# A test may seed an engine of its own; the product may not.
IN_PRODUCT = [(re.compile(r"\bstd::(mt19937|default_random_engine)"), "randomness is injected: base/rng.hpp")]
IN_TESTS = [(re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep)\s*\("), "a test that waits; use the virtual clock")]


def rules_for(path):
    name = relative(path)
    rules = list(EVERYWHERE)
    if path.suffix in CODE and name.startswith(("src/", "apps/")) and not name.startswith("src/base/"):
        rules += IN_CODE
    if path.suffix in CODE and name.endswith("_test.cc"):
        rules += IN_TESTS
    elif len(rules) > len(EVERYWHERE):
        rules += IN_PRODUCT
    return rules


def main():
    problems = []
    folders = ["src", "apps", "bench", "fuzz", "tests", "scripts", "docs", "cmake", "schema", "examples", "python"]
    paths = files(folders, TEXTS) + [ROOT / name for name in TOP if (ROOT / name).exists()]
    for path in paths:
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            for pattern, why in rules_for(path):
                match = pattern.search(line)
                if match and "words-ok" not in line:
                    problems.append(f"{relative(path)}:{number}: '{match.group(0)}': {why}")
    finish(problems, f"{len(paths)} files without forbidden words or calls")


if __name__ == "__main__":
    main()
