#!/usr/bin/env python3
"""End to end: the real program against bad input, full disks, signals, closed pipes and other processes.

    PERJOULE=build/perjoule tests/e2e/run.py [PART OF A NAME ...]

Each case gets an empty folder. A case that this machine cannot show (no root, no tool) is counted as skipped.
Exit status: 0 all as expected, 1 otherwise.
"""
import concurrent.futures
import os
import pathlib
import sys
import tempfile
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness
import command_cases  # noqa: F401  the cases register themselves
import input_cases  # noqa: F401
import serve_cases  # noqa: F401
import shell_cases  # noqa: F401
import store_cases  # noqa: F401


def show(function, folder):
    """'' if the case holds, 'skipped: ...', or what went wrong."""
    folder.mkdir()
    try:
        function(folder)
        return ""
    except harness.Skip as skip:
        return f"skipped: {skip}"
    except AssertionError as wrong:
        return str(wrong)
    except Exception:  # a mistake of the case itself
        return traceback.format_exc()


def main(parts):
    if not os.access(harness.PROGRAM, os.X_OK):
        print(f"{harness.PROGRAM}: no program there. Build it, or set PERJOULE")
        return 1
    chosen = [c for c in harness.CASES if not parts or any(p in c.__name__ for p in parts)]
    failed = skipped = 0
    with tempfile.TemporaryDirectory() as root:
        harness.make_shared_store(pathlib.Path(root))
        folders = [pathlib.Path(root) / function.__name__ for function in chosen]
        # Most of the time is spent waiting for the disk, so there are more workers than cores.
        with concurrent.futures.ProcessPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
            results = list(pool.map(show, chosen, folders))
        for function, told in zip(chosen, results):
            if told:
                print(f"{function.__name__}: {told}")
            skipped += told.startswith("skipped")
            failed += bool(told) and not told.startswith("skipped")
    print(f"{len(chosen) - failed - skipped} of {len(chosen)} cases as expected, {skipped} skipped")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
