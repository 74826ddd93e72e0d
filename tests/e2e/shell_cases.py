"""Completion in real shells and manual pages in real formatters."""
import os
import re
import shutil
import subprocess

from command_cases import commands
from harness import PROGRAM, Skip, case, check, files, good

BASH = r"""
source <("$1" completion bash) || exit 9
cd "$2"
line=$3
# The words as readline splits them: blanks and "=" part them, "=" is a word.
COMP_WORDS=()
for word in $line; do
  while [[ $word == *=* ]]; do
    [[ ! ${word%%=*} ]] || COMP_WORDS+=("${word%%=*}")
    COMP_WORDS+=("=")
    word=${word#*=}
  done
  [[ ! $word ]] || COMP_WORDS+=("$word")
done
[[ $line != *' ' ]] || COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$line COMP_POINT=${#line}
_perjoule perjoule "${COMP_WORDS[COMP_CWORD]}" ''
printf '%s\n' "${COMPREPLY[@]}"
"""


def completed(line, folder="."):
    """What bash offers for the line as typed."""
    done = subprocess.run(["bash", "--norc", "-c", BASH, "bash", PROGRAM, str(folder), line], capture_output=True, text=True,
                          check=False)
    check(done.returncode == 0 and not done.stderr, f"{line!r}: {done}")
    return [word for word in done.stdout.split("\n") if word]


@case
def bash_completes_commands_options_and_values(folder):
    (folder / "one.toml").write_text("")
    (folder / "two words").mkdir()
    names = completed("perjoule ")
    for path, text in commands():
        if path:
            check(path[0] in names, f"{path[0]} is not offered")
        offered = completed(" ".join(("perjoule", *path, "--")))
        for option in re.findall(r"^  (?:-\w,)?(--[a-z-]+)", text, re.M):
            check(option in offered, f"{path}: {option} is not offered")
    for line, expected in (
            ("perjoule si", ["signals", "simulate"]), ("perjoule --quiet si", ["signals", "simulate"]),
            ("perjoule config ", ["check"]), ("perjoule calibrate ", ["power"]), ("perjoule completion ", ["bash", "zsh", "fish"]),
            ("perjoule explain ", ["request", "job", "kernel", "decision", "meter", "line"]),
            ("perjoule explain --store x re", ["request"]), ("perjoule explain request ", []),
            ("perjoule query 'select 1' --format ", ["table", "json", "jsonl", "csv", "arrow", "parquet"]),
            ("perjoule query x --format=c", ["csv"]),
            ("perjoule simulate x --policies n", ["none"]), ("perjoule simulate x --policies sleep=timeo", ["timeout"]),
            ("perjoule simulate x --policies none,al", ["none,all"]),
            ("perjoule simulate x --policies sleep=heaa,cap=fix", ["fixed-500"]),
            ("perjoule top --by tenant,mod", ["tenant,model"]), ("perjoule top --limit ", []),
            ("perjoule import gav", ["gavel"]), ("perjoule signals gpu.energ", ["gpu.energy"]),
            ("perjoule simulate on", ["one.toml"]), ("perjoule config check on", ["one.toml"]),
            ("perjoule top --store two", ["two words"]), ("perjoule --config on", ["one.toml"]),
            ("perjoule top --config on", ["one.toml"]), ("perjoule man config-", ["config-check"]),
            ("perjoule query jo", ["joules", "jobs", "joules_by_consumer", "joules_by_device", "joules_by_kernel"]), ("perjoule nothing-like-it", []),
    ):
        found = completed(line, folder)
        check(sorted(found) == sorted(expected), f"{line!r}: {found}, expected {expected}")


@case
def bash_completes_inside_of_sql(folder):
    script = f"""source <("{PROGRAM}" completion bash); COMP_WORDS=(perjoule query "'select * from jou"); COMP_CWORD=2
_perjoule; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    tables = ["joules", "joules_by_consumer", "joules_by_device", "joules_by_kernel"]
    check(done.stdout.split("\n") == [f"select * from {t}" for t in tables] + [""] and not done.stderr, f"{done}")


def script_passes(shell, folder, *check_command):
    if not shutil.which(shell):
        raise Skip(f"there is no {shell}")
    path = folder / f"completion.{shell}"
    path.write_text(good("completion", shell).out)
    done = subprocess.run([*check_command, path], capture_output=True, text=True, check=False)
    check(done.returncode == 0 and not done.stderr, f"{shell}: {done}")
    return path


@case
def bash_script_is_good_bash(folder):
    script_passes("bash", folder, "bash", "-n")


@case
def zsh_script_is_good_zsh(folder):
    path = script_passes("zsh", folder, "zsh", "-n")
    load = f"autoload -U compinit; compinit -D -u -d {folder}/dump; source {path}; print -r -- $_comps[perjoule]"
    done = subprocess.run(["zsh", "-f", "-c", load], capture_output=True, text=True, check=False)
    check(done.stdout == "_perjoule\n" and not done.stderr, f"{done}")


@case
def fish_completes(folder):
    path = script_passes("fish", folder, "fish", "-n")
    for line, expected in (("perjoule si", {"signals", "simulate"}), ("perjoule config ", {"check"}),
                           ("perjoule explain re", {"request"}), ("perjoule simulate x --policies none,al", {"none,all"}),
                           ("perjoule query x --format ", {"table", "json", "jsonl", "csv", "arrow", "parquet"}), ("perjoule top --lim", {"--limit"}),
                           ("perjoule top --verb", {"--verbose"}), ("perjoule completion z", {"zsh"})):
        done = subprocess.run(["fish", "--no-config", "-c", f'source {path}; complete -C"{line}"'], capture_output=True, text=True,
                              env=dict(os.environ, HOME=str(folder)), check=False)
        found = {row.split("\t")[0] for row in done.stdout.splitlines()}
        check(found == expected and not done.stderr, f"{line!r}: {found}, expected {expected}: {done.stderr}")


SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "FILES", "ENVIRONMENT", "SEE ALSO"]


@case
def manual_pages_are_whole(folder):
    good("man", "--all", folder / "man1")
    names = ["-".join(("perjoule", *path)) for path, _ in commands()]
    check(files(folder / "man1") == sorted(f"{n}.1" for n in names), f"pages: {files(folder)}")
    for path, help_text in commands():
        page = (folder / "man1" / ("-".join(("perjoule", *path)) + ".1")).read_text()
        check(page == good("man", *path).out, f"{path}: man and man --all differ")
        found = [s for s in re.findall(r"^\.SH (.*)", page, re.M) if s != "COMMANDS"]
        check(found == SECTIONS, f"{path}: sections {found}")
        plain = page.replace("\\-", "-")
        for option in re.findall(r"^  (?:-\w,)?(--[a-z-]+)", help_text, re.M):
            check(f"\\fB{option}\\fR" in plain, f"{path}: {option} is not in the page")
        for status in ("0", "1", "2", "3", "4"):
            check(f".TP\n\\fB{status}\\fR" in page, f"{path}: no exit status {status}")
        check(page.count("\n.nf\n") == 3, f"{path}: not three examples")


@case
def manual_pages_format_without_a_warning(folder):
    if not shutil.which("groff"):
        raise Skip("there is no groff")
    good("man", "--all", folder)
    for name in files(folder):
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", folder / name], capture_output=True, text=True, check=False)
        check(done.returncode == 0 and not done.stderr, f"{name}: {done.stderr}")
        plain = re.sub("\x1b\\[[0-9;]*m|.\b", "", done.stdout)  # without what makes it bold
        check("perjoule" in plain and "SEE ALSO" in plain, f"{name}: {done.stdout[:300]}")


@case
def man_shows_the_pages(folder):
    if not shutil.which("man"):
        raise Skip("there is no man")
    good("man", "--all", folder)
    for name in files(folder):
        done = subprocess.run(["man", "--warnings", "-l", folder / name], capture_output=True, text=True, check=False,
                              env=dict(os.environ, MANPAGER="cat", MANROFFOPT="", LC_ALL="C.UTF-8"))
        check(done.returncode == 0 and not done.stderr, f"{name}: {done.stderr}")
