"""Reads a store with DuckDB, pyarrow and ClickHouse (chdb) and compares row counts and sums.

    read_everywhere.py STORE [EXPECTED.json]

EXPECTED.json is the line that write_sample_store prints; without it the readers are only compared with each other.
A reader that is not installed is named and left out; at least one must be there. Exit status: 0 equal, 1 different.
"""

import glob
import json
import sys

TABLES = ["meters", "joules", "samples", "requests", "jobs", "decisions", "carbon"]
# name: (table, SQL aggregate); the same text runs in DuckDB and ClickHouse.
SUMS = {
    "meters": ("meters", "sum(energy_uj)"),
    "joules": ("joules", "sum(energy_uj)"),
    "requests": ("requests", "sum(energy_uj)"),
    "jobs": ("jobs", "sum(energy_uj)"),
    "decisions": ("decisions", "sum(expected_saving_uj)"),
    "null_tenants": ("joules", "count(*) - count(tenant)"),
    "null_values": ("samples", "count(*) - count(value)"),
    "null_starts": ("jobs", "count(*) - count(t_start_ns)"),
    "undone": ("decisions", "sum(case when undone then 1 else 0 end)"),
    "decodes": ("joules", "sum(case when phase = 'decode' then 1 else 0 end)"),
    # Compared between readers only:
    "distinct_requests": ("joules", "count(distinct request)"),
    "first_window": ("joules", "min(window_ns)"),
    "last_window": ("joules", "max(window_ns)"),
    "names": ("meters", "sum(length(meter))"),
    "digits": ("decisions", "min(reason_hash)"),
    "idle": ("joules", "sum(case when share = 'idle' then energy_uj else 0 end)"),
    "one_second": ("samples", "sum(case when t_ns >= 0 and t_ns < 400 then 1 else 0 end)"),
}


def with_duckdb(store):
    import duckdb

    con = duckdb.connect()
    out = {f"rows of {t}": con.execute(f"select count(*) from '{store}/{t}/*.parquet'").fetchone()[0] for t in TABLES}
    for name, (table, what) in SUMS.items():
        out[name] = con.execute(f"select {what} from '{store}/{table}/*.parquet'").fetchone()[0]
    return out


def with_chdb(store):
    import chdb

    def one(table, what):
        text = str(chdb.query(f"select {what} as v from file('{store}/{table}/*.parquet', Parquet)", "JSONCompact"))
        return json.loads(text)["data"][0][0]

    out = {f"rows of {t}": int(one(t, "count(*)")) for t in TABLES}
    for name, (table, what) in SUMS.items():
        out[name] = one(table, what)
    return out


def with_pyarrow(store):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    t = {}
    for name in TABLES:
        files = sorted(glob.glob(f"{store}/{name}/*.parquet"))
        # page_checksum_verification compares every page's CRC.
        t[name] = pa.concat_tables([pq.read_table(f, page_checksum_verification=True) for f in files])
        for column in t[name].column_names:
            t[name][column].validate(full=True)
    j, m, d, s = t["joules"], t["meters"], t["decisions"], t["samples"]

    def total(column):
        return pc.sum(column).as_py() or 0

    out = {f"rows of {name}": table.num_rows for name, table in t.items()}
    out |= {name: total(t[name]["energy_uj"]) for name in ("meters", "joules", "requests", "jobs")}
    out["decisions"] = total(d["expected_saving_uj"])
    out["null_tenants"] = j["tenant"].null_count
    out["null_values"] = s["value"].null_count
    out["null_starts"] = t["jobs"]["t_start_ns"].null_count
    out["undone"] = total(d["undone"])
    out["decodes"] = total(pc.equal(j["phase"], "decode"))
    out["distinct_requests"] = pc.count_distinct(j["request"], mode="only_valid").as_py()
    out["first_window"] = pc.min(j["window_ns"]).as_py()
    out["last_window"] = pc.max(j["window_ns"]).as_py()
    out["names"] = total(pc.binary_length(m["meter"]))
    out["digits"] = pc.min(d["reason_hash"]).as_py()
    out["idle"] = total(pc.filter(j["energy_uj"], pc.equal(j["share"], "idle")))
    out["one_second"] = s.filter(pc.and_(pc.greater_equal(s["t_ns"], 0), pc.less(s["t_ns"], 400))).num_rows
    return out


def normal(value):
    """ClickHouse prints 64-bit numbers as text."""
    text = str(value)
    return int(text) if text.lstrip("-").isdigit() else text


def check_statistics(store):
    """The page index and statistics as pyarrow sees them: exact for int64 and text."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    checked = 0
    for path in sorted(glob.glob(f"{store}/*/*.parquet")):
        file = pq.ParquetFile(path)
        for g in range(file.num_row_groups):
            rows = file.read_row_group(g)
            for i, name in enumerate(file.schema_arrow.names):
                chunk = file.metadata.row_group(g).column(i)
                assert chunk.has_offset_index and chunk.has_column_index, (path, name)
                s = chunk.statistics
                assert s.null_count == rows[name].null_count, (path, name)
                if s.has_min_max and name not in ("value",):
                    low, high = pc.min_max(rows[name]).as_py().values()
                    assert (s.min, s.max) == (low, high), (path, name, s.min, low)
                    checked += 1
    return checked


def check_bloom_filters(store):
    """DuckDB's own reading of the Bloom filters: no request that is there is denied, nearly every other one is."""
    import duckdb

    con = duckdb.connect()
    present = absent = denied = 0
    for path in sorted(glob.glob(f"{store}/joules/*.parquet") + glob.glob(f"{store}/requests/*.parquet")):
        def groups_that_deny(request):
            query = "select count(*) filter (bloom_filter_excludes) from parquet_bloom_probe(?, 'request', ?)"
            return con.execute(query, [path, request]).fetchone()[0]

        groups = con.execute("select num_row_groups from parquet_file_metadata(?)", [path]).fetchone()[0]
        rows = con.execute(f"select request from '{path}' where request is not null limit 200").fetchall()
        for (request,) in rows[::10]:
            assert groups_that_deny(request) < groups, (path, request)
            present += 1
        for i in range(40):
            denied += groups_that_deny(f"never-{i}")
            absent += groups
    assert present and denied > 0.9 * absent, (present, denied, absent)
    return present, denied, absent


def main(store, expected_file=None):
    expected = json.load(open(expected_file)) if expected_file else {}
    answers = {}
    for reader in (with_duckdb, with_pyarrow, with_chdb):
        name = reader.__name__.removeprefix("with_")
        try:
            answers[name] = reader(store)
        except ImportError:
            print(f"{name}: not installed, left out")
    if not answers:
        print("no reader is installed")
        return 1
    wrong = 0
    for key in next(iter(answers.values())):
        want = expected.get("rows") if key.startswith("rows of ") else expected.get(key)
        values = {name: normal(a[key] or 0) for name, a in answers.items()}
        if want is not None:
            values["written"] = normal(want)
        equal = len(set(values.values())) == 1
        wrong += not equal
        print(f"{'equal' if equal else 'DIFFERENT'}  {key}: {values if not equal else next(iter(values.values()))}")
    if "pyarrow" in answers:
        print(f"statistics of {check_statistics(store)} column chunks are exact")
    if "duckdb" in answers and expected_file:
        present, denied, absent = check_bloom_filters(store)
        print(f"DuckDB's Bloom probe: {present} requests found, {denied} of {absent} absent ones denied")
    print(f"{len(answers)} readers, {wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
