"""The README's section "In production", word for word, in fresh environments with nothing else.

One virtual environment for each runtime holds only what the README names; a third holds this
project with its core dependencies. Skipped where no package index can be reached.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from exporters import Manifest, load_bundle
from fleetfit import Precision, RuntimeName, Target, Workload
from tests.exporters.bundles import build_bundle, build_manifest

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ["I lost my card", "where is it " * 9, "", "my \N{GRINNING FACE} card"]
SECONDS = ["where is it", "my card", "it " * 9, ""]
CASES: dict[str, dict[str, Any]] = {
    "single": {"workload": Workload(batch=3, seq_len=16)},
    "fixed": {"workload": Workload(batch=3, seq_len=16)},
    "pairs": {"workload": Workload(batch=3, seq_len=16), "pairs": True},
    "int8": {"workload": Workload(batch=3, seq_len=16)},
}
PACKAGES = ("exporters", "fleetfit", "supernet", "devices", "profiler", "predictors", "search")
UNREACHABLE = re.compile(
    r"ConnectionError|NewConnection|ConnectTimeout|ReadTimeout|Name or service|name resolution"
    r"|Network is unreachable|ProxyError"
)
Environment = Callable[..., Path]


def blocks(language: str) -> list[str]:
    """The code blocks of the README's section, in order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## In production") : text.index("## Layout")]
    found = re.findall(r"^```(\w*)\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)
    return [block for name, block in found if name == language]


def block_with(mark: str) -> str:
    (found,) = (block for block in blocks("python") if mark in block)
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Makes a virtual environment with the given requirements; returns its interpreter."""

    def made(*requirements: str) -> Path:
        path = tmp_path_factory.mktemp("environment")
        venv.create(path)
        python = path / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
        shared = ["--no-input", "--retries", "1", "--constraint", str(ROOT / "constraints.txt")]
        command = [*pip, *shared, *requirements]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode and UNREACHABLE.search(done.stderr):
            pytest.skip("no package index can be reached")
        assert done.returncode == 0, done.stderr[-2000:]
        return python

    return made


@pytest.fixture(scope="module")
def with_onnxruntime(environment: Environment) -> Path:
    return environment("numpy", "tokenizers", "onnxruntime")


@pytest.fixture(scope="module")
def with_openvino(environment: Environment) -> Path:
    pytest.importorskip("openvino")
    return environment("numpy", "tokenizers", "openvino")


@pytest.fixture(scope="module")
def with_core(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project as a user installs it, from a copy: building writes beside the sources."""
    copy = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    return environment(str(copy))


def run_alone(python: Path, code: str, where: Path) -> Any:
    """The JSON of the last line that ``code`` prints, in a directory of its own and isolated."""
    done = subprocess.run(
        [str(python), "-I", "-W", "error", "-c", code],
        cwd=where,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def manifest_of(runtime: RuntimeName, case: str) -> Manifest:
    shapes: Literal["fixed", "dynamic"] = "fixed" if case == "fixed" else "dynamic"
    spinning = runtime == "onnxruntime"
    precision: Precision = "int8" if case == "int8" else "fp32"
    target = Target(runtime=runtime, precision=precision, shapes=shapes, spinning=spinning)
    return build_manifest(target=target, **CASES[case])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_snippet_without_this_project_answers_like_the_bundle(
    request: pytest.FixtureRequest, tmp_path: Path, runtime: RuntimeName, case: str
) -> None:
    """Several batches, cuts, padding, an empty text; and the environment holds nothing else."""
    if (runtime, case) == ("openvino", "int8"):
        pytest.importorskip("nncf")
    python = request.getfixturevalue(f"with_{runtime}")
    path = build_bundle(tmp_path / "bundle", manifest_of(runtime, case))
    seconds = SECONDS if "pairs" in CASES[case] else None
    snippet = block_with("from tokenizers import Tokenizer").replace("path/to/bundle", str(path))
    if seconds is not None:  # its last line asks for single texts
        snippet = snippet[: snippet.index("\nprint(")]
    ours = """
import importlib.util
others = [n for n in ("exporters", "fleetfit", "torch", "onnx") if importlib.util.find_spec(n)]
"""
    asked = f"print(json.dumps([others, predict({TEXTS!r}, {seconds!r})]))"
    others, found = run_alone(python, snippet + ours + asked, tmp_path)
    assert others == []
    wanted = load_bundle(path).predict(TEXTS, seconds)
    assert [label for label, _ in found] == [next(iter(one)) for one in wanted]
    best = [next(iter(one.values())) for one in wanted]
    assert [share for _, share in found] == pytest.approx(best, abs=1e-5)


def test_the_snippet_with_the_core_of_this_project_answers_alike(
    with_core: Path, tmp_path: Path
) -> None:
    """What is installed holds neither torch nor anything of training or search."""
    path = build_bundle(tmp_path / "bundle", manifest_of("onnxruntime", "single"))
    first = block_with("load_bundle(").replace("path/to/bundle", str(path))
    heavy = ("torch", "transformers", "openvino", "sklearn", "xgboost", "pandas", "fastapi")
    rest = f"""
import importlib.util, json, sys
import exporters
there = [n for n in {heavy!r} if importlib.util.find_spec(n)]
inside = exporters.__file__.startswith(sys.prefix)
print(json.dumps([there, inside, bundle.predict({TEXTS!r})]))
"""
    there, inside, found = run_alone(with_core, first + rest, tmp_path)
    assert there == []
    assert inside
    for one, wanted in zip(found, load_bundle(path).predict(TEXTS), strict=True):
        assert one == pytest.approx(wanted, abs=1e-6)


def test_a_missing_runtime_is_said_in_a_sentence(with_core: Path, tmp_path: Path) -> None:
    manifest = dataclasses.replace(build_manifest(), target=Target(runtime="openvino"))
    path = build_bundle(tmp_path / "bundle", manifest)
    code = f"""
import json
from exporters import load_bundle
from fleetfit import RuntimeMissing
try:
    load_bundle({str(path)!r})
except RuntimeMissing as exc:
    print(json.dumps(str(exc)))
"""
    assert "pip install 'fleetfit[openvino]'" in run_alone(with_core, code, tmp_path)


@pytest.mark.parametrize(
    "words", ["finetune model out --train more.csv", "convert checkpoint supernet --text my.txt"]
)
def test_a_verb_whose_libraries_are_missing_says_so_in_a_sentence(
    with_core: Path, tmp_path: Path, words: str
) -> None:
    done = subprocess.run(
        [str(with_core), "-I", "-m", "search.cli", *words.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 4, done.stderr[-2000:]
    said = " ".join(done.stderr.split())
    assert re.search(r"\w+ must be installed for this verb.*fleetfit\[train", said)
    assert "Traceback" not in said


def test_the_section_names_what_the_environments_hold() -> None:
    """So that the two cannot drift apart."""
    shell = "\n".join(blocks(""))
    assert "pip install numpy tokenizers onnxruntime  # or openvino" in shell
    assert "pip install -c constraints.txt '.[openvino]'" in shell
    assert "python -m examples.service path/to/bundle" in shell
