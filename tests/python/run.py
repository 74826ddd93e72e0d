#!/usr/bin/env python3
"""The Python client against a server of the test's own that loses, repeats and refuses what it is told to."""
import gzip
import http.server
import json
import pathlib
import sys
import tempfile
import threading
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "python"))
import perjoule


class Chain:
    """What the engine does with a block, in a few lines: each number once, no silent hole."""

    def __init__(self):
        self.through, self.rows, self.script, self.tokens = {}, [], [], []

    def take(self, table, query, body):
        after, first, last = (int(query[k]) for k in ("after", "first", "last"))
        have = self.through.get(query["source"], 0)
        if last <= have:
            return 200, {"outcome": "already stored", "stored_through": have}
        if after != have:
            return 409, {"error": {"where": "refused", "why": "a hole"}, "stored_through": have}
        rows = [json.loads(line) for line in gzip.decompress(body).decode().split("\n")]
        if any("bad" in row for row in rows):
            return 400, {"error": {"where": "line 1, column bad", "why": "no such column"}}
        assert len(rows) == last - first + 1
        self.rows += [(table, row["n"]) for row in rows]
        self.through[query["source"]] = last
        return 200, {"outcome": "stored", "stored_through": last}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        chain = self.server.chain
        url = urllib.parse.urlparse(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        chain.tokens.append(self.headers["Authorization"])
        step = chain.script.pop(0) if chain.script else "take"
        if step == "busy":
            status, reply = 429, {}
        else:
            status, reply = chain.take(url.path.rsplit("/", 1)[1], dict(urllib.parse.parse_qsl(url.query)), body)
        if step == "lose the answer":
            return
        data = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class ClientTest(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.chain = self.server.chain = Chain()
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.folder = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def client(self, **options):
        options = {"url": f"http://127.0.0.1:{self.server.server_port}", "spool": self.folder.name, **options}
        client = perjoule.Client(**options)
        self.addCleanup(client._lock.close)
        return client

    def numbers(self, table="samples"):
        return [n for t, n in self.chain.rows if t == table]

    def test_batches(self):
        with self.client(batch_rows=10) as client:
            for n in range(25):
                client.write("samples", {"n": n})
            self.assertEqual(len(self.chain.rows), 20)
            self.assertEqual(client.waiting_rows(), 5)
        self.assertEqual(self.numbers(), list(range(25)))

    def test_a_lost_answer_is_no_second_row(self):
        client = self.client()
        self.chain.script = ["lose the answer"]
        client.write("samples", {"n": 1})
        self.assertFalse(client.flush())
        self.assertEqual(client.waiting_rows(), 1)
        self.assertTrue(client.flush())
        self.assertEqual(self.numbers(), [1])

    def test_a_busy_server_is_asked_again(self):
        client = self.client(token="a token of a server")
        self.chain.script = ["busy", "busy"]
        client.write("samples", {"n": 1})
        self.assertEqual([client.flush() for _ in range(3)], [False, False, True])
        self.assertEqual(self.chain.tokens, ["Bearer a token of a server"] * 3)

    def test_rows_survive_a_server_that_is_away_and_a_restart(self):
        client = self.client(url="http://127.0.0.1:1")
        source = client.source
        for n in range(3):
            client.write("samples", {"n": n})
            self.assertFalse(client.flush())
        client.write("jobs", {"n": 7})
        self.assertFalse(client.close())
        again = self.client()
        self.assertEqual(again.source, source)
        self.assertEqual(again.waiting_rows(), 4)
        again.write("samples", {"n": 3})
        self.assertTrue(again.flush())
        self.assertEqual(self.numbers(), [0, 1, 2, 3])
        self.assertEqual(self.numbers("jobs"), [7])

    def test_the_spool_is_bounded_and_the_gap_is_told(self):
        client = self.client(url="http://127.0.0.1:1", spool_bytes=120)
        for n in range(20):
            client.write("samples", {"n": n})
            client.flush()
        kept = client.waiting_rows()
        self.assertEqual(client.dropped_rows, 20 - kept)
        self.assertGreater(client.dropped_rows, 0)
        self.assertFalse(client.close())
        self.assertTrue(self.client().flush())
        self.assertEqual(self.numbers(), list(range(20))[-kept:])
        self.assertEqual(list(self.chain.through.values()), [20])

    def test_a_server_that_has_less_says_from_where(self):
        client = self.client()
        client.write("samples", {"n": 1})
        client.flush()
        self.chain.through = {}  # its store was replaced
        client.write("samples", {"n": 2})
        self.assertTrue(client.flush())
        self.assertEqual(self.numbers(), [1, 2])

    def test_refused_rows_are_kept_aside_and_do_not_block(self):
        client = self.client()
        client.write("samples", {"n": 1, "bad": 1})
        with self.assertRaisesRegex(perjoule.RefusedRows, "column bad"):
            client.flush()
        client.write("samples", {"n": 2})
        self.assertTrue(client.flush())
        self.assertEqual(self.numbers(), [2])
        kept = list(pathlib.Path(self.folder.name).glob("refused-*"))
        self.assertEqual(json.loads(gzip.decompress(kept[0].read_bytes())), {"n": 1, "bad": 1})

    def test_one_process_per_folder(self):
        self.client()
        with self.assertRaises(RuntimeError):
            self.client()

    def test_a_nan_is_refused_at_once(self):
        with self.assertRaises(ValueError):
            self.client().write("samples", {"n": float("nan")})


if __name__ == "__main__":
    unittest.main()
