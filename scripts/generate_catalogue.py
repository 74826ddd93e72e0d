#!/usr/bin/env python3
"""Checks schema/signals.toml and writes the C++ tables and docs/signals.md from it.

  python3 scripts/generate_catalogue.py           write what is not fresh
  python3 scripts/generate_catalogue.py --check   write nothing; exit 1 with the names of the files that are not fresh

Exit 2 with every fault found when the catalogue itself is wrong.
"""
import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "schema/signals.toml"
NUMBERS = ROOT / "src/energy/generated/signal_numbers.hpp"
TABLES = ROOT / "src/energy/generated/signal_catalogue.inc"
PAGE = ROOT / "docs/signals.md"
COUNT = 127

KINDS = ("counter", "gauge", "event")
SAMPLINGS = ("fast", "medium", "slow")
DERIVES = ("value", "integrate", "difference")
DOMAINS = ("cpu", "dram", "gpu", "nic", "pcie", "disk", "fan", "psu", "board", "node")
VIAS = ("powercap", "perf", "hwmon", "sysfs", "procfs", "cgroup", "resctrl", "nvml", "gpm", "dcgm", "cupti", "amdsmi",
        "rocm", "roctracer", "dcmi", "cndev", "redfish", "ipmi")
# Published units, UCUM. The braces are UCUM annotations: a count of the thing named.
UNITS = ("J", "W", "V", "A", "Cel", "Hz", "%", "By", "s", "ns", "1", "{cycle}", "{instruction}", "{count}", "{error}",
         "{page}", "{flit}", "{tick}", "{rev}/min")
# Raw unit -> (dimension, size in the dimension's own unit). Counting units are written {size.unit}.
DIMENSIONS = {
    "J": ("energy", 1.0), "mJ": ("energy", 1e-3), "uJ": ("energy", 1e-6),
    "W": ("power", 1.0), "dW": ("power", 0.1), "mW": ("power", 1e-3), "uW": ("power", 1e-6),
    "V": ("voltage", 1.0), "mV": ("voltage", 1e-3), "A": ("current", 1.0), "mA": ("current", 1e-3),
    "Cel": ("temperature", 1.0), "mCel": ("temperature", 1e-3),
    "Hz": ("frequency", 1.0), "kHz": ("frequency", 1e3), "MHz": ("frequency", 1e6),
    "s": ("time", 1.0), "ms": ("time", 1e-3), "us": ("time", 1e-6), "ns": ("time", 1e-9),
    "By": ("bytes", 1.0), "KiBy": ("bytes", 1024.0), "MiBy": ("bytes", 1048576.0),
    "By/s": ("byte rate", 1.0), "MiBy/s": ("byte rate", 1048576.0),
    "1": ("ratio", 1.0), "%": ("ratio", 0.01), "{rev}/min": ("rotation", 1.0),
}
INTEGRAL_OF = {"power": "energy", "byte rate": "bytes"}
# Raw readings that are codes: they are published as the number 1 x code.
CODES = ("{text}", "{flag}", "{enum}", "{bitmask}", "{lane}")
NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
WRAP = re.compile(r"none|unknown|bits=(\d+)|file=([a-z_]+)")

SIGNAL_KEYS = {"number": int, "name": str, "title": str, "unit": str, "kind": str, "domain": str, "sampling": str,
               "scope": str, "sources": list}
SIGNAL_OPTIONAL = {"wrap": str, "overlap_group": str, "otel": str, "note": str}
SOURCE_KEYS = {"via": str, "path": str, "raw_unit": str, "scale": (int, float), "verified": bool}
SOURCE_OPTIONAL = {"label": str, "scale_file": str, "derive": str, "wrap": str, "note": str}


def dimension(unit):
    """(dimension, size) of a UCUM unit, or None when it is not known."""
    if unit in DIMENSIONS:
        return DIMENSIONS[unit]
    counting = re.fullmatch(r"\{([0-9.]+|2\^-\d+)\.([A-Za-z]+)\}", unit)
    if counting and counting.group(2) in DIMENSIONS:
        size = counting.group(1)
        number = 2.0 ** int(size[2:]) if size.startswith("2^") else float(size)
        name, base = DIMENSIONS[counting.group(2)]
        return name, number * base
    if unit in CODES:
        return "ratio", 1.0
    return (unit, 1.0) if unit in UNITS else None


def check_keys(where, table, required, optional):
    faults = [f"{where}: key '{k}' is missing" for k in required if k not in table]
    for key, value in table.items():
        kind = required.get(key, optional.get(key))
        if kind is None:
            faults.append(f"{where}: unknown key '{key}'; known: {', '.join([*required, *optional])}")
        elif not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            faults.append(f"{where}: '{key}' has the wrong type")
    return faults


def one_of(where, key, value, known):
    return [] if value in known else [f"{where}: {key} '{value}' is not one of: {', '.join(known)}"]


def check_scale(where, signal, source):
    """The scale must turn the raw unit into the published one, exactly as their sizes say."""
    raw, published = dimension(source["raw_unit"]), dimension(signal["unit"])
    if raw is None:
        return [f"{where}: raw_unit '{source['raw_unit']}' is not known"]
    if source.get("derive") == "integrate":
        raw = (INTEGRAL_OF.get(raw[0], "nothing"), raw[1])
    if raw[0] != published[0]:
        return [f"{where}: '{source['raw_unit']}' ({raw[0]}) cannot become '{signal['unit']}' ({published[0]})"]
    expected = raw[1] / published[1]
    if abs(source["scale"] - expected) > 1e-12 * expected:
        return [f"{where}: scale {source['scale']} from '{source['raw_unit']}' to '{signal['unit']}' must be {expected}"]
    return []


def check_source(where, signal, source):
    faults = check_keys(where, source, SOURCE_KEYS, SOURCE_OPTIONAL)
    if faults:
        return faults
    faults += one_of(where, "via", source["via"], VIAS)
    faults += one_of(where, "derive", source.get("derive", "value"), DERIVES)
    if "wrap" in source and (signal["kind"] != "counter" or not WRAP.fullmatch(source["wrap"])):
        faults.append(f"{where}: wrap '{source['wrap']}' (counters only; none, unknown, bits=N, file=NAME)")
    return faults + check_scale(where, signal, source)


def check_signal(signal, groups):
    where = f"signal {signal.get('number', '?')}"
    faults = check_keys(where, signal, SIGNAL_KEYS, SIGNAL_OPTIONAL)
    if faults:
        return faults
    where += f" {signal['name']}"
    if not NAME.fullmatch(signal["name"]):
        faults.append(f"{where}: a name is lower case with dots")
    for key, known in (("kind", KINDS), ("sampling", SAMPLINGS), ("domain", DOMAINS), ("unit", UNITS)):
        faults += one_of(where, key, signal[key], known)
    if (signal["kind"] == "counter") != ("wrap" in signal):
        faults.append(f"{where}: a counter states its wrap, and only a counter")
    elif "wrap" in signal and not WRAP.fullmatch(signal["wrap"]):
        faults.append(f"{where}: wrap '{signal['wrap']}' is not none, unknown, bits=N or file=NAME")
    if "overlap_group" in signal:
        faults += one_of(where, "overlap_group", signal["overlap_group"], tuple(groups))
    if not signal["sources"]:
        faults.append(f"{where}: no source")
    if signal["unit"] in UNITS:
        for i, source in enumerate(signal["sources"]):
            faults += check_source(f"{where} source {i + 1}", signal, source)
    return faults


def check_groups(catalogue):
    faults, seen = [], []
    for group in catalogue["overlap_group"]:
        where = f"overlap group {group.get('name', '?')}"
        faults += check_keys(where, group, {"name": str, "title": str}, {"inside": str})
        if group.get("name") in seen:
            faults.append(f"{where}: named twice")
        # Outer groups first, so the relation is a forest by construction.
        if "inside" in group:
            faults += one_of(where, "inside (declared before it)", group["inside"], seen)
        seen.append(group.get("name"))
        if not any(s.get("overlap_group") == group.get("name") for s in catalogue["signal"]):
            faults.append(f"{where}: no signal is in it")
    return faults


def check(catalogue):
    groups = [g.get("name") for g in catalogue["overlap_group"]]
    faults = check_groups(catalogue)
    for signal in catalogue["signal"]:
        faults += check_signal(signal, groups)
    numbers = [s.get("number") for s in catalogue["signal"]]
    if numbers != list(range(1, COUNT + 1)):
        faults.append(f"numbers must be 1..{COUNT} in order, each once")
    names = [s.get("name") for s in catalogue["signal"]]
    faults += [f"name '{n}' is used twice" for n in sorted({n for n in names if names.count(n) > 1})]
    return faults


def camel(text):
    return "k" + "".join(part[:1].upper() + part[1:] for part in re.split(r"[._]", text))


def cpp_text(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def cpp_wrap(signal, source):
    if signal["kind"] != "counter":
        return "{}"
    text = source.get("wrap", signal["wrap"])
    # A rate that we integrate ourselves has no counter to wrap.
    if source.get("derive") == "integrate":
        text = "none"
    match = WRAP.fullmatch(text)
    if match.group(1):
        return f"{{WrapKind::kBits, {match.group(1)}, {{}}}}"
    if match.group(2):
        return f"{{WrapKind::kRangeFile, 0, {cpp_text(match.group(2))}}}"
    return "{WrapKind::kNone, 0, {}}" if text == "none" else "{WrapKind::kUnknown, 0, {}}"


def cpp_source(signal, source):
    fields = [f"Via::{camel(source['via'])}", cpp_text(source["path"]), cpp_text(source.get("label", "")),
              cpp_text(source["raw_unit"]), repr(float(source["scale"])), cpp_text(source.get("scale_file", "")),
              f"Derive::{camel(source.get('derive', 'value'))}", cpp_wrap(signal, source),
              "true" if source["verified"] else "false", cpp_text(source.get("note", ""))]
    return "    {" + ", ".join(fields) + "},"


def inside(catalogue, inner, outer):
    """True when group `inner` lies strictly inside group `outer`."""
    parents = {g["name"]: g.get("inside") for g in catalogue["overlap_group"]}
    step = parents.get(inner)
    while step is not None and step != outer:
        step = parents.get(step)
    return step is not None


def contained(catalogue, signal):
    """Signals whose matter lies inside this one's."""
    group = signal.get("overlap_group")
    return [] if group is None else [s for s in catalogue["signal"] if inside(catalogue, s.get("overlap_group"), group)]


BANNER = "// Generated by scripts/generate_catalogue.py from schema/signals.toml. Do not edit.\n"


def numbers_header(catalogue):
    lines = [BANNER + "// One named constant per signal class; the value is the catalogue number. Thread rule: constants.",
             "#pragma once\n", "#include <cstdint>\n", "namespace perjoule::energy {\n",
             "enum class SignalNumber : std::uint16_t {"]
    lines += [f"  {camel(s['name'])} = {s['number']}," for s in catalogue["signal"]]
    return "\n".join(lines) + "\n};\n\n}  // namespace perjoule::energy\n"


def cpp_signal(catalogue, groups, signal):
    n = signal["number"]
    group = groups.index(signal["overlap_group"]) if "overlap_group" in signal else "kNoOverlapGroup"
    parts = f"kContains{n}" if contained(catalogue, signal) else "{}"
    fields = [f"SignalNumber::{camel(signal['name'])}", cpp_text(signal["name"]), cpp_text(signal["title"]),
              cpp_text(signal["unit"]), f"SignalKind::{camel(signal['kind'])}", f"SignalDomain::{camel(signal['domain'])}",
              f"Sampling::{camel(signal['sampling'])}", cpp_text(signal["scope"]), str(group), f"kSources{n}", parts,
              cpp_text(signal.get("otel", "")), cpp_text(signal.get("note", ""))]
    return "    {" + ", ".join(fields) + "},"


def tables(catalogue):
    groups = [g["name"] for g in catalogue["overlap_group"]]
    lines = [BANNER + "// Included once, by signal_catalogue.cc."]
    for signal in catalogue["signal"]:
        lines.append(f"constexpr SourceInfo kSources{signal['number']}[] = {{")
        lines += [cpp_source(signal, s) for s in signal["sources"]] + ["};"]
    for signal in catalogue["signal"]:
        parts = ", ".join(f"SignalNumber::{camel(s['name'])}" for s in contained(catalogue, signal))
        if parts:
            lines.append(f"constexpr SignalNumber kContains{signal['number']}[] = {{{parts}}};")
    lines.append("constexpr OverlapGroup kOverlapGroups[] = {")
    for group in catalogue["overlap_group"]:
        outer = groups.index(group["inside"]) if "inside" in group else "kNoOverlapGroup"
        lines.append(f"    {{{cpp_text(group['name'])}, {cpp_text(group['title'])}, {outer}}},")
    lines += ["};", "constexpr SignalInfo kSignals[] = {"]
    lines += [cpp_signal(catalogue, groups, s) for s in catalogue["signal"]]
    return "\n".join(lines + ["};"]) + "\n"


def cell(text):
    return text.replace("|", "\\|")


def source_text(signal, source):
    text = f"{source['via']} `{cell(source['path'])}`"
    if "label" in source:
        text += f" [{source['label']}]"
    if source["raw_unit"] != signal["unit"]:
        text += f" `{source['raw_unit']}` x {source['scale']:.12g}"
    if source.get("derive", "value") != "value":
        text += f", {source['derive']}"
    if "wrap" in source and source["wrap"] != signal["wrap"]:
        text += f", wrap {source['wrap']}"
    if not source["verified"]:
        text += ", **unverified**"
    return text + (f" ({cell(source['note'])})" if "note" in source else "")


def page_row(catalogue, signal):
    kind = signal["kind"] + (f", wrap {signal['wrap']}" if "wrap" in signal else "")
    sources = "<br>".join(source_text(signal, s) for s in signal["sources"])
    title = cell(signal["title"]) + (f". {cell(signal['note'])}" if "note" in signal else "")
    return (f"| {signal['number']} | `{signal['name']}` | {title} | `{signal['unit']}` | {kind} | {signal['sampling']} | "
            f"{signal['scope']} | {signal.get('overlap_group', '')} | {sources} |")


def group_row(catalogue, group):
    members = ", ".join(f"`{s['name']}`" for s in catalogue["signal"] if s.get("overlap_group") == group["name"])
    return f"| {group['name']} | {cell(group['title'])} | {group.get('inside', '')} | {members} |"


def page(catalogue):
    sources = [s for signal in catalogue["signal"] for s in signal["sources"]]
    unverified = sum(not s["verified"] for s in sources)
    lines = ["# The signal catalogue", "",
             "<!-- Generated by scripts/generate_catalogue.py from schema/signals.toml. Do not edit. -->", "",
             f"{len(catalogue['signal'])} signal classes with {len(sources)} sources, {unverified} of them unverified (named in a "
             "text other than the vendor's header or the kernel's documents, or of a unit nobody confirmed). Most are absent "
             "on a given node. Units are UCUM, as published: raw value x scale. Sampling: fast 10-100 ms, medium 1 s, slow "
             "10-60 s. In paths, capital letters such as N, IF, BDF stand for the instance.", "",
             "## What may be added", "",
             "Signals of one overlap group measure the same matter: use one. Two signals may be added when neither group is, "
             "or lies inside, the other's. A signal without a group may be added to any of its unit.", "",
             "| group | what | inside | signals |", "|---|---|---|---|"]
    lines += [group_row(catalogue, g) for g in catalogue["overlap_group"]]
    for domain in DOMAINS:
        rows = [page_row(catalogue, s) for s in catalogue["signal"] if s["domain"] == domain]
        lines += ["", f"## {domain}", "",
                  "| no. | name | what | unit | kind | sampling | one per | overlap group | sources, best first |",
                  "|---|---|---|---|---|---|---|---|---|"] + rows
    return "\n".join(lines) + "\n"


def main(arguments):
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        catalogue = tomllib.loads(SOURCE.read_text())
    except tomllib.TOMLDecodeError as error:
        print(f"{SOURCE.relative_to(ROOT)}: {error}", file=sys.stderr)
        return 2
    faults = check(catalogue)
    for fault in faults:
        print(f"{SOURCE.relative_to(ROOT)}: {fault}", file=sys.stderr)
    if faults:
        return 2
    outputs = {NUMBERS: numbers_header(catalogue), TABLES: tables(catalogue), PAGE: page(catalogue)}
    stale = [p for p, text in outputs.items() if not p.exists() or p.read_text() != text]
    for path in stale:
        if arguments:
            print(f"{path.relative_to(ROOT)}: not fresh; type: python3 scripts/generate_catalogue.py", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(outputs[path])
    return 1 if arguments and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
