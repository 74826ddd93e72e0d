#!/usr/bin/env python3
"""Arrows point only down: checks every include under src/ and apps/ against the declared modules.

A module is what perjoule_module(NAME .. LAYER .. DEPS ..) declares in a CMakeLists.txt; its folder is where that file
lies. CMake refuses a link edge upward; this script refuses what CMake cannot see:
  - an include of a module in the same or a higher layer (tests: in a higher layer);
  - an include of a module that is neither a declared dependency nor one of its dependencies;
  - a third-party header in a public header (types of others stay in .cc files), and an include of a
    *_include.hpp, which wraps such a header for .cc files, from another header.
"""
import re
import sys

from repository import ROOT, files, finish, relative

THIRD_PARTY = re.compile(r"^(fmt|CLI|toml\+\+|toml|nlohmann|Eigen|zstd|zlib|xxhash|liburing|boost|benchmark|simgrid|duckdb)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
KEYS = {"NAME", "LAYER", "DEPS", "SOURCES", "TESTS", "LIBS", "TEST_LIBS", "TEST_DEPS"}


def parse_arguments(text):
    """{'NAME': ['base'], 'DEPS': [...], ...} of one perjoule_module call."""
    out, key = {}, None
    for word in re.sub(r"#.*", "", text).split():
        if word in KEYS:
            key = word
            out[key] = []
        elif key:
            out[key].append(word)
    return out


def read_modules():
    """folder -> {name, layer, deps, test_deps}; the folder is relative to src/."""
    modules = {}
    for path in files(["src"], ("CMakeLists.txt",)):
        for call in re.findall(r"^\s*perjoule_module\(([^)]*)\)", path.read_text(), re.M):
            a = parse_arguments(call)
            folder = path.parent.relative_to(ROOT / "src").as_posix()
            modules[folder] = {"name": a["NAME"][0], "layer": int(a["LAYER"][0]), "deps": a.get("DEPS", []),
                               "test_deps": a.get("TEST_DEPS", [])}
    return modules


def reachable(modules, start):
    """Names of all modules that the given ones use, themselves included."""
    by_name = {m["name"]: m for m in modules.values()}
    seen, todo = set(), list(start)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += by_name[name]["deps"] if name in by_name else []
    return seen


def folder_of(modules, path):
    """The module folder that a path relative to src/ lies in: the longest match, or None."""
    matches = [f for f in modules if path.startswith(f + "/")]
    return max(matches, key=len, default=None)


def check_include(modules, owner, path, included):
    """The reason why a file of module folder `owner` may not include `included`, or None."""
    target = folder_of(modules, included)
    if target is None:
        return f"there is no declared module for '{included}'" if (ROOT / "src" / included).exists() else None
    if target == owner:
        return None
    me, other = modules[owner], modules[target]
    is_test = path.endswith("_test.cc")
    if other["layer"] > me["layer"] or (other["layer"] == me["layer"] and not is_test):
        return (f"{me['name']} (layer {me['layer']}) includes {other['name']} (layer {other['layer']}): "
                "arrows point only down")
    allowed = reachable(modules, me["deps"] + (me["test_deps"] if is_test else []))
    if other["name"] not in allowed:
        return f"{me['name']} includes {other['name']} without naming it in {'TEST_DEPS' if is_test else 'DEPS'}"
    return None


def check_file(modules, path):
    problems = []
    inside_src = relative(path).startswith("src/")
    public = path.suffix == ".hpp" and not path.name.endswith("_include.hpp")
    owner = folder_of(modules, path.relative_to(ROOT / "src").as_posix()) if inside_src else None
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        where, included = f"{relative(path)}:{number}", match.group(2)
        if inside_src and public and THIRD_PARTY.match(included):
            problems.append(f"{where}: a public header includes <{included}>; keep types of others in .cc files")
        if inside_src and included.endswith("_include.hpp") and path.suffix != ".cc":
            problems.append(f"{where}: {included} wraps a third-party header and is for .cc files alone")
        if owner:
            why = check_include(modules, owner, relative(path), included)
            if why:
                problems.append(f"{where}: {why}")
    if inside_src and owner is None:
        problems.append(f"{relative(path)}:1: lies in no declared module (perjoule_module in a CMakeLists.txt)")
    return problems


def main():
    modules = read_modules()
    problems = []
    paths = files(["src", "apps"], (".cc", ".hpp", ".h"))
    for path in paths:
        problems += check_file(modules, path)
    finish(problems, f"{len(paths)} files of {len(modules)} modules: arrows point only down")


if __name__ == "__main__":
    sys.exit(main())
