#!/usr/bin/env python3
"""Sizes: a function over 60 lines or a file over 800 needs a comment that begins with "Long because".

The comment stands in the function or right above it, or in the first 20 lines of the file. The share of short functions
(half under 12 lines, nine in ten under 45) is checked over the whole tree, tests left out.
"""
import bisect
import re

from repository import CODE, files, finish, relative

FILE_LIMIT, FUNCTION_LIMIT = 800, 60
REASON = re.compile(r"Long because \w+")
CONTROL = re.compile(r"\b(if|for|while|switch|catch|return|constexpr if)\s*$")


def blank(text):
    """The text with comments, strings and characters replaced by blanks; line breaks stay."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def opening(text, close):
    """Index of the parenthesis that the one at `close` closes, or -1."""
    depth = 0
    for i in range(close, -1, -1):
        depth += (text[i] == ")") - (text[i] == "(")
        if depth == 0:
            return i
    return -1


def is_function(text, brace):
    """Whether the brace opens a function's body: a parameter list stands before it, and no control word before that."""
    start = max(text.rfind(c, 0, brace) for c in ";{}") + 1
    # A line for the preprocessor has parentheses of its own.
    head = re.sub(r"(?m)^\s*#.*$", "", text[start:brace])
    if ")" not in head or re.match(r"\s*(namespace|class|struct|enum|union|else|do|try)\b", head) or "=" in head.split("(")[0]:
        return False
    first = head.find("(")
    return not CONTROL.search(head[:first].rstrip())


def functions(text):
    """(first line, last line) of every outermost function body."""
    code = blank(text)
    starts = [0] + [m.end() for m in re.finditer("\n", code)]
    line = lambda i: bisect.bisect_right(starts, i)
    out, depth, begun = [], 0, None
    for match in re.finditer(r"[{}]", code):
        i = match.start()
        if match.group() == "{":
            if begun is None and is_function(code, i):
                begun = (depth, i)
            depth += 1
        else:
            depth -= 1
            if begun and depth == begun[0]:
                out.append((line(begun[1]), line(i)))
                begun = None
    return out


def main():
    problems, lengths = [], []
    paths = files(["src", "apps", "bench", "fuzz"], CODE)
    for path in paths:
        text = path.read_text(errors="replace")
        lines = text.splitlines()
        if len(lines) > FILE_LIMIT and not REASON.search("\n".join(lines[:20])):
            problems.append(f"{relative(path)}:1: {len(lines)} lines (more than {FILE_LIMIT}) and no reason given")
        for first, last in functions(text):
            length = last - first + 1
            if not path.name.endswith("_test.cc"):
                lengths.append(length)
                if length > FUNCTION_LIMIT and not REASON.search("\n".join(lines[max(0, first - 8):last])):
                    problems.append(f"{relative(path)}:{first}: a function of {length} lines (more than "
                                    f"{FUNCTION_LIMIT}) and no reason given")
    lengths.sort()
    half, nine = (lengths[int(len(lengths) * q)] if lengths else 0 for q in (0.5, 0.9))
    if half >= 12 or nine >= 45:
        problems.append(f"functions have grown long: half are under {half + 1} lines, nine in ten under {nine + 1}")
    finish(problems, f"{len(lengths)} functions in {len(paths)} files: half have at most {half} lines, nine in ten {nine}")


if __name__ == "__main__":
    main()
