"""Files that the program is given: scenarios, traces, carbon, weather. Nothing may be written from bad ones."""
import gzip
import os
import random

from harness import ROOT, SCENARIO, case, changed, check, files, good, refused, run, scenario


def bad_scenario(folder, text, *says, status=2, name="scenario.toml"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = files(folder)
    done = refused(status, "simulate", path, "--store", folder / "store", says=says)
    check(files(folder) == before, f"something was written: {files(folder)}", done)
    refused(status, "config", "check", path)
    return done


@case
def scenario_mistakes_name_line_and_column(folder):
    for old, new, *says in (
            ('length = "10m"', 'lenght = "10m"', r"scenario\.toml:3:1", "unknown key 'lenght'", "Did you mean 'length'"),
            ('length = "10m"', 'length = "10 furlongs"', r"scenario\.toml:3:10", "furlongs"),
            ('length = "10m"', "hours = 0", r"scenario\.toml:3:9", "above 0"),
            ('length = "10m"', "hours = 1e300", r":3:9", "at most 8784"),
            ('length = "10m"', "hours = nan", r":3:9", "nan"),
            ('length = "10m"', 'length = "-10m"', r":3:10"),
            ('length = "10m"', 'length = "10m"\nseed = -1', r":4:8", "seed"),
            ('feed = "feed-a"\n', "", "feed"),
            ('g_per_kwh = 400', "g_per_kwh = -1", r":5:\d+", "g_per_kwh"),
            ('g_per_kwh = 400', "g_per_kwh = nan", r":5:\d+", "nan"),
            ('role = "serve"', 'role = "serve"\n[[node]]\nname = "serve-1"\nrack = "rack-1"\nrole = "serve"', "twice"),
            ('role = "serve"', 'role = "serve"\ncount = 1000000000', r":15:9", "count"),
            ('role = "serve"', 'role = "serve"\ncount = 9223372036854775808', r":15:\d+"),
            ('role = "serve"', 'role = "serve"\ngpus = -1', r":15:8", "gpus"),
            ('at = "10s"', 'at = "-10s"', r":20:\d+"),
            ('input = 500', "input = 0", r":20:\d+", "input"),
            ('input = 500', "input = 9000000000000000000", r":20:\d+", "input"),
            ('start = "2026-05-01T00:00:00Z"', 'start = "9999-01-01T00:00:00Z"', r":2:9"),
            ('start = "2026-05-01T00:00:00Z"', 'start = "2026-02-30T00:00:00Z"', r":2:9"),
    ):
        bad_scenario(folder, changed(old, new), *says)


@case
def scenario_that_is_no_text(folder):
    bad_scenario(folder, random.Random(1).randbytes(65536), r"scenario\.toml")
    bad_scenario(folder, SCENARIO.encode() + b"\x00\x00", r"scenario\.toml")
    bad_scenario(folder, SCENARIO.replace("small", "sm\x00all").encode(), r"scenario\.toml:1")
    bad_scenario(folder, b'name = "\xff\xfe"\n' + SCENARIO.encode(), r"scenario\.toml:1")
    bad_scenario(folder, b"", r"scenario\.toml")
    bad_scenario(folder, "[" * 100000, r"scenario\.toml:1")
    bad_scenario(folder, "a = " + "[" * 100000, r"scenario\.toml:1")
    bad_scenario(folder, "a" + ".a" * 100000 + " = 1", r"scenario\.toml:1")
    bad_scenario(folder, "x = {" * 5000, r"scenario\.toml:1")


@case
def scenario_too_large(folder):
    path = folder / "large.toml"
    with path.open("wb") as out:
        out.truncate(100 << 20)
    for command in (("simulate",), ("config", "check")):
        refused(2, *command, path, says=("16 MiB|larger than",))


@case
def scenario_is_no_file(folder):
    refused(2, "simulate", folder, says=("folder",))
    refused(3, "simulate", folder / "none.toml", says=("none.toml",))
    (folder / "loop").symlink_to(folder / "loop")
    refused(3, "simulate", folder / "loop", says=("loop",))
    refused(3, "config", "check", folder / "loop", says=("loop",))


@case
def hours_and_other_numbers_of_the_command_line(folder):
    path = scenario(folder)
    for arguments, *says in (
            (("--hours", "0"), "0"), (("--hours", "-1"), "-1"), (("--hours", "nan"), "nan"), (("--hours", "inf"), "inf"),
            (("--hours", "1e18"), "8784"), (("--hours", "many"), "many"), (("--hours", "0.000001"), "hours|window"),
            (("--seed", "-1"), "-1"), (("--seed", "1.5"), "1.5"), (("--seed", "99999999999999999999"), "9999"),
            (("--threads", "0"), "threads"), (("--threads", "65"), "threads"), (("--threads", "-1"), "threads"),
            (("--policies", "sleep=nothing"), "nothing"), (("--policies", ""), "polic"), (("--policies", "cap,,"), "polic"),
    ):
        refused(2, "simulate", path, "--store", folder / "store", *arguments, says=says)
    check(files(folder) == ["scenario.toml"], f"something was written: {files(folder)}")


@case
def demo_refuses_absurd_hours(folder):
    for hours in ("0", "-3", "1e9", "nan"):
        refused(2, "demo", "--store", folder / "store", "--hours", hours, says=("hours",))
    check(not files(folder), "something was written")


def imported(folder, status, name, content, fmt, *options, says=()):
    path = folder / name
    path.write_bytes(content)
    before = files(folder)
    if status == 0:
        done = good("import", fmt, path, *options)
    else:
        done = refused(status, "import", fmt, path, *options, says=says)
        check(files(folder) == before, f"something was written: {files(folder)}", done)
    return done


@case
def request_traces(folder):
    head = b"TIMESTAMP,ContextTokens,GeneratedTokens\n"
    row = b"2023-11-16 18:15:46.6805900,374,44\n"
    imported(folder, 2, "a.csv", b"TIMESTAMP,ContextTokens\n1,2\n", "azure-llm", says=(r"a\.csv:1", "GeneratedTokens"))
    imported(folder, 2, "b.csv", head + row + b"2023-11-16 18:15:45.0,374,44\n", "azure-llm", says=(r"b\.csv:3", "back"))
    imported(folder, 2, "c.csv", head + row + b"2023-11-16 18:15:47.0,374\n", "azure-llm", says=(r"c\.csv:3",))
    imported(folder, 2, "d.csv", head + row + b"2023-11-16 18:15:47.0,-1,44\n", "azure-llm", says=(r"d\.csv:3",))
    imported(folder, 2, "e.csv", head + row + b"2023-11-16 18:15:47.0,nan,44\n", "azure-llm", says=(r"e\.csv:3",))
    imported(folder, 2, "f.csv", b"", "azure-llm", says=(r"f\.csv", "empty|no "))
    imported(folder, 2, "g.csv", head, "azure-llm", says=(r"g\.csv",))
    imported(folder, 2, "h.csv", b"\x00\xff" * 500, "azure-llm", says=(r"h\.csv",))
    imported(folder, 2, "i.jsonl", b'{"timestamp": 0}\n', "mooncake", says=(r"i\.jsonl:1",))
    imported(folder, 2, "j.jsonl", b"[" * 100000, "mooncake", says=(r"j\.jsonl:1",))
    imported(folder, 2, "k.csv", b"arrival_time,length,cpus\n5,1,1\n4,1,1\n", "gaia-1k", says=(r"k\.csv:3", "back"))
    imported(folder, 2, "l.csv", head + row, "azure", says=("azure-llm",))
    imported(folder, 0, "m.csv", head + row, "azure-llm")


@case
def gzip_files_that_are_empty_or_cut(folder):
    whole = (ROOT / "data/llm/AzureLLMInferenceTrace_conv.csv.gz").read_bytes()
    imported(folder, 2, "empty.csv.gz", gzip.compress(b""), "azure-llm", says=(r"empty\.csv\.gz",))
    imported(folder, 2, "nothing.csv.gz", b"", "azure-llm", says=(r"nothing\.csv\.gz",))
    imported(folder, 2, "cut.csv.gz", whole[:len(whole) // 2], "azure-llm", says=(r"cut\.csv\.gz", "byte|cut|end"))
    imported(folder, 2, "short.csv.gz", whole[:-4], "azure-llm", says=(r"short\.csv\.gz",))
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x10
    imported(folder, 2, "flipped.csv.gz", bytes(flipped), "azure-llm", says=(r"flipped\.csv\.gz",))


def carbon(rows):
    return b"timestamp_utc,g_per_kwh\n" + b"".join(b"2022-01-01T%02d:00:00Z,%s\n" % r for r in rows)


@case
def carbon_hours(folder):
    wanted = ("--region", "FR")
    imported(folder, 0, "whole.csv", carbon((h, b"50") for h in range(24)), "opendc-carbon", *wanted)
    done = imported(folder, 0, "gap.csv", carbon((h, b"50") for h in range(24) if h not in (7, 8)), "opendc-carbon", *wanted)
    check("missing" in done.out or "gap" in done.out or "rejected" in done.out, "the gap should be named", done)
    imported(folder, 2, "back.csv", carbon([(1, b"50"), (0, b"50")]), "opendc-carbon", *wanted, says=(r"back\.csv:3",))
    imported(folder, 2, "nan.csv", carbon([(0, b"50"), (1, b"nan")]), "opendc-carbon", *wanted, says=(r"nan\.csv:3",))
    imported(folder, 2, "minus.csv", carbon([(0, b"50"), (1, b"-5")]), "opendc-carbon", *wanted, says=(r"minus\.csv:3",))
    imported(folder, 2, "noregion.csv", carbon([(0, b"50")]), "opendc-carbon", says=("region",))


@case
def carbon_hour_of_partial_generation(folder):
    text = gzip.decompress((ROOT / "data/carbon/dcrl_PJM_2022.csv.gz").read_bytes()).decode().splitlines()
    fields = text[30].split(",")
    fields = [fields[0]] + ["" if i % 2 else f for i, f in enumerate(fields[1:])]
    part = "\n".join(text[:30] + [",".join(fields)] + text[31:100]) + "\n"
    path = folder / "part.csv"
    path.write_text(part)
    done = run("import", "dcrl-carbon", path, "--region", "PJM")
    told = done.out + done.err
    check(done.status in (0, 2) and ("rejected part.csv" in told or "part.csv:31" in told), "the hour should be named", done)
    check(done.status == 0 or files(folder) == ["part.csv"], "something was written", done)


@case
def weather_of_8759_hours(folder):
    text = gzip.decompress((ROOT / "data/weather/USA_CA_San.Jose-Mineta.epw.gz").read_bytes())
    lines = text.splitlines(keepends=True)
    (folder / "short.epw").write_bytes(b"".join(lines[:-1]))
    (folder / "cut.epw").write_bytes(text[:len(text) // 3])
    (folder / "none.epw").write_bytes(b"")
    for name, says in (("short.epw", "8,?759"), ("cut.epw", "cut.epw"), ("none.epw", "none.epw")):
        scenario(folder, changed("[site]", f'[site]\nweather = "{name}"'))
        refused(2, "simulate", folder / "scenario.toml", says=(says,))


@case
def traces_that_a_scenario_names(folder):
    base = changed('list = [{ at = "10s", input = 500, output = 100 }]', 'file = "t.csv"\nformat = "azure"')
    head = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    (folder / "t.csv").write_text(head + "2023-11-16 18:15:46,1,1\n2023-11-16 18:15:45,1,1\n")
    refused(2, "simulate", scenario(folder, base), says=(r"t\.csv:3", "back"))
    (folder / "t.csv").unlink()
    refused(3, "simulate", scenario(folder, base), says=(r"scenario\.toml:\d+:\d+", r"t\.csv"))
    (folder / "t.csv").mkdir()
    refused(2, "simulate", scenario(folder, base), says=(r"t\.csv", "folder"))


@case
def power_tables(folder):
    good("calibrate", "power", ROOT / "data/power/zeus_summary_power_v100.csv.gz")
    path = folder / "p.csv"
    text = gzip.decompress((ROOT / "data/power/zeus_summary_power_v100.csv.gz").read_bytes()).decode()
    header, first, *rest = text.splitlines()
    power = next(i for i, name in enumerate(header.split(",")) if "power" in name and "limit" not in name)
    for wrong in ("-5", "nan", "inf", "", "x"):
        cells = first.split(",")
        cells[power] = wrong
        path.write_text("\n".join([header, ",".join(cells), *rest]) + "\n")
        refused(2, "calibrate", "power", path, "--out", folder / "model.json", says=(r"p\.csv:2",))
    path.write_text(header + "\n")
    refused(2, "calibrate", "power", path, says=(r"p\.csv",))
    refused(2, "calibrate", "power", folder, says=("folder",))
    refused(2, "calibrate", "power", ROOT / "data/power/zeus_summary_power_v100.csv.gz", "--step", "-1", says=("step",))
    check(files(folder) == ["p.csv"], "something was written")


@case
def mapping_files(folder):
    (folder / "t.csv").write_text("a,b,c\n1,2,3\n")
    mapping = folder / "m.toml"
    for text, says in (('table = "jobs"\n[fields.arrivall]\ncolumn = "a"\nunit = "s"\n', r"m\.toml:2"),
                       ('table = "jobs"\n[fields.arrival]\ncolumn = "zz"\nunit = "s"\n', r"m\.toml|t\.csv"),
                       ("[", r"m\.toml:1"), ("", r"m\.toml"), ("\x00", r"m\.toml:1")):
        mapping.write_text(text)
        refused(2, "import", "jobs-csv", folder / "t.csv", "--mapping", mapping, says=(says,))
    refused(2, "import", "jobs-csv", folder / "t.csv", says=("--mapping",))
    refused(3, "import", "jobs-csv", folder / "t.csv", "--mapping", folder / "none.toml", says=("none.toml",))
    check(files(folder) == ["m.toml", "t.csv"], "something was written")


@case
def settings(folder):
    path = folder / "settings.toml"
    for text, says in (("stor = 1\n", (r"settings\.toml:1:1", "Did you mean 'store'")),
                       ("[demo]\nhours = 'x'\n", (r"settings\.toml:2:9", "hours")),
                       ("[demmo]\nhours = 1\n", (r"settings\.toml:1:2", "Did you mean 'demo'")),
                       ("quiet = 'yes'\n", (r"settings\.toml:1:1", "true or false")),
                       ("[simulate]\nthreads = 65\n", (r"settings\.toml:2:11",)),
                       ("limit = -1\n", (r"settings\.toml:1:9",)),
                       ("= 3\n", (r"settings\.toml:1:1",))):
        path.write_text(text)
        refused(2, "signals", "--config", path, says=says)
        refused(2, "config", "check", path, says=says)
    refused(3, "signals", "--config", folder / "none.toml", says=("none.toml",))
    refused(2, "signals", "--config", folder, says=("folder",))
    path.write_text('store = "here"\n[top]\nlimit = 3\nby = ["tenant", "share"]\n')
    check("settings" in good("config", "check", path).out, "a good settings file")
    refused(3, "top", "--config", path, cwd=folder, says=("open a store: here:",))
    refused(3, "top", "--config", path, "--store", "there", cwd=folder, says=("open a store: there:",))
    good("simulate", scenario(folder), "--store", folder / "here")
    done = good("top", "--config", path, cwd=folder)
    check("share" in done.out.splitlines()[0] + done.out, "the settings' dimensions should be used", done)
    typed = good("top", "--config", path, "--by", "model", cwd=folder)
    check("share" not in typed.out.splitlines()[0], "what is typed stands over the settings", typed)


@case
def a_scenario_from_a_pipe(folder):
    os.mkfifo(folder / "pipe")
    for command in (("simulate", folder / "pipe", "--golden"), ("config", "check", folder / "pipe")):
        child = os.fork()
        if child == 0:
            with open(folder / "pipe", "w", encoding="utf-8") as out:
                out.write(SCENARIO)
            os._exit(0)
        good(*command)
        os.waitpid(child, 0)


@case
def the_longest_run_is_a_leap_year(folder):
    for length in ('length = "8784h"', "hours = 8784", 'length = "366d"'):
        good("config", "check", scenario(folder, changed('length = "10m"', length)))
    bad_scenario(folder, changed('length = "10m"', 'length = "31622401s"'), r":3:10")
