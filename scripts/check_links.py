#!/usr/bin/env python3
"""Every relative link and picture in a Markdown file leads to a file of the tree, and every #anchor to a heading."""
import re
import urllib.parse

from repository import ROOT, files, finish, relative

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")


def prose(text):
    """The text without fenced blocks and inline code, line numbers kept."""
    text = re.sub(r"^(```|~~~).*?^\1\s*$", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path):
    """Anchors that the headings of a Markdown file make (the common rule: lower case, spaces to hyphens)."""
    out = set()
    text = re.sub(r"^(```|~~~).*?^\1\s*$", "", path.read_text(), flags=re.S | re.M)
    for heading in re.findall(r"^#+\s+(.*?)\s*#*$", text, re.M):
        out.add(re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).lower().replace(" ", "-"))
    return out


def check_link(path, target):
    """The reason why the link is broken, or None."""
    if re.match(r"[a-z]+:", target):
        return None
    name, _, anchor = urllib.parse.unquote(target).partition("#")
    if name.startswith("/"):
        return "an absolute path"
    file = (path.parent / name).resolve() if name else path
    if not file.exists():
        return "no such file"
    if not file.is_relative_to(ROOT):
        return "leads out of the tree"
    if anchor and file.suffix == ".md" and anchor not in anchors(file):
        return f"no heading '{anchor}' there"
    return None


def main():
    problems, count = [], 0
    paths = files(["."], (".md",))
    for path in paths:
        for number, line in enumerate(prose(path.read_text()).splitlines(), 1):
            for target in LINK.findall(line):
                count += 1
                why = check_link(path, target)
                if why:
                    problems.append(f"{relative(path)}:{number}: ({target}): {why}")
    finish(problems, f"{count} links in {len(paths)} documents are good")


if __name__ == "__main__":
    main()
