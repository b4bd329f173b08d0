"""A process that works on stores, to be killed or to race with others: see ``ACTIONS``.

Arguments: what to do, and a URL; answers go to standard output, line by line.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable

import sqlalchemy as sa

from profiler import Contents, Store, contents_of, merge
from tests.profiler.stored import VERSIONS, job, measured


def tell(text: str) -> None:
    print(text, flush=True)


def write_for_ever(url: str) -> None:
    """Say the number of each measurement once it is stored."""
    with Store(url) as store:
        for number in itertools.count():
            store.put(measured(job=job(number), samples_s=((0.01,) * 2000,)))
            tell(str(number))


def open_each(_: str) -> None:
    """Open each URL that comes in, write into it, and say how that went."""
    tell("ready")
    for line in sys.stdin:
        with Store(line.strip()) as store:
            store.put_repeat(measured(float(os.getpid())))
            store.put_quality("k", "a", "fp32", 1.0)
        tell("done")


def die_at(number: int) -> None:
    """Die at the number-th statement or commit."""
    left = itertools.count(1)

    def count(*_: object) -> None:
        if next(left) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    sa.event.listen(sa.Engine, "commit", count)


def killed_each(url: str, work: Callable[[str, Contents], None]) -> None:
    """Do ``work`` in children that die in the middle; ``url`` is of the store to take from.

    Lines come in, the number of the statement to die at and a URL; each is answered by ``killed``,
    or by ``done`` where there were fewer statements.
    """
    with Store(url) as store:
        other = contents_of(store)
    tell("ready")
    for line in sys.stdin:
        number, target = line.split()
        child = os.fork()
        if child == 0:
            die_at(int(number))
            work(target, other)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        tell("killed" if os.WIFSIGNALED(status) else "done" if status == 0 else "failed")


def migrate_one(url: str, _: Contents) -> None:
    Store(url).close()


def merge_one(url: str, other: Contents) -> None:
    with Store(url) as store:
        merge(store, other)


def put_one(url: str, _: Contents) -> None:
    with Store(url) as store:
        store.add_reference("a", "t", VERSIONS, 0.001)
        store.put(measured(0.5))


ACTIONS: dict[str, Callable[[str], None]] = {
    "write": write_for_ever,
    "open": open_each,
    "migrate": lambda url: killed_each(url, migrate_one),
    "merge": lambda url: killed_each(url, merge_one),
    "put": lambda url: killed_each(url, put_one),
}

if __name__ == "__main__":
    ACTIONS[sys.argv[1]](sys.argv[2])
