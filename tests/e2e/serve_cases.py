"""perjoule serve with real clients: Prometheus, an OpenTelemetry SDK, the Python client, and garbage."""
import contextlib
import gzip
import http.client
import importlib.util
import json
import multiprocessing
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.parse

from harness import PROGRAM, ROOT, Skip, case, check, good, refused, run, shared_store

sys.path.insert(0, str(ROOT / "python"))
import perjoule

ROW = '{"t_ns":1777593600000000000,"device":"d","signal":"node.power","value":1.5,"quality":"measured"}'


class Server:
    """A running `perjoule serve` on a free port."""

    def __init__(self, store, *arguments, address="127.0.0.1"):
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--store", str(store), "--http", f"{address}:0", "--blocks", "127.0.0.1:0", *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.line = self.process.stdout.readline().decode()
        found = re.search(r"(https?)://\S+:(\d+)", self.line)
        if not found:
            raise AssertionError(f"no line when ready: {self.line!r} {self.process.communicate()[1]!r}")
        self.scheme, self.port = found.group(1), int(found.group(2))
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            if kind is None:
                self.stop()
            else:
                self.process.kill()
        self.process.communicate()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        _, err = self.process.communicate()
        check(self.process.returncode == 0, f"the server left with {self.process.returncode}: {err!r}")

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, body) of one request."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port)) as connection:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()

    def write(self, body, table="samples", query="", **headers):
        status, _, text = self.ask("POST", f"/api/v1/write/{table}{query}", body,
                                   {"Content-Type": "application/x-ndjson", **headers})
        return status, json.loads(text)

    def raw(self, data, half_close=False):
        """Everything the server says to these bytes until it closes."""
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.port))) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(data)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            out = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    out += piece
            return out.decode(errors="replace")


def rows_of(store, sql):
    done = run("query", sql, "--store", store, "--json")
    if done.status == 3 and "libduckdb" in done.err:
        raise Skip("there is no libduckdb (./dev duckdb)")
    check(done.status == 0, "should have succeeded", done)
    return json.loads(done.out)["rows"]


def tool(name):
    path = shutil.which(name)
    if not path:
        raise Skip(f"there is no {name} (Debian package prometheus)")
    return path


@case
def serve_starts_and_ends_politely(folder):
    for number in (signal.SIGTERM, signal.SIGINT):
        with Server(folder / "store") as server:
            check(server.line.count("\n") == 1, "one line when ready")
            check(server.ask("GET", "/api/v1/health")[0] == 200, "healthy")
            check(json.loads(server.ask("GET", "/api/v1/ready")[2])["status"] == "ready", "ready")
            refused(3, "serve", "--store", folder / "store", "--http", "127.0.0.1:0", says=["is writing to it"])
            refused(3, "serve", "--store", folder / "other", "--http", f"127.0.0.1:{server.port}", says=["in use"])
            server.stop(number)


@case
def serve_refuses_what_does_not_fit_together(folder):
    (folder / "tokens").write_text("short\n")
    refused(2, "serve", "--store", folder / "s", "--http", "0.0.0.0:0", says=["TLS and a token"])
    refused(2, "serve", "--store", folder / "s", "--http", "nowhere", says=["ADDRESS:PORT"])
    refused(2, "serve", "--store", folder / "s", "--token-file", folder / "tokens", says=["16 characters"])
    refused(2, "serve", "--store", folder / "s", "--certificate", folder / "tokens", says=["key"])
    refused(3, "serve", "--store", folder / "s", "--token-file", folder / "none", says=["none"])
    check(not (folder / "s").exists(), "a store was made all the same")
    refused(3, "serve", "--store", folder / "s", "--read-only", says=["there is no store here"])


@case
def rows_are_stored_before_they_are_acknowledged(folder):
    with Server(folder / "store") as server:
        check(server.write(ROW + "\n" + ROW) == (200, {"outcome": "stored", "stored_through": 2, "rows": 2}), "stored")
        numbers = "?source=s&after=0&first=1&last=1"
        check(server.write(ROW, query=numbers)[1]["outcome"] == "stored", "stored with the sender's numbers")
        server.process.kill()
        server.process.wait()
    with Server(folder / "store") as server:
        check(server.write(ROW, query=numbers)[1]["outcome"] == "already stored", "known after a crash")
        status, reply = server.write(ROW + "\n{}")
        check((status, reply["error"]["where"]) == (400, "line 2, column t_ns"), f"line and column: {reply}")
        check(server.write(ROW, query="?source=s&after=9&first=10&last=10")[0] == 409, "a hole")
    check(rows_of(folder / "store", "select count(*) n from samples")[0]["n"] == 3, "each row once")


@case
def answers_over_http_are_those_of_the_command_line(folder):
    store = shared_store(folder)
    with Server(store, "--read-only", "--sql") as server:
        top = server.ask("GET", "/api/v1/top?by=tenant,model&limit=0")[2]
        check(top == good("top", "--by", "tenant,model", "--limit", 0, "--json", "--store", store).out, "top")
        explained = server.ask("GET", "/api/v1/explain/request/r1")[2]
        check(explained == good("explain", "request", "r1", "--json", "--store", store).out, "explain")
        check(server.ask("GET", "/api/v1/explain/requst/r1")[0] == 400, "an unknown kind")
        check(server.write(ROW)[0] == 403, "read only")
        sql = "select share, sum(energy_uj) e from joules group by 1 order by 1"
        want = rows_of(store, sql)
        plain = {"Content-Type": "text/plain"}
        lines = server.ask("POST", "/api/v1/query", sql, plain)[2]
        check([json.loads(line) for line in lines.splitlines()] == want, "query as JSON lines")
        whole = server.ask("POST", "/api/v1/query", sql, {**plain, "Accept": "application/json"})[2]
        check(json.loads(whole)["rows"] == want, "query as JSON")
        csv = server.ask("POST", "/api/v1/query", sql, {**plain, "Accept": "text/csv"})[2]
        check(csv == good("query", sql, "--format", "csv", "--store", store).out, "query as CSV")
        check(server.ask("POST", "/api/v1/query", "drop view joules", plain)[0] == 400, "reading only")


@case
def garbage_costs_one_connection(folder):
    post = b"POST /api/v1/write/samples HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"

    def packed(data):
        return post + b"Content-Encoding: gzip\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(data) + data

    bomb = gzip.compress(bytes(40 << 20))
    with Server(folder / "store", "--client-timeout", 0.2, "--connections", 20) as server:
        for want, data in ((400, packed(b"\x1f\x8b" + b"nonsense" * 9)), (400, packed(b"plain")), (413, packed(bomb)),
                           (413, post + b"Content-Length: 99999999999\r\n\r\n"), (400, b"\x16\x03\x01 hello\r\n\r\n"),
                           (431, b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
                           (400, post + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")):
            told = server.raw(data)
            check(told.startswith(f"HTTP/1.1 {want} "), f"{want} for {data[:60]!r}: {told[:200]!r}")
            check('"why"' in told, "an error says why")
        check(server.raw(b"GET /metrics HT") == "", "a head that never ends")
        check(server.raw(post + b"Content-Length: 9\r\n\r\nabc") == "", "a body that never ends")
        with contextlib.ExitStack() as open_ones:
            silent = [open_ones.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(30)]
            told = b"".join(s.recv(100) for s in silent)  # 20 run into the time limit, 10 are turned away
            check(b"503" in told, "beyond the limit of connections")
        check(server.write(ROW)[0] == 200, "and it still works")
        stats = json.loads(server.ask("GET", "/api/v1/stats")[2])
        check(stats["engine"]["rows"] == 1 and stats["http"]["timeouts"] >= 2, f"counted: {stats}")


@case
def tls_and_token_beyond_the_loopback(folder):
    if not shutil.which("openssl"):
        raise Skip("there is no openssl")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    (folder / "tokens").write_text("# of the test\n0123456789abcdef0123\n")
    with Server(folder / "store", "--certificate", folder / "cert.pem", "--key", folder / "key.pem", "--token-file",
                folder / "tokens", address="0.0.0.0") as server:
        check(server.scheme == "https", server.line)
        context = ssl.create_default_context(cafile=folder / "cert.pem")
        options = {"url": server.url, "context": context, "name": "test"}
        with perjoule.Client(spool=folder / "good", token="0123456789abcdef0123", **options) as client:
            client.write("samples", json.loads(ROW))
            check(client.flush(), "stored over TLS")
        with perjoule.Client(spool=folder / "bad", token="0123456789abcdef9999", **options) as client:
            client.write("samples", json.loads(ROW))
            with contextlib.suppress(perjoule.RefusedRows):
                client.flush()
                raise AssertionError("a wrong token was taken")
        server.raw(b"GET / HTTP/1.1\r\n\r\n")  # no TLS at all


@case
def the_python_client_survives_a_crash_of_the_server(folder):
    with perjoule.Client(url="http://127.0.0.1:1", spool=folder / "spool", batch_rows=7) as client:
        for n in range(40):
            client.write("samples", {**json.loads(ROW), "value": n})
        with Server(folder / "store") as server:
            client.url = server.url
            check(client.flush(), "sent what had waited")
            client.write("samples", {**json.loads(ROW), "value": 40})
            server.process.kill()
            server.process.wait()
            check(not client.flush(), "the server is gone")
        with Server(folder / "store") as server:
            client.url = server.url
            check(client.flush() and client.waiting_rows() == 0, "sent again")
    found = rows_of(folder / "store", "select count(*) n, sum(value) v, max(seq) q from samples")[0]
    check(found == {"n": 41, "v": 820.0, "q": 41}, f"each row once: {found}")


def push_with_opentelemetry(url):
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import Counter, MeterProvider
    from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource

    def provider(**options):
        exporter = OTLPMetricExporter(endpoint=url + "/v1/metrics", compression=Compression.Gzip, **options)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        return MeterProvider([reader], resource=Resource.create({"host.id": "node-7", "service.name": "agent"}))

    metrics = provider()
    meter = metrics.get_meter("test")
    gpu = {"hw.id": "gpu0", "hw.type": "gpu"}
    energy = meter.create_counter("hw.energy", "J")
    energy.add(1000.25, gpu)
    energy.add(500.5, gpu)
    energy.add(77, {"hw.id": "cpu0", "hw.type": "cpu"})
    meter.create_gauge("hw.gpu.utilization", "1").set(0.75, gpu)
    meter.create_gauge("hw.host.power", "W").set(412, {})
    meter.create_up_down_counter("app.queue").add(-3, {"lane": "b"})
    for value in (0.5, 1.5):
        meter.create_histogram("app.latency", "s").record(value)
    check(metrics.force_flush(), "pushed")
    metrics.shutdown()
    delta = provider(preferred_temporality={Counter: AggregationTemporality.DELTA})
    delta.get_meter("test").create_counter("app.delta").add(1)
    delta.force_flush()  # the SDK takes a partial success for a success
    delta.shutdown()


@case
def an_opentelemetry_sdk_pushes_metrics(folder):
    if importlib.util.find_spec("opentelemetry") is None:
        raise Skip("there is no opentelemetry-sdk in build/venv (./dev test)")
    with Server(folder / "store") as server:
        # In a process of its own: the SDK starts its thread again in whatever is forked later, even after its end.
        sender = multiprocessing.get_context("fork").Process(target=push_with_opentelemetry, args=(server.url,))
        sender.start()
        sender.join()
        check(sender.exitcode == 0, f"the SDK's process left with {sender.exitcode}")
    found = {(r["device"], r["signal"]): r["value"]
             for r in rows_of(folder / "store", "select device, signal, arg_max(value, seq) as value, count(*) n "
                                                "from samples where quality = 'measured' group by 1, 2")}
    want = {("node-7/gpu0", "gpu.energy"): 1500.75, ("node-7/cpu0", "cpu.pkg.energy"): 77.0,
            ("node-7/gpu0", "gpu.util"): 75.0, ("node-7", "node.power"): 412.0, ("node-7", "app.queue{lane=b}"): -3.0,
            ("node-7", "app.latency.count"): 2.0, ("node-7", "app.latency.sum"): 2.0}
    check(found == want, f"found {found}")


def names_in(text):
    return set(re.findall(r"\b(?:perjoule|process)_[a-z0-9_]+\b(?!:)", text))


def expressions(text, kind):
    if kind == "json":
        return [t["expr"] for p in json.loads(text)["panels"] for t in p.get("targets", [])]
    return re.findall(r"^\s*expr: (.*)$", text, re.M)


@case
def dashboard_and_rules_use_metrics_that_exist(folder):
    with Server(shared_store(folder)) as server:
        server.write(ROW)
        text = server.ask("GET", "/metrics")[2]
    there = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    packaging = ROOT / "packaging"
    for path in (packaging / "grafana/perjoule.json", packaging / "prometheus/perjoule.rules.yml"):
        used = set().union(*map(names_in, expressions(path.read_text(), path.suffix[1:])))
        check(used and used <= there, f"{path.name} uses {sorted(used - there)}, which /metrics has not")
    promtool = tool("promtool")
    for arguments, data in ((["check", "metrics"], text),
                            (["check", "rules", packaging / "prometheus/perjoule.rules.yml"], "")):
        done = subprocess.run([promtool, *arguments], input=data, capture_output=True, text=True, check=False)
        check(done.returncode == 0 and not done.stderr, f"promtool {arguments}: {done.stdout}{done.stderr}")


@case
def a_prometheus_scrapes_and_answers(folder):
    prometheus = tool("prometheus")
    with Server(shared_store(folder)) as server:
        server.write(ROW)
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s}\n"
            f"rule_files: ['{ROOT}/packaging/prometheus/perjoule.rules.yml']\n"
            "scrape_configs:\n  - job_name: perjoule\n    static_configs:\n"
            f"      - targets: ['127.0.0.1:{server.port}']\n")
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = free.getsockname()[1]
        peer = subprocess.Popen([prometheus, f"--config.file={folder}/prometheus.yml",
                                 f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            for line in peer.stderr:
                if "Server is ready" in line:
                    break
            else:
                raise AssertionError("Prometheus did not start")

            def value(expression):
                """The first value that Prometheus has for it; asks until a scrape has brought one."""
                path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
                while True:
                    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
                        connection.request("GET", path)
                        result = json.loads(connection.getresponse().read())["data"]["result"]
                    if result:
                        return float(result[0]["value"][1])
                    check(peer.poll() is None, "Prometheus has ended")

            joules = good("top", "--by", "tenant", "--json", "--store", folder / "store")
            check(value("perjoule_site_energy_joules_total") == json.loads(joules.out)["site_uj"] / 1e6, "site energy")
            check(value("perjoule_ingest_rows_total") == 1, "ingested rows")
            check(value("perjoule_engine_up") == 1 and value("up") == 1, "up")
        finally:
            peer.kill()
            peer.communicate()
