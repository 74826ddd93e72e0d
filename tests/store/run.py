"""One store with random rows of every table, read by every other reader that is installed. 77: nothing to read with."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import read_everywhere

SKIPPED = 77
writer = pathlib.Path(os.environ.get("PERJOULE", "build/perjoule")).parent / "tests" / "write_sample_store"
if not writer.exists() or not any(importlib.util.find_spec(m) for m in ("duckdb", "pyarrow", "chdb")):
    print(f"skipped: {writer} is not built, or neither duckdb, pyarrow nor chdb is installed")
    sys.exit(SKIPPED)
with tempfile.TemporaryDirectory() as folder:
    expected = pathlib.Path(folder) / "expected.json"
    expected.write_text(subprocess.run([writer, f"{folder}/store"], check=True, capture_output=True, text=True).stdout)
    sys.exit(read_everywhere.main(f"{folder}/store", expected))
