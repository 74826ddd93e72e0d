"""Stores: damaged, newer, full disks, interrupts, two processes at once, and the questions that are asked of them."""
import contextlib
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

from harness import (PROGRAM, ROOT, SCENARIO, Skip, case, changed, check, errors, files, good, refused, run, scenario,
                     shared_store, without_leftovers)

QUESTIONS = (("top",), ("explain", "request", "r1"), ("report",), ("query", "select 1"))


def long_scenario(folder):
    """Minutes of work if nobody stops it: 300 days of a serving node."""
    return scenario(folder, changed('length = "10m"', "hours = 7200").replace("[[feed]]", "[[feed]]", 1), "long.toml")


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def xxh3_128(data):
    """The hash with which a manifest vouches for itself, by the library that the program uses too."""
    try:
        library = ctypes.CDLL("libxxhash.so.0")
    except OSError as error:
        raise Skip("there is no libxxhash") from error
    library.XXH3_128bits.restype = Hash128
    library.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    digest = library.XXH3_128bits(data, len(data))
    return f"{digest.high:016x}{digest.low:016x}"


def sound(store):
    """What is sealed of a store is undamaged and adds up. With nothing sealed the answer is no, and says why."""
    done = run("audit", store, "--json")
    found = json.loads(done.out)
    check(not any(f["damage"] for f in found["integrity"]), "damaged", done)
    conservation = found["conservation"]
    check(conservation["holds"], "does not add up", done)
    if conservation["windows"] == 0:
        check(done.status == 1 and not conservation["complete"], "an empty store is no success", done)
    else:
        check(done.status == 0, "should have succeeded", done)


def refused_by_all(status, store, *says):
    for question in QUESTIONS:
        refused(status, *question, "--store", store, says=says)
    refused(status, "audit", store, says=says)


@case
def a_store_that_is_not_there(folder):
    refused_by_all(3, folder / "none", "there is no store here", "perjoule demo")
    (folder / "file").write_text("x")
    refused_by_all(3, folder / "file", "there is no store here")
    (folder / "loop").symlink_to("loop")
    refused_by_all(3, folder / "loop", "there is no store here")
    refused_by_all(3, folder, "there is no store here")
    check(files(folder) == ["file"], "something was written")


@case
def a_store_of_a_newer_format(folder):
    store = shared_store(folder)
    manifest = store / "catalog/manifest.json"
    text = manifest.read_text()
    head, body = re.fullmatch(r'(\{"xxh3_128":"\w{32}","manifest":)(.*)\}\n', text, re.S).groups()
    newer = re.sub(r'"format_version":\s*\d+', '"format_version": 999', body, count=1)
    check(newer != body, "the manifest has a version")
    manifest.write_text(re.sub(r"\w{32}", xxh3_128(newer.encode()), head, count=1) + newer + "}\n")
    refused_by_all(2, store, "999", "newer")


@case
def a_manifest_that_is_damaged(folder):
    store = shared_store(folder)
    manifest = store / "catalog/manifest.json"
    whole = manifest.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (b"", whole[:len(whole) // 2], bytes(flipped), b"\x00" * 100, b"[" * 100000, b"{}", b"[]", b"null"):
        manifest.write_bytes(content)
        refused_by_all(1, store, "manifest.json")


@case
def a_byte_that_is_flipped_and_a_file_that_is_cut(folder):
    store = shared_store(folder)
    for table in ("meters", "joules", "samples", "requests", "carbon"):
        path = store / table / "part-000001.parquet"
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 3] ^= 0x40
        for content in (bytes(flipped), whole[:len(whole) // 2], whole[:-1], b"", whole + b"x"):
            path.write_bytes(content)
            done = run("audit", store)
            check(done.status == 1 and not done.err, "damage is found", done)
            check(f"{table}/part-000001.parquet" in done.out and f"table {table}" in done.out, "file and table", done)
            found = json.loads(run("audit", store, "--json").out)["integrity"][0]
            check(found["damage"] and found["table"] == table and found["byte"] <= len(whole), f"as JSON: {found}")
        path.unlink()
        done = run("audit", store)
        check(done.status == 1 and f"{table}/part-000001.parquet" in done.out, "a lost file is found", done)
        path.write_bytes(whole)
    sound(store)


@case
def questions_to_a_damaged_file(folder):
    store = shared_store(folder)
    path = store / "joules/part-000001.parquet"
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[:-5], os.urandom(len(whole))):
        path.write_bytes(content)
        for question in QUESTIONS[:3]:
            refused(1, *question, "--store", store, says=(r"joules/part-000001\.parquet",))


@case
def a_store_that_is_in_the_way(folder):
    store = shared_store(folder)
    before = {f: (store / f).read_bytes() for f in files(store)}
    path = scenario(folder)
    refused(2, "simulate", path, "--store", store, says=("--overwrite",))
    mine = folder / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    refused(2, "simulate", path, "--store", mine, "--overwrite", says=("letter.txt",))
    refused(2, "demo", "--hours", "0.02", "--store", mine, says=("letter.txt",))
    (folder / "file").write_text("x")
    refused(3, "simulate", path, "--store", folder / "file", says=("file",))
    refused(3, "simulate", path, "--store", folder / "file/below", says=("file",))
    (folder / "loop").symlink_to("loop")
    refused(3, "simulate", path, "--store", folder / "loop", says=("loop",))
    check((mine / "letter.txt").read_text() == "dear" and files(mine) == ["letter.txt"], "a foreign folder was touched")
    check({f: (store / f).read_bytes() for f in files(store)} == before, "the store was touched")


@case
def a_disk_that_is_full_by_limit(folder):
    path = scenario(folder)
    whole = shared_store(folder)
    sizes = {(whole / f).stat().st_size for f in files(whole) if f.endswith(".parquet")}
    for limit in sorted({0, 100, 2000, *(size - 1 for size in sizes)}):
        target = folder / f"s{limit}"
        refused(3, "simulate", path, "--store", target, limit_bytes=limit, says=(str(target), "File too large"))
        without_leftovers(folder)
        if (target / "catalog/manifest.json").exists():
            sound(target)


@contextlib.contextmanager
def mounted(folder, *options):
    """A small file system of its own; needs root."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        raise Skip("mounting needs root")
    if subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", folder], capture_output=True, check=False).returncode != 0:
        raise Skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@case
def a_disk_that_is_full(folder):
    disk = folder / "disk"
    disk.mkdir()
    path = scenario(folder)
    for size in ("4k", "16k", "40k"):
        with mounted(disk, "-o", f"size={size}"):
            refused(3, "simulate", path, "--store", disk / "s", says=("No space left", "Free space"))
            without_leftovers(disk)
            if (disk / "s/catalog/manifest.json").exists():
                sound(disk / "s")
            refused(3, "import", "azure-llm", ROOT / "data/llm/AzureLLMInferenceTrace_conv.csv.gz", "--out", disk / "x.csv",
                    says=("No space left",))
            check(not (disk / "x.csv").exists(), "half a file")
            without_leftovers(disk)


@case
def a_folder_that_is_read_only(folder):
    disk = folder / "disk"
    disk.mkdir()
    path, store = scenario(folder), shared_store(folder)
    with mounted(disk):
        shutil.copytree(store, disk / "store")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        refused(3, "simulate", path, "--store", disk / "new", says=("Read-only",))
        refused(3, "simulate", path, "--store", disk / "store", "--overwrite", says=("Read-only",))
        refused(3, "report", "--store", store, "--html", disk / "r.html", says=("Read-only",))
        for question in QUESTIONS[:3]:
            good(*question, "--store", disk / "store")
        sound(disk / "store")


def started(path, store, *more):
    return subprocess.Popen([PROGRAM, "simulate", str(path), "--store", str(store), *more], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(process, there):
    """Waits until `there()`, without a clock: the process's end breaks the wait."""
    while not there():
        if process.poll() is not None:
            raise AssertionError(f"ended early: {process.communicate()}")
        os.sched_yield()


def has_segment(store):
    return lambda: any(pathlib.Path(store).glob("*/*.parquet*"))


@case
def an_interrupt_in_the_middle(folder):
    path = long_scenario(folder)
    for number, wanted in ((signal.SIGINT, 130), (signal.SIGTERM, 130)):
        store = folder / f"store{number}"
        process = started(path, store)
        until(process, has_segment(store))
        process.send_signal(number)
        out, err = process.communicate()
        check(process.returncode == wanted and errors(err) == 1 and "interrupted" in err, f"{process.returncode} {err}")
        check("conservation" in out, f"the summary of what was done: {out}")
        without_leftovers(folder)
        sound(store)
        for question in QUESTIONS[:3]:
            good(*question, "--store", store)
        check(not json.loads((store / "catalog/manifest.json").read_text())["manifest"]["complete"], "the store says that it was broken off")


@case
def a_process_that_is_killed(folder):
    path, store = long_scenario(folder), folder / "store"
    process = started(path, store)
    until(process, has_segment(store))
    process.kill()
    process.communicate()
    sound(store)
    done = run("audit", store)
    check("DAMAGED" not in done.out, "a killed writer leaves a readable store", done)
    good("simulate", scenario(folder), "--store", store, "--overwrite")
    without_leftovers(folder)
    sound(store)


@case
def two_writers_and_a_reader_at_once(folder):
    path, store = long_scenario(folder), folder / "store"
    process = started(path, store)
    try:
        until(process, has_segment(store))
        for _ in range(3):
            sound(store)
            run("top", "--store", store)
        refused(3, "simulate", scenario(folder), "--store", store, "--overwrite", says=(str(process.pid), "is writing to it"))
        refused(3, "demo", "--hours", "0.02", "--store", store, says=(str(process.pid), "is writing to it"))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()
    check(process.returncode == 130, "the first writer goes on")
    sound(store)


@case
def many_writers_race_for_one_store(folder):
    path, store = scenario(folder), folder / "store"
    racers = [started(path, store, "--overwrite") for _ in range(6)]
    told = [(r.communicate(), r.returncode) for r in racers]
    check(any(status == 0 for _, status in told), f"nobody won: {told}")
    for (_, err), status in told:
        check(status == 0 or (status == 3 and "is writing to it" in err and errors(err) == 1), f"{status}: {err}")
    sound(store)


@case
def unknown_things_get_the_nearest(folder):
    store = shared_store(folder)
    for arguments, *says in (
            (("explain", "request", "r2"), "r2", "r1"), (("explain", "requst", "r1"), "Did you mean 'request'"),
            (("explain", "job", "nothing"), "nothing"), (("explain", "meter", "site/rack-1/serv-1"), "site/rack-1/serve-1"),
            (("explain", "decision", "d999999"), "d999999"), (("explain", "line", "site_energy"), "site"),
            (("explain", "request", ""), ""), (("explain", "request", "\x1b[31m"), ""),
            (("top", "--by", "tenat"), "Did you mean 'tenant'"), (("top", "--by", ""), ""),
            (("top", "--from", "yesterday"), "yesterday"), (("top", "--from", "-1x"), "-?1x"), (("top", "--to", "-"), ""),
            (("top", "--from", "-999999999999h"), ""), (("top", "--from", "2026-05-01T00:00:00Z", "--to", "2025-01-01T00:00:00Z"),
             "The store goes from 2026-05-01T00:00:00Z to 2026-05-01T00:10:00Z"),
            (("top", "--from", "2026-05-01T00:10:00Z"), "nothing of the store"),
    ):
        done = refused(2, *arguments, "--store", store, says=says)
        check("\x1b" not in done.err, "an escape sequence goes through", done)


def with_duckdb(store):
    done = run("query", "select 1", "--store", store)
    if done.status == 3:
        raise Skip("libduckdb is not there: ./dev duckdb")


@case
def query_without_libduckdb(folder):
    store = shared_store(folder)
    (folder / "libduckdb.so").write_text("no library")
    for library in (folder / "none.so", folder / "libduckdb.so", folder):
        refused(3, "query", "select 1", "--store", store, env={"PERJOULE_LIBDUCKDB": str(library)}, says=("./dev duckdb",))


@case
def query_answers(folder):
    store = shared_store(folder)
    with_duckdb(store)
    check("(1 row)" in good("query", "select count(*) from joules", "--store", store).out, "a table")
    check(good("query", "select 1 as one", "--format", "csv", "--store", store).out.startswith("one\n1"), "CSV")
    rows = json.loads(good("query", "select share, sum(energy_uj) from joules group by 1", "--json", "--store", store).out)
    check(rows["row_count"] > 0, "JSON")
    for statement in ("describe joules", "show tables", "explain select 1", "with a as (select 1) select * from a"):
        good("query", statement, "--store", store)


@case
def query_that_is_wrong_or_writes(folder):
    store = shared_store(folder)
    with_duckdb(store)
    (folder / "secret.csv").write_text("a\n1\n")
    before = {f: (folder / f).read_bytes() for f in files(folder)}
    for statement, *says in (
            ("", "no statement"), ("selec 1", "syntax"), ("select * from nothing", "nothing"), ("select nothing from joules", "nothing"),
            ("select 1; select 2", "one"), ("select 1; drop view joules", "one"), ("drop view joules", "read-only"),
            ("create table t (a int)", "read-only"), ("insert into joules select * from joules", ""), ("delete from joules", ""),
            (f"copy joules to '{folder}/out.csv'", ""), (f"export database '{folder}/out'", ""),
            (f"attach '{folder}/x.db'", "read-only"), ("install httpfs", "read-only"), ("load httpfs", "read-only"),
            ("set enable_external_access=true", "read-only"), ("pragma database_list", ""), ("call pragma_version()", ""),
            (f"select * from read_csv('{folder}/secret.csv')", ""), (f"select * from '{folder}/secret.csv'", ""),
            (f"select * from read_text('{folder}/secret.csv')", ""), (f"select * from glob('{folder}/*')", ""),
            (f"select * from read_text('{store}/catalog/manifest.json')", ""), ("select * from read_text('/etc/passwd')", ""),
            (f"select * from read_blob('{store}/joules/../catalog/manifest.json')", ""), ("checkpoint", ""), ("begin", ""),
            (f"explain analyze copy joules to '{folder}/out.csv'", ""), ("prepare p as select 1", ""), ("vacuum", ""),
            ("select [1, 2]", "CAST"),
    ):
        if statement.startswith(("pragma", "call")):
            done = run("query", statement, "--store", store)
            check(done.status in (0, 2), "a harmless question or a refusal", done)
            continue
        refused(2, "query", statement, "--store", store, says=says)
    check({f: (folder / f).read_bytes() for f in files(folder)} == before, f"files changed: {files(folder)}")


@case
def query_of_a_damaged_store(folder):
    store = shared_store(folder)
    with_duckdb(store)
    path = store / "joules/part-000001.parquet"
    path.write_bytes(path.read_bytes()[:200])
    refused(1, "query", "select sum(energy_uj) from joules", "--store", store, says=("joules/part-000001.parquet|joules",))


@case
def names_with_quotes_and_blanks(folder):
    odd = folder / "it's a \"folder\" \u00e9"
    odd.mkdir()
    store = odd / "store"
    good("simulate", scenario(odd), "--store", store)
    sound(store)
    for question in QUESTIONS[:3]:
        good(*question, "--store", store)
    if run("query", "select 1", "--store", store).status != 3:
        good("query", "select count(*) from joules", "--store", store)
    good("report", "--store", store, "--html", odd / "r.html", "--csv", odd / "csv")


@case
def a_link_to_a_store(folder):
    store = shared_store(folder)
    (folder / "link").symlink_to("store")
    sound(folder / "link")
    good("simulate", scenario(folder, SCENARIO), "--store", folder / "link", "--overwrite")
    sound(store)
