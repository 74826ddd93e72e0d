"""The contract of the command line: help, statuses, hints, standard streams, JSON."""
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess

from harness import PROGRAM, ROOT, case, check, errors, files, good, refused, run, scenario, shared_store, without_leftovers


def commands(path=()):
    """(words of the command, its help) for every command, from what the program itself lists."""
    text = good(*path, "--help").out
    yield path, text
    listed = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.M)
    for name in re.findall(r"^  (\S+)", listed[1] if listed else "", re.M):
        yield from commands((*path, name))


def examples(text):
    lines = text.split("Examples:\n", 1)[1].splitlines()
    return [line.strip() for line in lines[:next((i for i, l in enumerate(lines) if not l.startswith("  ")), len(lines))]]


@case
def every_command_has_help_with_three_examples(folder):
    known = [" ".join(path) for path, _ in commands()]
    for name in ("demo", "doctor", "signals", "top", "query", "explain", "report", "audit", "simulate", "calibrate power",
                 "import", "config check", "completion", "man"):
        check(name in known, f"there is no command {name}")
    for path, text in commands():
        check(len(examples(text)) == 3, f"{' '.join(path)} has no three examples:\n{text}")
        check(all("perjoule" in line for line in examples(text)), f"{path}: {examples(text)}")
        check(text == good(*path, "-h").out, f"{path}: -h differs from --help")
    check(re.fullmatch(r"perjoule \d+\.\d+\.\d+\n", good("--version").out), "version")


@case
def every_example_can_be_typed(folder):
    """The examples of all helps, in the order of the list, in a folder that has what a clone has."""
    for name in ("data", "scenarios", "examples"):
        (folder / name).symlink_to(ROOT / name)
    store = shared_store(folder).rename(folder / "perjoule-store")
    decided = json.loads(good("simulate", "scenarios/demo.toml", "--hours", "0.2", "--store", "d", "--overwrite", "--json",
                              cwd=folder).out)["decisions"]
    check(decided > 0, "a run without decisions")
    (folder / "settings.toml").write_text("limit = 5\n")
    environment = dict(os.environ, PATH=f"{os.path.dirname(PROGRAM)}:{os.environ['PATH']}", HOME=str(folder))
    typed = {line for _, text in commands() for line in examples(text)}
    for line in sorted(typed):
        words = shlex.split(line)
        if words[0] in ("sudo", "source") or words[1] == "serve" or "|" in words or "query" in words or "mine.csv" in words or "trace.csv" in words or "--give-up-log-from" in words:
            continue  # the other cases have these
        if words[1] in ("demo", "simulate"):
            line += " --overwrite" if "--hours" in words else " --overwrite --hours 0.02"
            line = line.replace("--hours 2", "--hours 0.02").replace("--hours 6", "--hours 0.02")
        line = line.replace("/var/lib/perjoule", "perjoule-store")
        line = line.replace("/tmp/", f"{folder}/").replace("> ~/", f"> {folder}/out-")
        line = line.replace("r38", "r1").replace("out-.config/fish/completions/", "out-").replace("out-.zfunc/", "out-")
        if words[1] == "explain" and words[2] in ("job", "decision"):
            line = line.replace("job-10", "j").replace("perjoule explain", f"perjoule explain --store {folder}/d")
            if words[2] == "job":
                continue  # which jobs there are depends on the hours
        if "perjoule demo" in line and "--store" not in line:
            line += " --store demo-store"
        if f"{folder}/s" in line and "audit" in line:
            line = line.replace(f"{folder}/s", str(store))
        done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"{line}\n  exit {done.returncode}: {done.stderr}")


@case
def wrong_words_get_the_nearest(folder):
    for arguments, *says in (
            (("simulat",), "there is no command 'simulat'", "Did you mean 'simulate'"),
            (("agent",), "there is no command 'agent'"), (("serve", "--prt", "1"), "no option '--prt'"),
            (("run", "--", "true"), "there is no command 'run'"), (("jobs", "plan"), "there is no command 'jobs'"),
            (("config", "chek"), "Did you mean 'check'"), (("config",), "perjoule config"),
            (("--quite",), "Did you mean '--quiet'"), (("demo", "--thread", "2"), "Did you mean '--threads'"),
            (("top", "--jsn"), "Did you mean '--json'"), (("top", "extra"), "extra"), (("top", "--limit"), "--limit"),
            (("top", "--limit", "-1"), "-1"), (("demo", "top"), "top"), (("signals", "gpu.enrgy"), "gpu.energy"),
            (("import", "swff", "x"), "Did you mean 'swf'"), (("import",), "FORMAT|format"),
            (("completion", "tcsh"), "there is no 'tcsh'"), (("man", "simulat"), "Did you mean 'simulate'"),
            (("query", "select 1", "--format", "cvs"), "Did you mean 'csv'"), (("explain", "request"), "id|ID"),
            (("explain", "request", "r1", "r2"), "r2"), (("man", "demo", "--all", "x"), "--all"), (("",), "''|no command"),
            (("-",), "-"), (("--",), None), (("demo", "--json=maybe"), "maybe"),
    ):
        if says == [None]:
            good(*arguments)
        else:
            refused(2, *arguments, cwd=folder, says=says)
    check(not files(folder), "something was written")


@case
def results_go_to_stdout_alone(folder):
    store = shared_store(folder)
    for arguments in (("signals",), ("top", "--store", store), ("audit", store), ("report", "--store", store),
                      ("doctor",), ("config", "check", scenario(folder)), ("simulate", folder / "scenario.toml")):
        done = good(*arguments, "--quiet")
        check(done.out and not done.err, "results on stdout alone", done)
        check(good(*arguments, "--verbose").out.split("host")[0] == done.out.split("host")[0], "--verbose changes the result", done)
    check("perjoule: " in good("top", "--store", store, "--verbose").err, "--verbose says something")
    colours = [good("top", "--store", store, env={"NO_COLOR": value, "TERM": "xterm-256color"}).out for value in ("", "1")]
    check("\x1b" not in colours[0] + colours[1], "escape sequences in a result")


def check_names(value, where, problems):
    if isinstance(value, dict):
        for name, inner in value.items():
            data_key = any(part in where for part in (".services", ".meta", ".parameters"))
            if not data_key and not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                problems.append(f"{where}.{name}")
            check_names(inner, f"{where}.{name}", problems)
    if isinstance(value, list):
        for inner in value:
            check_names(inner, where, problems)


@case
def json_is_one_document(folder):
    store = shared_store(folder)
    report = folder / "r.json"
    good("report", "--store", store, "--json", report)
    texts = {"report": report.read_text()}
    for arguments in (("demo", "--hours", "0.02", "--store", folder / "d"), ("simulate", scenario(folder)), ("signals",),
                      ("doctor",), ("top", "--store", store), ("audit", store), ("config", "check", folder / "scenario.toml"),
                      ("explain", "request", "r1", "--store", store), ("explain", "line", "site_energy_uj", "--store", store),
                      ("calibrate", "power", ROOT / "data/power/zeus_summary_power_v100.csv.gz"),
                      ("import", "gaia-1k", ROOT / "data/jobs/gaia_pai_1k.csv.gz", "--out", folder / "jobs.csv")):
        done = run(*arguments, "--json")
        if arguments[:2] == ("explain", "line") and done.status == 2:
            continue  # the names of lines are the report's own affair
        check(done.status == 0 and not done.err, "a JSON document and nothing else", done)
        texts[" ".join(map(str, arguments))[:40]] = done.out
    for name, text in texts.items():
        problems = []
        document = json.loads(text)
        check(text.endswith("\n") and "NaN" not in text, f"{name}: not a plain document")
        check_names(document, "", problems)
        check(not problems, f"{name}: names that are not snake_case: {problems[:5]}")
        check("schema_version" in document, f"{name}: no schema_version")
        if re.search(r'"\w*_(uj|w|g)":', text):
            check('"quality"' in text, f"{name}: values without quality")


@case
def a_full_device_is_no_success(folder):
    store = shared_store(folder)
    for arguments in (("signals",), ("--help",), ("--version",), ("demo", "--help"), ("top", "--store", store), ("audit", store),
                      ("report", "--store", store), ("completion", "bash"), ("man",), ("signals", "--json"),
                      ("simulate", scenario(folder), "--golden")):
        with open("/dev/full", "wb") as full:
            refused(3, *arguments, stdout=full, says=("write the result: standard output", "No space left"))


@case
def a_closed_stdout_is_no_success_and_no_store_file(folder):
    path = scenario(folder)
    for closed in ("1>&-", "0<&- 1>&-"):
        command = f'"{PROGRAM}" simulate "{path}" --store "{folder}/s" --overwrite {closed}'
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        check(done.returncode == 3 and errors(done.stderr) == 1, f"{closed}: {done}")
        good("audit", folder / "s")
    done = subprocess.run(["bash", "-c", f'"{PROGRAM}" simulate "{path}" --store "{folder}/t" 2>&-'], capture_output=True,
                          check=False)
    check(done.returncode == 0, f"stderr closed: {done}")
    good("audit", folder / "t")


@case
def a_reader_that_goes_away(folder):
    for command in ("signals | head -1", "signals --json | head -c 10", "signals | true", "man | head -1"):
        text = f'"{PROGRAM}" {command}; echo "${{PIPESTATUS[0]}}" >&2'
        done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False)
        check(done.stderr in ("0\n", "3\n"), f"{command}: {done}")  # 0: all of it had been written before
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = run("signals", stdout=gone)
    check(done.status == 3 and done.err == "", "a pipe without a reader", done)


@case
def files_that_cannot_be_written(folder):
    store = shared_store(folder)
    (folder / "file").write_text("mine")
    for target in (folder / "no/such/folder/x", folder / "file/x", folder):
        for option in ("--html", "--json"):
            refused(3, "report", "--store", store, option, target, says=(re.escape(str(target)),))
    refused(3, "report", "--store", store, "--csv", folder / "file", says=("file",))
    refused(3, "report", "--store", store, "--html", folder / "r.html", limit_bytes=4096, says=("r.html",))
    refused(3, "man", "--all", folder / "file", says=("file",))
    refused(3, "import", "gaia-1k", ROOT / "data/jobs/gaia_pai_1k.csv.gz", "--out", folder / "no/x.csv", says=("no/x.csv",))
    refused(3, "import", "gaia-1k", ROOT / "data/jobs/gaia_pai_1k.csv.gz", "--out", folder / "x.csv", limit_bytes=4096)
    refused(3, "calibrate", "power", ROOT / "data/power/zeus_summary_power_v100.csv.gz", "--out", folder / "no/x.json")
    check((folder / "file").read_text() == "mine", "a file was replaced")
    check([f for f in files(folder) if not f.startswith("store/")] == ["file"], f"left: {files(folder)}")
    (folder / "loop").symlink_to("loop")
    refused(3, "report", "--store", store, "--html", folder / "loop/r.html", says=("loop",))
    without_leftovers(folder)


@case
def unknown_signals_of_the_process(folder):
    """SIGTERM during a command that only reads ends it the usual way."""
    process = subprocess.Popen([PROGRAM, "import", "azure-llm", "/dev/stdin", "--out", str(folder / "x.csv")],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"TIMESTAMP,ContextTokens,GeneratedTokens\n" * 10)
    process.stdin.flush()
    process.send_signal(signal.SIGTERM)
    process.communicate()
    check(process.returncode == -signal.SIGTERM and not files(folder), f"exit {process.returncode}, left {files(folder)}")


@case
def the_documents_data_folder(folder):
    refused(3, "demo", "--store", folder / "s", env={"PERJOULE_HOME": str(folder / "nowhere")}, says=("nowhere",))
    check(not files(folder), "something was written")
    check(pathlib.Path(ROOT / "scenarios/demo.toml").exists(), "the demo's scenario is gone")
