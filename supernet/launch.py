"""Several processes of one command on this machine, as torchrun starts them."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from fleetfit.errors import FleetfitError, InputError, SurroundingsError

__all__ = ["launch"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def launch(command: Sequence[str], *, count: int) -> None:
    """Run ``python *command`` in ``count`` processes to their end.

    Where one fails all are stopped: InputError where it has found bad input (it has said so
    itself), otherwise SurroundingsError, both with its rank. An interrupt stops all of them too.
    """
    if count < 2:
        raise InputError(f"`processes >= 2` must hold to start several, but got {count}.")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
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
        raise _failed(exc.failures, count) from exc
    except SignalException as exc:
        raise KeyboardInterrupt from exc
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _failed(failures: dict[int, ProcessFailure], count: int) -> FleetfitError:
    # who was killed comes first: the others fail because it is gone
    killed = {r: f for r, f in failures.items() if f.exitcode < 0 and f.exitcode != -signal.SIGTERM}
    rank, failure = min((killed or failures).items())
    who = f"All {count} training processes must run to the end, but rank {rank}"
    if failure.exitcode < 0:
        return SurroundingsError(
            f"{who} (process {failure.pid}) was ended by {signal.Signals(-failure.exitcode).name}, "
            "and all were stopped; start the same command again to go on from the last state."
        )
    kind = InputError if failure.exitcode == InputError.exit_code else SurroundingsError
    return kind(
        f"{who} (process {failure.pid}) ended with exit code {failure.exitcode}, and all were "
        "stopped; it says above why and what to do."
    )
