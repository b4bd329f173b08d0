"""A training without a network: ``python training_child.py LOCK [how]``.

It says what it does on stdout, one line each: "step" after each step, and what giving_way says.
``how``: "endless" for a step that never ends, "late" for one that ends with a line on stdin.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from devices import giving_way


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(lock: Path, how: str) -> None:
    with giving_way("a training", say=say, lock=lock) as pause:
        while True:
            say("step")
            if how == "endless":
                time.sleep(1000)
            elif how == "late":
                sys.stdin.readline()
            time.sleep(0.01)
            pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
