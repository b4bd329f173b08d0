"""Several processes of one command on this machine, as torchrun starts them."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from fleetfit.errors import INTERRUPTED, FleetfitError, InputError, SurroundingsError

__all__ = ["failed", "launch"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def launch(command: Sequence[str], *, count: int) -> None:
    """Run ``python *command`` in ``count`` processes to their end.

    Where one fails all are stopped: InputError where it has found bad input (it has said so
    itself), SurroundingsError where it was lost, FleetfitError where it failed by a bug, all with
    its rank. An interrupt stops all of them too.
    """
    if count < 2:
        raise InputError(f"`processes >= 2` must hold to start several, but got {count}.")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _usable_cores() // count)))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        run_id=f"fleetfit-{os.getpid()}",
    )
    before = {number: signal.getsignal(number) for number in _SIGNALS}  # it sets its own
    try:
        elastic_launch(config, sys.executable)(*command)
    except ChildFailedError as exc:
        codes = {rank: (failure.pid, failure.exitcode) for rank, failure in exc.failures.items()}
        raise failed(codes, count) from exc
    except SignalException as exc:
        raise KeyboardInterrupt from exc
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Linux has it, others may not
        return os.cpu_count() or 1


def failed(codes: Mapping[int, tuple[int, int]], count: int) -> FleetfitError:
    """The error of ``count`` processes; ``codes``: process id and exit code of each that failed.

    A rank is to blame that found bad input or a bug, or else was killed: others then fail because
    it is gone (exit code 4), or were stopped because of it.
    """
    rank, (pid, code) = min(codes.items(), key=lambda item: (_order(item[1][1]), item[0]))
    who = f"All {count} training processes must run to the end, but rank {rank} (process {pid})"
    if code < 0:
        return SurroundingsError(
            f"{who} was ended by {signal.Signals(-code).name}, and all were stopped; start the "
            "same command again to go on from the last state."
        )
    kinds = {kind.exit_code: kind for kind in (FleetfitError, InputError)}
    return kinds.get(code, SurroundingsError)(
        f"{who} ended with exit code {code}, and all were stopped; it says above why."
    )


def _order(code: int) -> int:
    """Blame, most first."""
    if code in (InputError.exit_code, FleetfitError.exit_code):
        return 0
    if code in (-signal.SIGTERM, INTERRUPTED):  # stopped
        return 3
    return 1 if code < 0 else 2
