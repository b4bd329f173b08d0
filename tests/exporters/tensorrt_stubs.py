"""Types of a release of TensorRT, from its Python bindings: no GPU, no driver, no libraries.

The bindings are on PyPI, the libraries they link to are not. So one fake library stands in for all
of those, which is enough to import the module and to let mypy's ``stubgen`` look at it. What comes
out is NVIDIA's: it stays in a cache and is never committed.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

_DISTRIBUTION: Final = "tensorrt_cu13_bindings"
_HEAD: Final = "# mypy: ignore-errors\nimport builtins, collections.abc, typing\n"
_INIT: Final = """from tensorrt.tensorrt import *
__version__: str
def volume(iterable: collections.abc.Iterable[int]) -> int: ...
def nptype(trt_type: DataType) -> typing.Any: ...
"""
_MAY_FAIL: Final = (
    "build_serialized_network|deserialize_cuda_engine|create_execution_context"
    "|create_timing_cache|get_timing_cache"
)
"""Functions that give None where they fail."""
_STUBGEN: Final = "from mypy.stubgen import main; main()"
_TIMEOUT_S: Final = 120.0


class StubsMissing(Exception):
    """They cannot be made here; the message says why."""


def stubs_of(version: str, cache: Path) -> Path:
    """A directory for MYPYPATH with the types of one release; made where it is not there yet."""
    found = cache / version
    if not (found / "tensorrt" / "__init__.pyi").is_file():
        try:
            with tempfile.TemporaryDirectory() as scratch:
                text = _inspected(version, Path(scratch))
        except (OSError, subprocess.SubprocessError) as exc:
            said = getattr(exc, "stderr", "") or str(exc)
            raise StubsMissing(f"{version}: {' '.join(said.split())[-300:]}") from exc
        package = found / "tensorrt"
        package.mkdir(parents=True, exist_ok=True)
        (package / "tensorrt.pyi").write_text(_HEAD + _repaired(text))
        (package / "__init__.pyi").write_text(_HEAD + _INIT)
    return found


def _inspected(version: str, scratch: Path) -> str:
    """What stubgen writes about the module."""
    pip = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    only = ("--no-deps", "--only-binary=:all:", "--retries=1", "--timeout=15")
    _run(*pip, *only, "--target", str(scratch), f"{_DISTRIBUTION}=={version}")
    package = (scratch / "tensorrt_bindings").rename(scratch / "tensorrt")
    _fake_libraries(package)
    options = ("-q", "--inspect-mode", "-m", "tensorrt.tensorrt", "-o", ".")
    _run(sys.executable, "-c", _STUBGEN, *options, cwd=scratch)
    return (package / "tensorrt.pyi").read_text()


def _fake_libraries(package: Path) -> None:
    """Beside the module, where it looks for them: its functions there return 0."""
    module, here = str(package / "tensorrt.so"), ctypes.CDLL(None)
    listed = _run("nm", "-D", "--undefined-only", module)
    names = [
        name
        for name in re.findall(r"^ +U ([^@\s]+)$", listed, re.MULTILINE)
        if not name.startswith(("Py", "_Py")) and not hasattr(here, name)
    ]
    source = "".join(f"long {name}(void) {{ return 0; }}\n" for name in names)
    fake = str(package / "fake.so")
    _run("gcc", "-shared", "-fPIC", "-xc", "-", "-o", fake, given=source)
    for name in re.findall(r"NEEDED.*\[(libnv\S+)\]", _run("readelf", "-d", module)):
        (package / name).symlink_to("fake.so")


def _repaired(text: str) -> str:
    """What pybind11's own signatures leave out, or say wrongly."""

    def defaults(found: re.Match[str]) -> str:
        rest = re.sub(r"(, \w+: [\w.\[\]]+)(?=[,)])", r"\1 = ...", found[2])
        return f"{found[1]}{rest}"

    # A parameter after one with a default must have one, too.
    text = re.sub(r"(?m)^( *def .*?= \.\.\.)(.*)$", defaults, text)
    # Without a type: anything.
    text = re.sub(r"(?m)^( *def .*\)): \.\.\.$", r"\1 -> typing.Any: ...", text)
    # The module has a ``bool`` of its own.
    text = re.sub(r"(?<=[:>\[]) ?bool\b", " builtins.bool", text)
    text = text.replace("typing.SupportsInt", "int").replace("typing.SupportsFloat", "float")
    # Converted by itself.
    text = re.sub(r"(\w: )Dims(?=[,)])", r"\1Dims | collections.abc.Sequence[int]", text)
    text = re.sub(rf"(def (?:{_MAY_FAIL})\(.*-> \w+)", r"\1 | None", text)
    for name, method in (
        ("Dims", "__iter__(self) -> collections.abc.Iterator[int]"),
        ("IHostMemory", "__buffer__(self, flags: int, /) -> memoryview"),
    ):
        text = text.replace(f"class {name}:\n", f"class {name}:\n    def {method}: ...\n")
    # The nested class is inherited.
    nested = r"(class Logger\(ILogger\):\n)    class Severity:\n(?: {8}.*\n)+"
    return re.sub(nested, r"\1", text)


def _run(*command: str, cwd: Path | None = None, given: str | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        input=given,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    return done.stdout
