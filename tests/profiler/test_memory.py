"""The memory child: what it measures, what it leaves out, and how it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import profiler.memory_child
from devices import describe
from devices.child import PARENT, RESULT_FD
from exporters import RUNTIMES, Artifact
from exporters.emit import PRECISION
from fleetfit import (
    Architecture,
    Embedding,
    FeedForward,
    InputError,
    Layer,
    MemoryReading,
    MemoryStage,
    Query,
    RuntimeMissing,
    SelfAttention,
    SurroundingsError,
    Target,
    Workload,
    dumps,
)
from profiler.artifacts import built as built_artifact
from profiler.memory import measure_memory, memory_job, memory_use, read_stages
from profiler.memory_child import LOADERS

MIB = 2**20
# What made the peak too high once, and everything of ours.
LEFT_OUT = {
    "sqlalchemy", "onnx", "google.protobuf",
    "fleetfit", "supernet", "exporters", "devices", "profiler", "predictors", "search",
}  # fmt: skip


def query_of(name: str, *, width: int = 32, ffn: int = 64) -> Query:
    layer = Layer(
        width=width,
        sublayers=(SelfAttention(heads=4, head_dim=width // 4), FeedForward(widths=(ffn,))),
        projected=False,
        source=0,
    )
    embedding = Embedding(vocab_size=100, width=width, max_positions=32, segments=2)
    return Query(
        architecture=Architecture(embedding=embedding, layers=(layer,)),
        target=Target(runtime=RUNTIMES[name].name, provider=RUNTIMES[name].provider, threads=2),
        workload=Workload(batch=2, seq_len=16),
    )


GPU = [name for name, found in RUNTIMES.items() if found.provider == "cuda"]


@pytest.fixture(params=[pytest.param(n, marks=[pytest.mark.gpu] * (n in GPU)) for n in RUNTIMES])
def name(request: pytest.FixtureRequest) -> str:
    found = str(request.param)
    if not RUNTIMES[found].targets(describe(), threads=1):
        pytest.skip(f"{found} is not installed, or has no GPU")
    return found


def built(query: Query, place: Path) -> tuple[dict[str, Any], Artifact]:
    place /= query.architecture.cost_id  # a directory holds one network
    place.mkdir()
    artifact = built_artifact(query, place, seed=0).artifact
    return memory_job(query, artifact, scratch=place, seed=0), artifact


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script in the place of the child."""
    script = tmp_path / "bad.py"
    monkeypatch.setattr("profiler.memory._SCRIPT", script)
    return script


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    """Of a tiny network in ONNX Runtime."""
    return built(query_of("onnxruntime"), tmp_path)[0]


def test_the_child_imports_the_runtime_and_nothing_of_ours(name: str, tmp_path: Path) -> None:
    job, _ = built(query_of(name), tmp_path)
    script = Path(profiler.memory_child.__file__)
    code = (
        "import json, runpy, sys\n"
        f"runpy.run_path({str(script)!r})['measure'](json.loads(sys.stdin.read()))\n"
        "print(json.dumps(list(sys.modules)))"
    )
    # As a worker starts it; the interpreter of this suite has everything in memory.
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, input=dumps(job), capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert {RUNTIMES[name].name, "numpy"} <= modules
    assert modules & LEFT_OUT == set()
    assert not any(m.startswith(("profiler.", "exporters.", "onnx.")) for m in modules)


def test_the_weights_of_a_big_network_stand_in_the_peak(name: str, tmp_path: Path) -> None:
    if name in GPU:
        pytest.skip("its weights are in the GPU's memory")
    big = query_of(name, width=512, ffn=16384)
    weights_bytes = 4 * 2 * 512 * 16384
    assert weights_bytes == 64 * MIB
    small_job, _ = built(query_of(name), tmp_path)
    small = read_stages(small_job, timeout_s=60)
    job, artifact = built(big, tmp_path)
    stages = read_stages(job, timeout_s=60)
    imports, load, warm, steady = (r.peak_bytes for r in stages)
    assert imports < load <= warm <= steady
    assert abs(imports - small[0].peak_bytes) < 8 * MIB
    assert 0.9 * weights_bytes < steady - small[-1].peak_bytes < 4 * weights_bytes
    use = measure_memory(big, artifact, scratch=tmp_path, seed=0, timeout_s=60)
    assert use.peak_bytes == pytest.approx(steady, rel=0.1)
    assert 0.9 * weights_bytes < use.above_imports_bytes < use.peak_bytes


def test_a_stage_tells_its_own_peak_and_what_is_shared(job: dict[str, Any]) -> None:
    for reading in read_stages(job, timeout_s=60):
        assert reading.stage_peak_bytes is not None
        assert reading.resident_bytes is not None
        assert reading.proportional_bytes is not None
        assert reading.unique_bytes is not None
        assert reading.unique_bytes <= reading.proportional_bytes <= reading.resident_bytes
        assert reading.resident_bytes <= reading.stage_peak_bytes + MIB
        assert reading.stage_peak_bytes <= reading.peak_bytes


def test_a_child_does_not_inherit_the_peak_of_its_parent(job: dict[str, Any]) -> None:
    # ru_maxrss would report the parent's 300 MiB here.
    block = np.ones(300 * MIB // 8)
    stages = read_stages(job, timeout_s=60)
    assert block[-1] == 1
    assert stages[0].peak_bytes < 200 * MIB


def test_the_child_loads_and_runs_as_the_adapter_does(name: str, tmp_path: Path) -> None:
    job, artifact = built(query_of(name), tmp_path)
    session = RUNTIMES[name].load(artifact)
    loaded, run = LOADERS[RUNTIMES[name].name][1](job["model"], job["options"])
    if name in GPU:
        assert loaded is not None
    elif name == "onnxruntime":
        from exporters._onnxruntime import OrtSession

        assert OrtSession(loaded, job["model"]).properties == session.properties
    else:
        from exporters.openvino_cpu import _text

        names = session.properties.keys() - {PRECISION}
        found = {key: _text(loaded.get_property(key)) for key in names}
        assert found == {key: session.properties[key] for key in names}
    inputs = dict(zip(job["names"], np.load(job["inputs"])[0], strict=True))
    (wanted,) = session.run(inputs).values()
    np.testing.assert_array_equal(run(inputs)[0], wanted)


def test_every_runtime_has_a_loader() -> None:
    assert LOADERS.keys() == {found.name for found in RUNTIMES.values()}


@pytest.mark.parametrize(
    ("body", "timeout_s", "said"),
    [
        ("print('going down', flush=True); os.kill(os.getpid(), 11)", 60, r"SIGSEGV.*going down"),
        ("os.write(result, b'\\xff not json\\n'); time.sleep(600)", 60, "in JSON"),
        ("time.sleep(600)", 0.5, r"within 0.5 s"),
    ],
    ids=["crash", "garbage", "hang"],
)
def test_a_child_that_fails_is_one_sentence(
    job: dict[str, Any], bad: Path, body: str, timeout_s: float, said: str
) -> None:
    bad.write_text(f"import os, time\nresult = int(os.environ['{RESULT_FD}'])\n{body}\n")
    with pytest.raises(
        SurroundingsError, match=rf"The child bad\.py must answer.*{said}"
    ) as caught:
        read_stages(job, timeout_s=timeout_s)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "result", ["[1]", "{}", "[]", "[{'stage': 'imports', 'peak_bytes': 1}]", "[{'stage': 'nap'}]"]
)
def test_an_answer_that_is_no_reading_is_refused(
    job: dict[str, Any], bad: Path, result: str
) -> None:
    bad.write_text(
        f"import json, os\nreply = json.dumps({{'result': {result}}}).encode() + b'\\n'\n"
        f"os.write(int(os.environ['{RESULT_FD}']), reply)\ninput()\n"
    )
    with pytest.raises(InputError, match="must"):
        read_stages(job, timeout_s=30)


def test_a_model_that_cannot_be_loaded_is_one_sentence(job: dict[str, Any], tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(SurroundingsError, match=r"memory_child\.py must answer.*broken") as caught:
        read_stages(job | {"model": str(broken)}, timeout_s=60)
    assert "\n" not in str(caught.value)


def test_a_runtime_that_is_not_installed_is_named(
    job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('No module named onnxruntime')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeMissing, match="No module named onnxruntime"):
        read_stages(job, timeout_s=60)


def test_an_ability_that_the_processor_lacks_is_named(tmp_path: Path) -> None:
    if not RUNTIMES["openvino"].available():
        pytest.skip("openvino is not installed")
    job, _ = built(query_of("openvino"), tmp_path)
    options = job["options"] | {"needs": ["TELEPATHY"]}
    with pytest.raises(SurroundingsError, match="does not have TELEPATHY"):
        read_stages(job | {"options": options}, timeout_s=60)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinity")
def test_the_child_is_pinned_as_the_target_says(job: dict[str, Any]) -> None:
    with pytest.raises(SurroundingsError, match="OSError"):
        read_stages(job | {"affinity": [4095]}, timeout_s=60)
    read_stages(job | {"affinity": [min(os.sched_getaffinity(0))]}, timeout_s=60)


def test_the_script_names_the_variables_of_a_worker() -> None:
    text = Path(__file__).parents[2].joinpath("profiler/memory_child.py").read_text()
    assert all(f'os.environ["{variable}"]' in text for variable in (PARENT, RESULT_FD))


def test_the_peak_is_that_of_all_stages_above_the_imports() -> None:
    sizes: dict[MemoryStage, int] = {"imports": 40, "load": 140, "warm": 140, "steady": 140}
    stages = tuple(MemoryReading(stage=stage, peak_bytes=size) for stage, size in sizes.items())
    use = memory_use(stages)
    assert (use.peak_bytes, use.above_imports_bytes, use.readings) == (140, 100, stages)
