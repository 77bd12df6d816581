"""What the check scripts share: finding C files, and seeing a C file without its comments."""

import os
import sys

FOLDERS = ("base", "consensus", "proto", "net", "kv", "tests")


def root_of(argv):
    """The tree to check: the first argument, or the checkout the script is in."""
    if len(argv) > 1:
        return os.path.abspath(argv[1])
    return os.path.dirname(os.path.dirname(os.path.abspath(argv[0])))


def c_files(root):
    """Paths, relative to root and sorted, of the .c and .h files of the project's folders."""
    found = []
    for folder in FOLDERS:
        for place, folders, names in os.walk(os.path.join(root, folder)):
            folders[:] = [f for f in folders if not f.startswith(".") and f != "corpus"]
            for name in names:
                if name.endswith((".c", ".h")):
                    found.append(os.path.relpath(os.path.join(place, name), root))
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def split(text):
    """Returns (code, comments, line_comments): the text with comments, and the contents of strings
    and characters, replaced by blanks; the text with everything but comments replaced by blanks;
    and the offsets of // comments. Newlines stay, so line numbers are those of the file."""
    code = list(text)
    comments = [c if c == "\n" else " " for c in text]
    line_comments = []
    i, size = 0, len(text)
    while i < size:
        two = text[i : i + 2]
        if two == "/*":
            end = text.find("*/", i + 2)
            end = size if end < 0 else end + 2
        elif two == "//":
            line_comments.append(i)
            end = text.find("\n", i)
            end = size if end < 0 else end
        elif text[i] in "\"'":
            end = i + 1
            while end < size and text[end] != text[i] and text[end] != "\n":
                end += 2 if text[end] == "\\" else 1
            for j in range(i + 1, min(end, size)):
                if text[j] != "\n":
                    code[j] = " "
            i = end + 1
            continue
        else:
            i += 1
            continue
        for j in range(i, end):
            if text[j] != "\n":
                comments[j] = text[j]
                code[j] = " "
        i = end
    return "".join(code), "".join(comments), line_comments


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


class Report:
    """Collects violations, prints them as file:line: rule, and ends the script."""

    def __init__(self):
        self.count = 0

    def fail(self, path, line, rule):
        print(f"{path}:{line}: {rule}")
        self.count += 1

    def end(self, files):
        print(f"{files} files checked, {self.count} violations")
        sys.exit(1 if self.count else 0)
