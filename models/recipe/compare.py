"""Holds two files of entities against each other: `python compare.py reference.jsonl nerd.jsonl --allow 0`.

Both are JSON lines `{"id", "entities": [{"start", "end", "label"}]}`; ids are compared without directory and `.txt`.
Ends with 1 if more entities than allowed are in one file only.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path, PurePosixPath


def read(path: Path) -> dict[str, set]:
    out = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        name = PurePosixPath(str(row["id"])).name.removesuffix(".txt")
        out[name] = {(entity["start"], entity["end"], entity["label"]) for entity in row["entities"]}
    return out


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("one", type=Path)
    arguments.add_argument("other", type=Path)
    arguments.add_argument("--allow", type=int, default=0, help="entities that may differ")
    options = arguments.parse_args()
    one, other = read(options.one), read(options.other)
    if missing := set(one) ^ set(other):
        sys.exit(f"only in one of the files: {', '.join(sorted(missing))}")
    different = 0
    for name in sorted(one):
        for entity in sorted(one[name] ^ other[name]):
            different += 1
            print(f"{name}: {entity} only in {options.one if entity in one[name] else options.other}")
    total = sum(map(len, one.values()))
    print(f"{different} of {total} entities differ, {options.allow} allowed")
    sys.exit(different > options.allow)


if __name__ == "__main__":
    main()
