"""Which engines are loaded, and which are refused before TensorRT is given them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from exporters import artifact_of
from exporters.engine_record import Profile, read_record, write_record
from exporters.tensorrt_gpu import TensorRtGpu
from fleetfit import InputError, SurroundingsError, dumps, from_json, loads
from tests.exporters.tensorrt_fake import FakeTensorRt
from tests.exporters.tensorrt_targets import DYNAMIC, Make
from tests.exporters.test_runtime import foreign


def test_the_manifest_is_told_what_is_in_the_engine(adapter: TensorRtGpu, make: Make) -> None:
    found = adapter.load(make(precision="fp16", threads=3)).properties
    assert found["precision"] == "fp16"
    assert re.search(r"\d+ matmul fp16", found["layers"])
    assert found["device_memory_bytes"] == "4096"
    assert found["profile"] == "1x1 to 4x40, tuned for 2x8"
    assert (found["gpu"], found["compute_capability"]) == ("NVIDIA H200", "9.0")
    assert (found["tensorrt"], found["cuda_driver"]) == ("10.16.1.11", "13000")
    assert (found["max_threads"], found["compatible"]) == ("3", "none")
    assert found["hardware_compatibility_level"] == "NONE"


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_truncated_engine_is_refused_before_it_is_touched(
    adapter: TensorRtGpu, make: Make, cut: int
) -> None:
    artifact = make()
    path = Path(artifact.path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"model\.engine must have the \d+ bytes"):
        adapter.load(artifact)


def test_a_changed_engine_is_refused_before_it_is_touched(adapter: TensorRtGpu, make: Make) -> None:
    artifact = make()
    data = bytearray(Path(artifact.path).read_bytes())
    data[len(data) // 2] ^= 1
    Path(artifact.path).write_bytes(data)
    with pytest.raises(InputError, match="was changed; copy or build"):
        adapter.load(artifact)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"model\.json must be an existing file|model\.json is not there"),
        ("", "as it was written"),
        ("[]", "as it was written"),
        ('{"tensorrt": "10"}', "as it was written"),
    ],
)
def test_an_engine_without_its_record_is_refused(
    adapter: TensorRtGpu, make: Make, text: str | None, said: str
) -> None:
    artifact = make()
    record = Path(artifact.path).with_suffix(".json")
    if text is None:
        record.unlink()
    else:
        record.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        adapter.load(artifact)
    assert "\n" not in str(caught.value)


def test_a_record_of_a_newer_format_is_refused(adapter: TensorRtGpu, make: Make) -> None:
    artifact = make()
    path = Path(artifact.path)
    write_record(path, dataclasses.replace(read_record(path), format_version=2))
    with pytest.raises(InputError, match="format version 1"):
        adapter.load(artifact)


@pytest.mark.parametrize(
    ("compatible", "built", "here", "fits"),
    [
        ("none", "10.16.1.11", "10.16.1.11", True),
        ("none", "10.16.1.11", "10.16.1.12", False),
        ("none", "10.16.1.11", "11.4.0.106", False),
        ("version", "10.16.1.11", "11.4.0.106", True),
        ("version", "10.16.1.11", "10.17.0.1", True),
        ("version", "11.4.0.106", "11.5.0.1", True),
        ("version", "11.4.0.106", "10.16.1.11", False),
        ("version", "10.16.1.11", "12.0.0.1", False),
        ("version", "11.4.0.106", "12.0.0.1", False),
        ("hardware", "10.16.1.11", "10.17.0.1", False),
    ],
)
def test_an_engine_of_another_version(
    trt: FakeTensorRt,
    adapter: TensorRtGpu,
    make: Make,
    compatible: Any,
    built: str,
    here: str,
    fits: bool,
) -> None:
    trt.__version__ = built
    artifact = make(compatible=compatible)
    trt.__version__ = here
    if fits:
        assert adapter.load(artifact).properties["tensorrt"] == built
    else:
        with pytest.raises(SurroundingsError, match=rf"{built}.* here is {here}; build or export"):
            adapter.load(artifact)


@pytest.mark.parametrize(
    ("compatible", "name", "capability", "fits"),
    [
        ("none", "NVIDIA L4", (8, 9), False),
        ("none", "NVIDIA H100", (9, 0), False),
        ("version", "NVIDIA L4", (8, 9), False),
        ("hardware", "NVIDIA L4", (8, 9), True),
        ("hardware", "Tesla T4", (7, 5), False),
    ],
)
def test_an_engine_of_another_gpu(
    trt: FakeTensorRt,
    adapter: TensorRtGpu,
    make: Make,
    compatible: Any,
    name: str,
    capability: tuple[int, int],
    fits: bool,
) -> None:
    artifact = make(compatible=compatible)
    trt.cuda.name, trt.cuda.capability = name, capability
    if fits:
        assert adapter.load(artifact).properties["gpu"] == name
    else:
        with pytest.raises(SurroundingsError, match=rf"here is {name}, compute capability"):
            adapter.load(artifact)


@pytest.mark.parametrize(
    ("refused", "kind", "said"),
    [
        (
            "deserialize_cuda_engine",
            InputError,
            r"load .*model\.engine, but says: engine is broken",
        ),
        ("create_execution_context", SurroundingsError, "make room"),
        ("Runtime", SurroundingsError, "must start, but says: CUDA initialization failure"),
    ],
)
def test_nothing_in_the_place_of_an_object_is_an_error(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, refused: str, kind: Any, said: str
) -> None:
    artifact = make()
    trt.refuses.add(refused)
    with pytest.raises(kind, match=said):
        adapter.load(artifact)


def test_an_engine_of_a_foreign_model_is_refused(adapter: TensorRtGpu, make: Make) -> None:
    artifact = make()
    path = Path(artifact.path)
    data = path.read_bytes().partition(b"\n")[0] + b"\n" + foreign([4]).SerializeToString()
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    write_record(path, dataclasses.replace(read_record(path), file_bytes=len(data), sha256=sha256))
    with pytest.raises(InputError, match=r"each batch x seq, but .*rank 1"):
        adapter.load(artifact)


def test_an_option_that_reads_back_differently_is_an_error(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make
) -> None:
    artifact = make(precision="fp16")
    other = dataclasses.replace(artifact, target=dataclasses.replace(DYNAMIC, precision="bf16"))
    with pytest.raises(SurroundingsError, match=r"precision=bf16, but .* fp16"):
        adapter.load(other)


def test_a_copied_engine_still_loads(adapter: TensorRtGpu, make: Make, tmp_path: Path) -> None:
    artifact = make()
    moved = tmp_path / "elsewhere"
    shutil.copytree(Path(artifact.path).parent, moved)
    found = artifact_of(moved / "model.engine", artifact.target, artifact.workload)
    assert (found.file_bytes, found.sha256) == (artifact.file_bytes, artifact.sha256)
    assert adapter.load(found).outputs == ("logits",)
    record = json.loads((moved / "model.json").read_text())
    assert from_json(type(read_record(moved / "model.engine")), record).precision == "fp32"


def test_a_profile_grows() -> None:
    with pytest.raises(InputError, match="grow from 1"):
        Profile(least=(1, 1), usual=(2, 8), most=(1, 8))
    with pytest.raises(InputError, match="grow from 1"):
        Profile(least=(0, 1), usual=(2, 8), most=(2, 8))
    one = Profile(least=(2, 8), usual=(2, 8), most=(2, 8))
    assert (str(one), one.is_dynamic) == ("2x8", False)
    assert loads(Profile, dumps(one)) == one


@pytest.mark.parametrize(
    "changes",
    [
        {"file_bytes": 0},
        {"device_memory_bytes": -1},
        {"layers": {"gemm": 0}},
        {"sha256": "0" * 63},
        {"sha256": "G" * 64},
        {"compatible": "all"},
        {"precision": "fp64"},
    ],
    ids=str,
)
def test_a_record_that_cannot_be_is_refused(
    adapter: TensorRtGpu, make: Make, changes: dict[str, Any]
) -> None:
    artifact = make()
    record = Path(artifact.path).with_suffix(".json")
    record.write_text(json.dumps(json.loads(record.read_text()) | changes))
    with pytest.raises(InputError, match=r"record must be as it was written.*; build the engine"):
        adapter.load(artifact)


def test_an_engine_that_cannot_be_read_is_one_sentence(
    adapter: TensorRtGpu, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    artifact = make()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InputError, match=r"readable, but of .*engine the system says: Permission"):
        adapter.load(artifact)


def test_a_type_that_numpy_does_not_have_is_refused(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(kind: int) -> Any:
        raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")

    artifact = make()
    monkeypatch.setattr(trt, "nptype", refuse)
    with pytest.raises(InputError, match="must take int64 and give float32, but input_ids"):
        adapter.load(artifact)
