"""Answers and exports as streams, read back by pyarrow: the store's own Parquet files are what they are compared with.

77: there is no pyarrow, or no libduckdb for the questions in SQL.
"""
import csv
import importlib.util
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

SKIPPED = 77
PROGRAM = pathlib.Path(os.environ.get("PERJOULE", "build/perjoule")).resolve()
WRITER = PROGRAM.parent / "tests" / "write_sample_store"
TABLES = ("meters", "joules", "samples", "requests", "jobs", "decisions", "carbon")
if not WRITER.exists() or not importlib.util.find_spec("pyarrow"):
    print(f"skipped: {WRITER} is not built, or pyarrow is not installed")
    sys.exit(SKIPPED)

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet


def perjoule(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode == 3 and b"libduckdb" in done.stderr:
        print("skipped:", done.stderr.decode())
        sys.exit(SKIPPED)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def plain(table):
    """Text columns as plain text, whatever the reader made of dictionaries."""
    return [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in table.to_pylist()]


def arrow(data):
    table = pa.ipc.open_stream(io.BytesIO(data)).read_all()
    table.validate(full=True)
    return table


def exported(store, table, folder):
    want = plain(pa.parquet.ParquetDataset(sorted((store / table).glob("*.parquet"))).read())
    got = arrow(perjoule("store", "export", store, "--table", table, "--format", "arrow", "--out", "-"))
    assert plain(got) == want, table
    file = folder / f"{table}.parquet"
    perjoule("store", "export", store, "--table", table, "--out", file)
    assert plain(pa.parquet.read_table(file)) == want, table
    lines = perjoule("store", "export", store, "--table", table, "--format", "jsonl", "--out", "-").decode().splitlines()
    finite = [{k: None if isinstance(v, float) and math.isinf(v) else v for k, v in row.items()} for row in want]
    assert [json.loads(line) for line in lines] == finite, table
    rows = list(csv.DictReader(io.StringIO(perjoule("store", "export", store, "--table", table, "--format", "csv", "--out", "-").decode())))
    assert len(rows) == len(want) and [*rows[0]] == [*want[0]], table
    for row, wanted in zip(rows, want):
        for key, value in wanted.items():
            text = row[key]
            if value is None or isinstance(value, str):
                assert text == (value or ""), (table, key)
            elif isinstance(value, bool):
                assert text == str(value).lower(), (table, key)
            else:
                assert type(value)(text) == value, (table, key, text)
    return len(want)


def asked(store):
    sql = "select tenant, count(*) n, sum(uncertainty_ppm % 1000) u, avg(energy_uj % 10) a, bool_or(request is null) b from joules group by 1 order by 1"
    table = arrow(perjoule("query", sql, "--format", "arrow", "--store", store))
    assert table.schema.types == [pa.string(), pa.int64(), pa.int64(), pa.float64(), pa.bool_()], table.schema
    parquet = pa.parquet.read_table(io.BytesIO(perjoule("query", sql, "--format", "parquet", "--store", store)))
    lines = [json.loads(line) for line in perjoule("query", sql, "--format", "jsonl", "--store", store).decode().splitlines()]
    whole = json.loads(perjoule("query", sql, "--json", "--store", store))["rows"]
    assert plain(table) == plain(parquet) == lines == whole, (plain(table), lines, whole)
    many = "select *, energy_uj / 2.0::double h from joules"
    assert arrow(perjoule("query", many, "--format", "arrow", "--store", store)).num_rows == len(
        perjoule("query", many, "--format", "jsonl", "--store", store).splitlines())
    empty = arrow(perjoule("query", "select 1 one, 'x' t where false", "--format", "arrow", "--store", store))
    assert empty.num_rows == 0 and empty.schema.names == ["one", "t"]


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([WRITER, folder / "store"], check=True, capture_output=True)
        rows = sum(exported(folder / "store", table, folder) for table in TABLES)
        asked(folder / "store")
        print(f"ok: {rows} rows of {len(TABLES)} tables in four formats, and answers in SQL")


main()
