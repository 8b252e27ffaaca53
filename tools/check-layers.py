#!/usr/bin/python3
"""Checks that every #include follows the layer table of ARCHITECTURE.md.

A folder may include itself, include/netshaper, and what the table names.
Portable folders use no system header beyond the C library's: they are built for
other systems too. One line per offence; exit status 1 if there is any.
"""

import pathlib
import re
import sys

# Folder: the other folders it may include. include/netshaper is open to all.
LAYERS = {
    "include/netshaper": [],
    "src/base": [],
    "src/os": ["src/base"],
    "src/packet": ["src/base"],
    "src/filter": ["src/base", "src/packet"],
    "src/flow": ["src/base", "src/packet"],
    "src/shape": ["src/base", "src/packet"],
    "src/impair": ["src/base", "src/packet"],
    "src/policy": ["src/base", "src/packet", "src/filter", "src/flow",
                   "src/policy/x86"],
    # Not portable: vector instructions, built for such processors alone.
    "src/policy/x86": ["src/base", "src/packet", "src/filter", "src/policy"],
    "src/io": ["src/base", "src/os", "src/packet"],
    "src/engine": ["src/base", "src/os", "src/packet", "src/filter",
                   "src/flow", "src/shape", "src/impair", "src/policy", "src/io"],
    "lab": ["src/base"],
    "config": [],
    "verify": [],
    "cli": ["config", "lab", "verify"],
    "examples": [],
}

PORTABLE = ["include/netshaper", "src/base", "src/packet", "src/filter",
            "src/flow", "src/shape", "src/impair", "src/policy", "src/engine", "config"]

C11_HEADERS = {name + ".h" for name in (
    "assert complex ctype errno fenv float inttypes iso646 limits locale math "
    "setjmp signal stdalign stdarg stdatomic stdbool stddef stdint stdio "
    "stdlib stdnoreturn string tgmath time uchar wchar wctype").split()}

# The one file of a portable folder that wraps a library.
WRAPPERS = {"config/yaml.c": "libfyaml.h"}

# Roots that an include may be relative to, beside the file's own folder.
ROOTS = ["include", "src", "."]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def folder_of(path):
    """The layer that 'path' lies in, or None: the table's longest prefix."""
    fits = [f for f in LAYERS if path.startswith(f + "/")]
    return max(fits, key=len) if fits else None


def device_of(path):
    """src/io/<device>/ is a folder of its own: devices ignore each other."""
    found = re.match(r"src/io/(\w+)/", path)
    return found.group(1) if found else None


def resolve(top, path, name):
    for root in [str(pathlib.PurePath(path).parent), *ROOTS]:
        candidate = top / root / name
        if candidate.is_file():
            return str(candidate.resolve().relative_to(top))
    return None


def offence(top, path, bracket, name):
    """Why 'path' may not include 'name', or None."""
    folder = folder_of(path)
    target = resolve(top, path, name) if bracket == '"' else None
    if bracket == '"' and not target:
        return f'"{name}" is not in the tree'
    if not target:
        if (folder in PORTABLE and name not in C11_HEADERS
                and WRAPPERS.get(path) != name):
            return f"{folder} is portable, <{name}> is not in the C library"
        return None
    into = folder_of(target)
    if into not in (folder, "include/netshaper", *LAYERS[folder]):
        return f"{folder} may not include {into or target} ({name})"
    if folder == "src/engine" and device_of(target):
        return f"the engine may not know a device ({name})"
    if (folder == "src/io" and path != "src/io/registry.c"
            and device_of(target) and device_of(target) != device_of(path)):
        return f"a device may not include another ({name})"
    return None


def main():
    top = pathlib.Path(__file__).resolve().parents[1]
    files = sorted(str(path.relative_to(top)) for folder in LAYERS
                   for path in (top / folder).rglob("*.[ch]"))
    bad = 0
    for path in files:
        text = (top / path).read_text()
        for found in INCLUDE.finditer(text):
            why = offence(top, path, *found.groups())
            if why:
                line = text.count("\n", 0, found.start(1)) + 1
                print(f"{path}:{line}: {why}")
                bad += 1
    print(f"check-layers: {len(files)} files, {bad} offences")
    sys.exit(1 if bad or not files else 0)


if __name__ == "__main__":
    main()
