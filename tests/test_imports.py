"""The layout that the design demands: who imports whom, and what stays out of a light process."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Package to the packages it may import beside itself. The longest name that fits a module counts,
# so ``supernet.spaces`` is a package of its own.
ALLOWED: dict[str, frozenset[str]] = {
    "fleetfit": frozenset(),
    "supernet.spaces": frozenset({"fleetfit"}),
    "supernet": frozenset({"fleetfit", "supernet.spaces"}),
    "exporters": frozenset({"fleetfit"}),
    "devices": frozenset({"fleetfit"}),
    "profiler": frozenset({"fleetfit", "supernet.spaces", "exporters", "devices"}),
    "predictors": frozenset({"fleetfit"}),
    "search": frozenset(
        {
            "fleetfit",
            "supernet.spaces",
            "supernet",
            "exporters",
            "devices",
            "profiler",
            "predictors",
        }
    ),
}
OUTSIDE = ("tests", "benchmarks", "examples", "docs")
HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "cuda",
    "xgboost",
    "sklearn",
    "pymoo",
)
LIGHT = tuple(name for name in ALLOWED if name != "supernet")


def package_of(module: str) -> str | None:
    """The package of ours that a module belongs to; None for other people's modules."""
    fits = [p for p in (*ALLOWED, *OUTSIDE) if module == p or module.startswith(p + ".")]
    return max(fits, key=len, default=None)


def module_name(path: Path, root: Path) -> str:
    """Dotted name of a source file below ``root``."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything a file imports, at whatever depth it stands.

    ``from a import b`` gives ``a.b``; a literal argument of ``import_module`` counts as well.
    """
    own = module_name(path, root).split(".")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                keep = len(own) - level + (path.name == "__init__.py")
                base = own[:keep] if level else []
                start = ".".join([*base, *([module] if module else [])])
                yield from ((node.lineno, f"{start}.{alias.name}") for alias in names)
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]):
                called = getattr(func, "attr", getattr(func, "id", ""))
                if called in ("import_module", "__import__"):
                    yield node.lineno, name
            case _:
                pass


def forbidden(root: Path) -> list[str]:
    """One line for each import in the packages below ``root`` that the table does not allow."""
    found = []
    for top in sorted({name.split(".")[0] for name in ALLOWED}):
        for path in sorted((root / top).rglob("*.py")):
            package = package_of(module_name(path, root))
            for line, name in imported(path, root):
                other = package_of(name)
                allowed = other in (None, package) or other in ALLOWED[package or ""]
                if not allowed:
                    where = f"{path.relative_to(root)}:{line}"
                    found.append(f"{where}: {package} must not import {name}")
    return found


def test_every_import_is_in_the_table_of_the_design() -> None:
    assert forbidden(ROOT) == []


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("exporters/a.py", "import devices"),
        ("exporters/a.py", "from devices.memory import peak"),
        ("devices/a.py", "def f():\n    from profiler import Store"),
        ("fleetfit/a.py", "from supernet.spaces import SearchSpace"),
        ("profiler/a.py", "from supernet import model"),
        ("profiler/a.py", "import supernet.model as m"),
        ("predictors/a.py", "if TYPE_CHECKING:\n    from profiler import Store"),
        ("supernet/spaces/a.py", "from .. import model"),
        ("supernet/spaces/a.py", "from ..model import Supernet"),
        ("supernet/a.py", "import importlib\nimportlib.import_module('exporters.emit')"),
        ("search/cli/a.py", "from benchmarks.table import show"),
    ],
)
def test_an_arrow_outside_the_table_is_found(tmp_path: Path, where: str, text: str) -> None:
    path = tmp_path / where
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert len(forbidden(tmp_path)) == 1


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("profiler/a.py", "from supernet import spaces\nfrom supernet.spaces import SearchSpace"),
        ("supernet/a.py", "from supernet.spaces.elastic import ElasticSpace\nfrom . import model"),
        ("supernet/spaces/a.py", "from .base import SearchSpace"),
        ("supernet/spaces/__init__.py", "from .base import SearchSpace"),
        ("search/cli/a.py", "import supernet.model, profiler, devices.health"),
        ("exporters/a.py", "import onnx\nfrom fleetfit import Architecture"),
    ],
)
def test_an_arrow_of_the_table_passes(tmp_path: Path, where: str, text: str) -> None:
    path = tmp_path / where
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert forbidden(tmp_path) == []


_IMPORT_ALL = """
import importlib, sys
heavy = set(sys.argv[1].split(","))
for name in sys.argv[2:]:
    importlib.import_module(name)
    loaded = sorted(heavy & set(sys.modules))
    if loaded:
        sys.exit(f"importing {name} loaded {', '.join(loaded)}")
"""


def modules_of(package: str) -> list[str]:
    """Every module of a package; ``__main__`` is left out, since importing it runs it."""
    folder = ROOT / package.replace(".", "/")
    files = sorted(path for path in folder.rglob("*.py") if path.name != "__main__.py")
    return [module_name(path, ROOT) for path in files]


@pytest.mark.parametrize("package", LIGHT)
def test_a_fresh_import_loads_no_heavy_library(package: str) -> None:
    names = modules_of(package)
    assert names, f"{package} has no modules"
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, ",".join(HEAVY), *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("package", ["fleetfit", "supernet.spaces"])
def test_values_and_spaces_need_numpy_only(package: str) -> None:
    allowed = {*sys.stdlib_module_names, "numpy", "fleetfit", "supernet"}
    for path in (ROOT / package.replace(".", "/")).rglob("*.py"):
        names = {name.split(".")[0] for _, name in imported(path, ROOT)}
        assert names <= allowed, f"{path.relative_to(ROOT)} imports {sorted(names - allowed)}"
