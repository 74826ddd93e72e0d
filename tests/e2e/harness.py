"""What the end-to-end cases share: the program, one way to run it, and what every refusal must look like."""
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = os.path.abspath(os.environ.get("PERJOULE", str(ROOT / "build" / "perjoule")))
CASES = []
SHARED = None

SCENARIO = """name = "small"
start = "2026-05-01T00:00:00Z"
length = "10m"
[site]
carbon = [{ region = "FLAT", g_per_kwh = 400 }]
[[feed]]
name = "feed-a"
[[rack]]
name = "rack-1"
feed = "feed-a"
[[node]]
name = "serve-1"
rack = "rack-1"
role = "serve"
[[service]]
name = "chat"
model = "Llama-3.1-8B-Instruct"
nodes = ["serve-1"]
[requests]
list = [{ at = "10s", input = 500, output = 100 }]
"""


class Skip(Exception):
    """A case that this machine cannot show; the text says what is missing."""


def case(function):
    CASES.append(function)
    return function


class Done:
    def __init__(self, status, out, err, command):
        self.status, self.out, self.err, self.command = status, out, err, command

    def __str__(self):
        return f"{self.command}\n  exit {self.status}\n  stdout: {self.out[:400]!r}\n  stderr: {self.err[:1000]!r}"


def check(truth, what, done=None):
    if not truth:
        raise AssertionError(f"{what}\n  {done}" if done else what)


def run(*arguments, cwd=None, env=None, stdout=subprocess.PIPE, limit_bytes=None):
    """Runs the program to its end. `limit_bytes`: no file may grow beyond, as on a full disk."""
    def before():
        if limit_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout,
                          stderr=subprocess.PIPE, env=dict(os.environ, **(env or {})), preexec_fn=before, check=False)
    out = (done.stdout or b"").decode(errors="replace")
    return Done(done.returncode, out, done.stderr.decode(errors="replace"), " ".join(map(str, arguments))[:200])


def good(*arguments, **options):
    done = run(*arguments, **options)
    check(done.status == 0, "should have succeeded", done)
    return done


def errors(text):
    """How many errors there are in a text of stderr."""
    return len(re.findall(r"^perjoule: ", text, re.M))


def refused(status, *arguments, says=(), **options):
    """The run must fail with this status and one error that holds every text of `says` (regular expressions)."""
    done = run(*arguments, **options)
    check(done.status == status, f"exit status should be {status}", done)
    check(errors(done.err) == 1 and done.err.startswith("perjoule: "), "should be exactly one error", done)
    for text in says:
        check(re.search(text, done.err), f"the error should say /{text}/", done)
    return done


def files(folder):
    """Paths of all files below, relative, sorted."""
    folder = pathlib.Path(folder)
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def scenario(folder, text=SCENARIO, name="scenario.toml"):
    path = pathlib.Path(folder) / name
    path.write_text(text, encoding="utf-8")
    return path


def changed(old, new, text=SCENARIO):
    check(old in text, f"the scenario has no {old!r}")
    return text.replace(old, new, 1)


def store(folder, *arguments):
    """A small good store."""
    path = pathlib.Path(folder) / "store"
    good("simulate", scenario(folder), "--store", path, *arguments)
    return path


def make_shared_store(root):
    """One small store in `root`, which shared_store copies."""
    global SHARED
    SHARED = root / "shared"
    SHARED.mkdir()
    store(SHARED)


def shared_store(folder):
    path = pathlib.Path(folder) / "store"
    shutil.copytree(SHARED / "store", path)
    return path


def without_leftovers(folder):
    left = [f for f in files(folder) if f.endswith(".part")]
    check(not left, f"half-written files were left: {left}")
