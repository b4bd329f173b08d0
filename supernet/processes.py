"""The processes of one training run, as torchrun starts them on one host or many."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fleetfit.errors import InputError, SurroundingsError

__all__ = ["Processes", "device_of", "joined"]


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
            dist.barrier()

    def check_same(self, what: str, value: int) -> None:
        """Raises InputError where ``value`` differs between the processes."""
        if self.count == 1:
            return
        found: list[int] = [0] * self.count
        dist.all_gather_object(found, value)
        if len(set(found)) > 1:
            raise InputError(
                f"All processes must have the same {what}, but have {found}; the run's directory "
                "must be one that all hosts see."
            )

    @contextlib.contextmanager
    def together(self, step: int) -> Iterator[None]:
        """Work that all do at once; SurroundingsError where another one is gone."""
        try:
            yield
        except RuntimeError as exc:
            if self.count == 1 or isinstance(exc, torch.OutOfMemoryError):
                raise
            reason = str(exc).strip().splitlines()[0]
            raise SurroundingsError(
                f"Training processes must all run to the end, but rank {self.rank} of {self.count} "
                f"(process {os.getpid()}) lost another one at step {step} ({reason}); start the "
                "same command again to go on from the last state."
            ) from exc


def device_of(name: str) -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; each process has its own GPU.

    Raises InputError for another name and SurroundingsError where there is no such device.
    """
    if name not in ("auto", "cpu") and not name.startswith("cuda"):
        raise InputError(f"A device must be auto, cpu, cuda or cuda:N, but got {name!r}.")
    there = torch.cuda.is_available()
    if name == "cpu" or (name == "auto" and not there):
        return torch.device("cpu")
    if not there:
        raise SurroundingsError(f"{name!r} must be a GPU that torch can use, but it sees none.")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    try:
        device = torch.device(name if ":" in name else f"cuda:{local}")
    except RuntimeError as exc:
        raise InputError(f"A device must be auto, cpu, cuda or cuda:N, got {name!r}.") from exc
    if device.index is None or device.index >= torch.cuda.device_count():
        raise SurroundingsError(
            f"{device} must be one of this machine's GPUs, but torch sees "
            f"{torch.cuda.device_count()}; start no more processes than GPUs."
        )
    return device


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """The run that torchrun started this process for, by its environment; alone without one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(rank=dist.get_rank(), count=dist.get_world_size())
    finally:
        dist.destroy_process_group()
