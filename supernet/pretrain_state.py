"""The state of a training run on disk: weights, optimizer moments, step, and what it came from."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from fleetfit.codec import to_json
from fleetfit.errors import InputError, SurroundingsError
from fleetfit.files import write_bytes
from supernet.pretrain_config import PretrainConfig

__all__ = ["TrainingState", "held"]

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_FREE = ("learning_rate", "head_learning_rate")
"""Settings that may change on the way, as after losses that were not finite."""


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """The sole right to write a run's directory; SurroundingsError where another process has it."""
    try:
        import fcntl  # not there on Windows
    except ImportError:
        yield
        return
    with (directory / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise SurroundingsError(
                f"Only one command at a time may train in {directory}, but another does; wait for "
                "it or stop it."
            ) from exc
        except OSError:
            pass  # some file systems have no locks
        yield


class TrainingState:
    """``path`` with the parameters ``named`` and the moments of their ``optimizer``."""

    def __init__(
        self,
        path: Path,
        config: PretrainConfig,
        came_from: Mapping[str, str],
        named: dict[str, Tensor],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """``came_from``: digests by what they are of; a state must come from the same."""
        self._path, self._came_from = path, dict(came_from)
        self._named, self._optimizer = named, optimizer
        settings = to_json(config)
        self._settings = {k: v for k, v in settings.items() if k not in _FREE}

    def save(self, step: int) -> None:
        """Write all of it, after ``step`` steps."""
        tensors = {f"weights.{name}": p.detach() for name, p in self._named.items()}
        for name, parameter in self._named.items():
            for part, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"{part}.{name}"] = value.detach().float()
        metadata = {
            "step": str(step),
            "config": json.dumps(self._settings),
            "inputs": json.dumps(self._came_from),
        }
        data = to_bytes({n: t.contiguous().cpu() for n, t in tensors.items()}, metadata)
        write_bytes(self._path, data)

    def restore(self, *, clean: bool = True) -> int | None:
        """Read it back where there is one: the number of steps taken.

        ``clean``: remove what a kill left of a save. Raises InputError for a state of other
        settings or inputs, and for a damaged one.
        """
        for stray in self._path.parent.glob(f".{self._path.name}.*") if clean else ():
            stray.unlink()
        if not self._path.exists():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except Exception as exc:  # safetensors raises its own kind
            raise InputError(f"{self._path} must be a whole state file, but: {exc}.") from exc
        self._check_same(metadata)
        try:
            self._put(tensors)
            return int(metadata["step"])
        except (KeyError, RuntimeError, ValueError) as exc:
            raise InputError(f"{self._path} must hold the whole state, but: {exc!r}.") from exc

    def _check_same(self, metadata: Mapping[str, str]) -> None:
        try:
            config = dict(json.loads(metadata.get("config", "{}")))
            inputs = dict(json.loads(metadata.get("inputs", "{}")))
        except (ValueError, TypeError) as exc:
            raise InputError(f"{self._path} must say what it came from, but: {exc}.") from exc
        both = config.keys() | self._settings.keys()
        odd = [f"settings ({n})" for n in sorted(both) if config.get(n) != self._settings.get(n)]
        odd += [what for what, ours in self._came_from.items() if inputs.get(what) != ours]
        if odd:
            raise InputError(
                f"{self._path} must come from the same {', '.join(odd)}, but got others; give "
                "those of the first start (recipe.toml there has its settings), or another "
                "directory."
            )

    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._named.items():
                parameter.copy_(tensors[f"weights.{name}"])
                if f"exp_avg.{name}" in tensors:
                    self._optimizer.state[parameter] = {
                        part: tensors[f"{part}.{name}"].to(parameter.device) for part in _MOMENTS
                    }
