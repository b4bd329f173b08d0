"""CUDA's runtime and the GPU that is used: the first visible one (CUDA_VISIBLE_DEVICES).

The one module that imports ``cuda``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fleetfit import RuntimeMissing, SurroundingsError

__all__ = ["Gpu", "bound", "call", "chooser", "cuda_bus", "cuda_library", "first_gpu", "use_first"]

_DEVICE = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """What decides whether an engine fits."""

    name: str
    capability: tuple[int, int]
    """CUDA's compute capability."""
    driver: int
    """The newest CUDA that the driver knows, as in 13000 for 13.0."""

    def __str__(self) -> str:
        """For sentences."""
        return "{}, compute capability {}.{}".format(self.name, *self.capability)


def cuda_library() -> Any:
    """The module of CUDA's runtime; raises RuntimeMissing."""
    try:
        from cuda.bindings import runtime
    except ImportError as exc:
        raise RuntimeMissing(
            "cuda-bindings must be installed for this target, but it is not: pip install "
            "cuda-bindings, of CUDA 12 ('cuda-bindings<13') where the driver is older than 580."
        ) from exc
    return runtime


def first_gpu() -> Gpu:
    """The GPU that is used; raises RuntimeMissing, and SurroundingsError without GPU or driver.

    Unlike TensorRT, which may end the process, this can be asked on any machine.
    """
    library = cuda_library()
    error, count = library.cudaGetDeviceCount()
    if int(error) != 0 or count < 1:
        raise SurroundingsError(
            "An NVIDIA GPU and its driver must be there for this target, but CUDA says: "
            f"{_text(library, error) if int(error) else 'no GPU is visible'}; install or update "
            "the driver, or choose a target for processors."
        )
    which = library.cudaDeviceAttr
    major, minor = _attributes(
        which.cudaDevAttrComputeCapabilityMajor, which.cudaDevAttrComputeCapabilityMinor
    )
    name = call("cudaGetDeviceProperties", _DEVICE).name
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return Gpu(
        name=text.rstrip("\0"),
        capability=(major, minor),
        driver=int(call("cudaDriverGetVersion")),
    )


def cuda_bus() -> tuple[int, int, int] | None:
    """Domain, bus and device (PCI) of the GPU that is used; None where CUDA does not tell.

    The order of CUDA is not that of NVML, nor does every process see all GPUs; the
    place on the bus is the same.
    """
    try:
        which = cuda_library().cudaDeviceAttr
        domain, bus, device = _attributes(
            which.cudaDevAttrPciDomainId, which.cudaDevAttrPciBusId, which.cudaDevAttrPciDeviceId
        )
    except (RuntimeMissing, SurroundingsError):
        return None
    return domain, bus, device


def _attributes(*which: Any) -> list[int]:
    return [int(call("cudaDeviceGetAttribute", one, _DEVICE)) for one in which]


def call(function: str, *args: Any) -> Any:
    """``bound(function)(*args)``; for what is called once."""
    return bound(function)(*args)


def bound(function: str) -> Callable[..., Any]:
    """A function of CUDA's runtime that gives its value, None where it has none.

    It raises SurroundingsError with CUDA's own words.
    """
    library = cuda_library()
    found = getattr(library, function)

    def checked(*args: Any) -> Any:
        error, *values = found(*args)
        if int(error) != 0:
            raise SurroundingsError(
                f"The GPU must take {function}, but CUDA says: {_text(library, error)}; free its "
                "memory, check its driver, or leave this target out."
            )
        return values[0] if values else None

    return checked


def use_first() -> None:
    """Put the calling thread on the GPU that is used: another library may have moved it."""
    chooser()()


def chooser() -> Callable[[], None]:
    """What does ``use_first``, bound once."""
    choose = bound("cudaSetDevice")
    return lambda: choose(_DEVICE)


def _text(library: Any, error: Any) -> str:
    _, text = library.cudaGetErrorString(error)
    said = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    return f"{said} (error {int(error)})"
