"""Rows into a running `perjoule serve`, and none of them twice. Standard library only.

    import perjoule

    client = perjoule.Client("http://127.0.0.1:9464", spool="perjoule-spool")
    client.write("samples", {"t_ns": 1, "device": "rack-7", "signal": "node.power", "value": 412.5,
                             "quality": "measured"})
    client.flush()                       # True: everything so far is on the server's disk

Rows are collected into batches; a batch is a file of the spool folder with its numbers in its name, and goes away when
the server says that it is stored. So rows survive a server that is away, and a restart of this process (give the same
folder); a batch that is sent again carries the same numbers, and the server stores it once. The folder is bounded:
beyond `spool_bytes` the oldest batches go, `dropped_rows` counts them, and the server is told of the gap.

One process per spool folder; a Client may be used from several threads.
"""
import fcntl
import gzip
import http.client
import json
import os
import pathlib
import re
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid

__all__ = ["Client", "RefusedRows"]

_NAME = re.compile(r"(\d{20})-(\d{20})\.(\w+)\.jsonl\.gz")
_AGAIN = {408, 429, 500, 502, 503, 504, 507}


class RefusedRows(ValueError):
    """Rows that the server will not store however often they come. `file` keeps them, `reply` says why."""

    def __init__(self, status, reply, file):
        error = reply.get("error", {})
        super().__init__(f"{status}: {error.get('where', '')}: {error.get('why', '')} (rows are kept in {file})")
        self.status, self.reply, self.file = status, reply, file


class Client:
    """`name` begins the source's name; the rest is made once per spool folder, so that numbers never come twice."""

    def __init__(self, url="http://127.0.0.1:9464", spool=None, name="python", token=None, batch_rows=1000,
                 spool_bytes=64 << 20, timeout=10.0, context=None):
        if not 1 <= batch_rows <= 65_536:
            raise ValueError("batch_rows must be 1 to 65,536")
        self.url, self.token, self.timeout = url.rstrip("/"), token, timeout
        self.batch_rows, self.spool_bytes = batch_rows, spool_bytes
        self.dropped_rows = 0
        self._context = context
        self._mutex = threading.RLock()
        self._rows = {}
        self._folder = pathlib.Path(spool if spool is not None else tempfile.mkdtemp(prefix="perjoule-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self._folder / "lock", "w", encoding="ascii")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise RuntimeError(f"another process uses the spool folder {self._folder}") from error
        self._load(name)

    # ---- what callers use ----

    def write(self, table, row):
        """Adds one row; every `batch_rows` rows they go to the spool and from there to the server, if it is there."""
        with self._mutex:
            rows = self._rows.setdefault(table, [])
            rows.append(json.dumps(row, allow_nan=False, ensure_ascii=False))
            if len(rows) >= self.batch_rows:
                self._to_spool(table)
                self.flush()

    def flush(self):
        """Sends what there is. True: all of it is stored; False: the server is away or busy, and it is kept.
        Raises RefusedRows."""
        with self._mutex:
            for table in list(self._rows):
                self._to_spool(table)
            for first, last, table, path in self._batches():
                if not self._send(first, last, table, path):
                    return False
            return True

    def waiting_rows(self):
        """Rows that the server has not confirmed."""
        with self._mutex:
            return sum(len(r) for r in self._rows.values()) + sum(b[1] - b[0] + 1 for b in self._batches())

    @property
    def source(self):
        return self._state["source"]

    def close(self):
        """flush(), and lets go of the folder."""
        try:
            return self.flush()
        finally:
            self._lock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- the spool ----

    def _load(self, name):
        path = self._folder / "state.json"
        if path.exists():
            self._state = json.loads(path.read_text(encoding="utf-8"))
        else:
            self._state = {"source": f"{name}/{uuid.uuid4().hex}", "stored": 0, "last": 0}
            self._save()
        for left in self._folder.glob("*.part"):
            left.unlink()

    def _save(self):
        self._write_file(self._folder / "state.json", json.dumps(self._state).encode())

    def _write_file(self, path, data):
        part = path.with_name(path.name + ".part")
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)

    def _batches(self):
        found = []
        for path in sorted(self._folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match:
                found.append((int(match.group(1)), int(match.group(2)), match.group(3), path))
        return found

    def _to_spool(self, table):
        rows = self._rows.pop(table)
        first = max([self._state["stored"], self._state["last"]] + [b[1] for b in self._batches()]) + 1
        last = first + len(rows) - 1
        data = gzip.compress("\n".join(rows).encode(), 6, mtime=0)
        self._write_file(self._folder / f"{first:020}-{last:020}.{table}.jsonl.gz", data)
        self._make_room()

    def _make_room(self):
        batches = self._batches()
        size = sum(path.stat().st_size for *_, path in batches)
        for first, last, _, path in batches[:-1]:
            if size <= self.spool_bytes:
                return
            size -= path.stat().st_size
            self.dropped_rows += last - first + 1
            # Numbers are never given twice, even when the newest batch goes too.
            self._state["last"] = max(self._state["last"], last)
            self._save()
            path.unlink()

    # ---- the server ----

    def _send(self, first, last, table, path):
        for _ in range(2):  # once more after the server said from where to go on
            status, reply = self._post(table, self._state["stored"], first, last, path.read_bytes())
            if status == 200:
                return self._stored(max(last, reply.get("stored_through", 0)), path)
            if status is None or status in _AGAIN:
                return False
            through = reply.get("stored_through")
            if status != 409 or through is None:
                break
            if through >= last:
                return self._stored(through, path)
            if through >= first or through == self._state["stored"]:
                break
            self._state["stored"] = through
        kept = path.with_name("refused-" + path.name)
        os.replace(path, kept)
        self._state["last"] = max(self._state["last"], last)
        self._save()
        raise RefusedRows(status, reply, kept)

    def _stored(self, through, path):
        self._state["stored"] = through
        self._state["last"] = max(self._state["last"], through)
        self._save()
        path.unlink()
        return True

    def _post(self, table, after, first, last, body):
        numbers = urllib.parse.urlencode({"source": self.source, "after": after, "first": first, "last": last})
        request = urllib.request.Request(f"{self.url}/api/v1/write/{urllib.parse.quote(table)}?{numbers}", body,
                                         {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"})
        if self.token:
            request.add_header("Authorization", "Bearer " + self.token)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout, context=self._context) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _json(error.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None, {}  # not there, or gone half way: what became of it shows when it is sent again


def _json(data):
    try:
        reply = json.loads(data)
        return reply if isinstance(reply, dict) else {}
    except ValueError:
        return {}
