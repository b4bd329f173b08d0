"""The processes of one training run, as torchrun starts them on one host or many."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fleetfit.errors import InputError, SurroundingsError

__all__ = ["Processes", "check_count", "device_of", "joined", "memory_told"]

_START = "at the start"
_LONGEST_PAUSE = datetime.timedelta(hours=4)
"""One process may give way to measurements while the others wait for it in an exchange."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Processes:
    """Which process of a run this is; alone by default."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """``module`` with gradients averaged over the processes at each backward pass."""
        if self.count == 1:
            return module
        with self.together(_START):
            # a sub-network uses a part of the parameters, and not the same at each step
            return DistributedDataParallel(module, find_unused_parameters=True)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes."""
        if self.count == 1:
            return values
        values = values.clone()
        dist.all_reduce(values)
        return values / self.count

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            with self.together("at the end"):
                dist.barrier()

    def check_same(self, what: str, value: object, advice: str) -> None:
        """Raises InputError with ``advice`` where ``value`` differs between the processes."""
        if self.count == 1:
            return
        found: list[object] = [None] * self.count
        with self.together(_START):
            dist.all_gather_object(found, value)
        odd = next((rank for rank, theirs in enumerate(found) if theirs != found[0]), None)
        if odd is not None:
            raise InputError(
                f"All processes must have the same {what}, but rank {odd} differs from rank 0; "
                f"{advice}."
            )

    @contextlib.contextmanager
    def together(self, when: str) -> Iterator[None]:
        """Work that all do at once; SurroundingsError where another one is gone."""
        try:
            yield
        except RuntimeError as exc:
            if self.count == 1 or not _is_lost(exc):
                raise
            reason = str(exc).strip().splitlines()[0]
            raise SurroundingsError(
                f"Training processes must all run to the end, but rank {self.rank} of {self.count} "
                f"(process {os.getpid()}) lost another one {when} ({reason}); start the same "
                "command again to go on from the last state."
            ) from exc


def _is_lost(exc: RuntimeError) -> bool:
    """Whether it is about the connection to another process; gloo raises bare RuntimeError."""
    return isinstance(exc, dist.DistError) or "gloo" in str(exc) or "Connection" in str(exc)


@contextlib.contextmanager
def memory_told(advice: str) -> Iterator[None]:
    """Work on a GPU; SurroundingsError with ``advice`` where its memory does not suffice."""
    try:
        yield
    except torch.OutOfMemoryError as exc:
        raise SurroundingsError(
            f"A step must fit into the GPU's memory, but does not; {advice}."
        ) from exc


def device_of(name: str) -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; each process has its own GPU.

    Raises InputError for another name and SurroundingsError where there is no such device.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", name):
        raise InputError(f"A device must be auto, cpu, cuda or cuda:N, but got {name!r}.")
    there = torch.cuda.is_available()
    if name == "cpu" or (name == "auto" and not there):
        return torch.device("cpu")
    if not there:
        raise SurroundingsError(
            f"{name!r} must be a GPU that torch can use, but it sees none; say cpu or auto."
        )
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if ":" in name and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(f"Each process must have its own GPU, but all got {name}; say cuda.")
    device = torch.device(name if ":" in name else f"cuda:{local}")
    if device.index is None or device.index >= torch.cuda.device_count():
        raise SurroundingsError(
            f"{device} must be one of this machine's GPUs, but torch sees "
            f"{torch.cuda.device_count()}; start no more processes than GPUs."
        )
    return device


def check_count(device: torch.device, count: int) -> None:
    """Raises SurroundingsError where ``count`` processes do not each find a GPU of their own."""
    if device.type == "cuda" and count > torch.cuda.device_count():
        raise SurroundingsError(
            f"Each of {count} processes must have its own GPU, but torch sees "
            f"{torch.cuda.device_count()}; start no more processes than GPUs, or say --device cpu."
        )


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """The run that torchrun started this process for, by its environment; alone without one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    here = Processes(rank=int(os.environ["RANK"]), count=int(os.environ["WORLD_SIZE"]))
    with here.together(_START):
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_LONGEST_PAUSE)
    try:
        yield here
    finally:
        dist.destroy_process_group()
