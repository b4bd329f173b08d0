"""Options that several verbs share, and how their text becomes values."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast, get_args

import typer
from rich.markup import escape

from fleetfit import (
    Budget,
    DeviceInfo,
    Head,
    InputError,
    Precision,
    RuntimeMissing,
    SurroundingsError,
    Target,
)
from search.cli.console import say

if TYPE_CHECKING:
    from profiler import Store

__all__ = [
    "MAX_SEED",
    "AsJson",
    "Budgets",
    "Device",
    "Labels",
    "StoreUrl",
    "SupernetPath",
    "Targets",
    "Threads",
    "budgets_of",
    "head_of",
    "numbers_of",
    "open_store",
    "refuse_alone",
    "refuse_beside",
    "share_of",
    "targets_of",
    "written",
]

Compatible = Literal["none", "version", "hardware"]
_NAME = r"(.*?)(?:-([0-9]{1,5})t)?(-fixed)?(-spin)?(-version|-hardware)?(-graph)?"
MAX_SEED = 2**32 - 1  # torch takes no more than a signed 64-bit number
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda or cuda:N; auto: a GPU where there is one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
SupernetPath = Annotated[Path, typer.Argument(help="Directory of a supernet checkpoint.")]
StoreUrl = Annotated[str, typer.Option(help="Measurements: an SQLAlchemy URL or a file name.")]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        help="RUNTIME-PRECISION, as in openvino-bf16, with -2t for threads, -fixed for fixed "
        "shapes, -spin for threads that spin (onnxruntime), -version or -hardware for engines "
        "that also load in newer versions or on other GPUs, -graph for a CUDA graph (tensorrt); "
        "repeat it. Default: all this machine has but int8 and int8_dynamic, which are chosen by "
        "name.",
    ),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads. Default: all usable cores but one.")
]
Labels = Annotated[int, typer.Option(min=0, help="Outputs of the classification head; 0: no head.")]
Budgets = Annotated[
    list[str],
    typer.Option(
        "--budget",
        help="As in 'latency_p50<=8ms', 'memory<=160MiB', 'params<=20M', 'size<=60MiB', "
        "'throughput>=200/s' or 'latency_p50<=50%' of the source model, or 'quality_drop<=1%' for "
        "export to judge; repeat it.",
    ),
]


def refuse_alone(needed: str, **options: object) -> None:
    """InputError for the first option that was given; for where ``needed`` was not."""
    for name, value in options.items():
        if value is not None and value is not False:
            option = "--" + name.replace("_", "-")
            raise InputError(
                f"{option} must come with {needed}, which was not given; add it or leave {option} "
                "out."
            )


def refuse_beside(given: str, **options: object) -> None:
    """InputError for the first option that was given; for where ``given`` leaves it no effect."""
    for name, value in options.items():
        if value is not None and value is not False:
            option = "--" + name.replace("_", "-")
            raise InputError(
                f"{option} must not come with {given}, which takes no notice of it; leave one out."
            )


def written(context: typer.Context, *, but: Collection[str]) -> dict[str, object]:
    """Options that stand on the command line, by name, also with their default; without ``but``."""
    found: dict[str, object] = {}
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if name not in but and source is not None and source.name == "COMMANDLINE":
            found[name] = value
    return found


def open_store(url: str, *, create: bool = True) -> Store:
    """The store of the option; one that was not there before is told, a name may be mistyped."""
    from profiler import Store

    opened = Store(url, create=create)
    if opened.is_new:
        say(f"{escape(opened.name)} is a new store.")
    return opened


def budgets_of(texts: list[str]) -> tuple[Budget, ...]:
    """The budgets of the options."""
    return tuple(Budget.parse(text) for text in texts)


def numbers_of(option: str, text: str) -> tuple[int, ...]:
    """Comma-separated whole numbers; ``option`` names them in the error."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as exc:
        raise InputError(
            f"{option} must be whole numbers with commas, as in 128,64, but got {text!r}."
        ) from exc


def share_of(option: str, text: str) -> float:
    """A share from a percentage; ``option`` names it in the error."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text.strip())
    if found is None:
        raise InputError(f"{option} must be a percentage, as in 3%, but got {text!r}.")
    return float(found[1]) / 100


def head_of(labels: int, pooling: str) -> Head:
    """A classification head with ``labels`` outputs, or none."""
    if labels == 0:
        return Head()
    return Head(
        kind="classification", pooling="mean" if pooling == "mean" else "first", outputs=labels
    )


def targets_of(
    names: list[str] | None, device: DeviceInfo, threads: int | None
) -> tuple[Target, ...]:
    """The targets of the options, each once; without names all that this machine can run."""
    from exporters import default_targets

    if not names:
        found = default_targets(device, threads=threads or device.default_threads)
        if not found:
            raise RuntimeMissing(
                "A runtime must be installed, but none of onnxruntime, openvino and tensorrt is: "
                "pip install onnxruntime."
            )
        return found
    found = tuple(dict.fromkeys(_target(name, threads, device) for name in names))
    for target in found:
        if target.provider == "cuda" and not device.gpus:
            raise SurroundingsError(
                f"{target} must run on an NVIDIA GPU, but none is seen; install its driver and "
                "nvidia-ml-py, or choose a target for processors."
            )
    return found


def _target(name: str, threads: int | None, device: DeviceInfo) -> Target:
    """As tables print it, or without threads: then ``threads`` or the device's own number."""
    from exporters import runtime
    from exporters.runtime import check_target

    written = re.fullmatch(_NAME, name, re.DOTALL)
    assert written is not None
    plain, own, fixed, spin, compatible, graph = written.groups(default="")
    if own and threads not in (None, int(own)):
        raise InputError(
            f"A target's threads must be those of --threads, {threads}, but got {name!r}; leave "
            "one of the two out."
        )
    runtime_name, _, precision = plain.rpartition("-")
    if precision not in get_args(Precision):
        known = " or ".join(get_args(Precision))
        raise InputError(
            f"A target must read RUNTIME-PRECISION with {known}, as in openvino-bf16, then, "
            "where wanted, threads (-1t), -fixed, -spin, -version or -hardware, -graph, in this "
            f"order, but got {name!r}."
        )
    adapter = runtime(runtime_name or name)
    found = Target(
        runtime=adapter.name,
        provider=adapter.provider,
        precision=cast(Precision, precision),
        threads=int(own) if own else threads or device.default_threads,
        spinning=bool(spin),
        shapes="fixed" if fixed else "dynamic",
        compatible=cast(Compatible, compatible[1:] or "none"),
        cuda_graph=bool(graph),
    )
    check_target(adapter, found)
    if not adapter.available():
        adapter.version()  # says what to install
    return found
