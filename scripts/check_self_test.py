#!/usr/bin/env python3
"""The checks themselves: each must pass on a small good tree and fail, with the right line, when one thing is spoilt."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
GOOD = {
    "src/base/CMakeLists.txt": "perjoule_module(NAME base LAYER 0\n  SOURCES a.cc)\n",
    "src/base/a.hpp": "int a();\n",
    "src/base/a.cc": '#include "base/a.hpp"\nint a() { return 1; }\n',
    "src/math/CMakeLists.txt": "perjoule_module(NAME math LAYER 1 DEPS base)\n",
    "src/math/m.hpp": '#include "base/a.hpp"\n',
    "src/energy/CMakeLists.txt": "perjoule_module(NAME energy LAYER 1\n  DEPS base)\n",
    "src/energy/e.hpp": "#include <string>\n",
    "src/plant/CMakeLists.txt": "perjoule_module(NAME plant LAYER 2 DEPS energy)\n",
    "src/plant/p.cc": '#include "base/a.hpp"\n#include "energy/e.hpp"\n',
    "README.md": "# Top\n\nSee [the rest](docs/more.md#a-part), [below](#top).\n",
    "docs/more.md": "# More\n\n## A `part`!\n\n```\n[not](a-link.md)\n```\n",
}
SPOILT = [  # check, file, new text, what must be printed
    ("layers", "src/base/a.cc", '\n#include "plant/p.hpp"\n', "src/base/a.cc:2: base (layer 0) includes plant (layer 2)"),
    ("layers", "src/math/m.hpp", '#include "energy/e.hpp"\n', "src/math/m.hpp:1: math (layer 1) includes energy (layer 1)"),
    ("layers", "src/plant/p.cc", '#include "math/m.hpp"\n', "src/plant/p.cc:1: plant includes math without naming it"),
    ("layers", "src/energy/e.hpp", "#include <nlohmann/json.hpp>\n", "src/energy/e.hpp:1: a public header includes"),
    ("layers", "src/plant/p.hpp", '#include "energy/t_include.hpp"\n', "src/plant/p.hpp:1: energy/t_include.hpp wraps"),
    ("layers", "src/lost/x.cc", "int x;\n", "src/lost/x.cc:1: lies in no declared module"),
    ("words", "src/plant/p.cc", "// TO" "DO later\n", "src/plant/p.cc:1: 'TO" "DO'"),
    ("words", "src/plant/p.cc", "auto t = std::chrono::steady_clock::now();\n", "src/plant/p.cc:1:"),
    ("words", "src/plant/p.cc", "int r = rand();\n", "randomness is injected"),
    ("words", "src/plant/p.cc", "std::mt19937 engine(1);\n", "randomness is injected"),
    ("words", "src/plant/p_test.cc", "sleep_for(1s);\n", "a test that waits"),
    ("words", "docs/more.md", "Look in /ho" "me/someone/x\n", "docs/more.md:1:"),
    ("sizes", "src/plant/p.cc", "int f(int a) {\n" + "  a += 1;\n" * 60 + "  return a;\n}\n", "src/plant/p.cc:1: a function of 63"),
    ("sizes", "src/plant/p.cc", "int x;\n" * 801, "src/plant/p.cc:1: 801 lines"),
    ("links", "README.md", "[gone](docs/gone.md)\n", "README.md:1: (docs/gone.md): no such file"),
    ("links", "README.md", "\n[gone](docs/more.md#nowhere)\n", "README.md:2: (docs/more.md#nowhere): no heading"),
]


def write(root, tree):
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run(check, tree):
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), tree)
        done = subprocess.run([sys.executable, SCRIPTS / f"check_{check}.py"], text=True, capture_output=True,
                              env=dict(os.environ, PERJOULE_CHECK_ROOT=folder))
        return done.returncode, done.stdout + done.stderr


def main():
    failures = []
    for check in sorted({s[0] for s in SPOILT}):
        status, text = run(check, GOOD)
        if status != 0:
            failures.append(f"check_{check} refuses the good tree:\n{text}")
    long_but_reasoned = "// Long because the table is one thing.\n" + "int x;\n" * 801
    if run("sizes", GOOD | {"src/plant/p.cc": long_but_reasoned})[0] != 0:
        failures.append("check_sizes refuses a long file that gives its reason")
    for check, name, spoilt, expected in SPOILT:
        status, text = run(check, GOOD | {name: spoilt})
        if status != 1 or expected not in text:
            failures.append(f"check_{check} with a spoilt {name}: expected '{expected}', got status {status}:\n{text}")
    print("\n".join(failures) or f"{len(SPOILT)} spoilt trees were found out")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
