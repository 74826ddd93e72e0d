"""What the check scripts share: the root of the tree, its files, and one way to report."""
import os
import re
import sys
from pathlib import Path

ROOT = Path(os.environ.get("PERJOULE_CHECK_ROOT", Path(__file__).resolve().parent.parent))
CODE = (".cc", ".hpp", ".h")
SKIPPED = {".git", "node_modules", "__pycache__", "perjoule-store"}


def files(folders, suffixes):
    """Paths under the folders with one of the suffixes, sorted; build folders and caches left out."""
    found = []
    for folder in folders:
        for base, names, entries in os.walk(ROOT / folder):
            names[:] = [n for n in names if n not in SKIPPED and not re.match(r"build(-|$)", n)]
            found += [Path(base) / e for e in entries if e.endswith(suffixes)]
    return sorted(found)


def relative(path):
    return Path(path).relative_to(ROOT).as_posix()


def finish(problems, summary):
    """Prints every problem and the summary; the process's exit status is 1 if there was a problem."""
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems else summary)
    sys.exit(1 if problems else 0)
