"""What TensorRT's builder is told, and what a build gives; on stand-ins for TensorRT and CUDA."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import onnx
import pytest

import exporters._cuda
from exporters import emit, random_weights
from exporters._timing_cache import TimingCache
from exporters.tensorrt_gpu import TensorRtGpu
from fleetfit import Architecture, InputError, SurroundingsError, Workload
from tests.exporters.tensorrt_fake import FakeTensorRt
from tests.exporters.tensorrt_targets import DYNAMIC, FIXED, WORKLOAD, Make

VERSIONS = ("10.16.1.11", "11.4.0.106")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"precision": "fp32"}, {"tf32": False, "version": False, "level": "NONE"}),
        ({"precision": "tf32"}, {"tf32": True}),
        ({"precision": "fp16"}, {"tf32": False}),
        ({"compatible": "version"}, {"version": True, "level": "NONE"}),
        ({"compatible": "hardware"}, {"version": False, "level": "AMPERE_PLUS"}),
    ],
    ids=str,
)
def test_the_builder_is_told_what_the_target_says(
    trt: FakeTensorRt, make: Make, version: str, options: dict[str, Any], told: dict[str, Any]
) -> None:
    trt.__init__(trt.cuda, version)  # type: ignore[misc]
    make(**options)
    assert told.items() <= trt.seen.items()
    # Strongly typed: by its bit on 10, whose value is not that of 11, which needs none.
    assert trt.seen["network"] == (2 if version.startswith("10.") else 0)


def test_dynamic_shapes_get_a_profile_and_fixed_ones_none(trt: FakeTensorRt, make: Make) -> None:
    make()
    (profile,) = trt.seen["profiles"]
    assert set(profile.values()) == {((1, 1), (2, 8), (4, 40))}
    assert sorted(profile) == ["attention_mask", "input_ids", "token_type_ids"]
    make(FIXED)
    assert trt.seen["profiles"] == []


def test_the_model_that_is_built_has_the_precision(make: Make) -> None:
    def kinds(precision: str) -> set[int]:
        data = Path(make(precision=precision).path).read_bytes().partition(b"\n")[2]
        model = onnx.load_from_string(data)
        ops = {n.op_type for n in model.graph.node}
        assert ("QuantizeLinear" in ops) == (precision == "int8")
        return {t.data_type for t in model.graph.initializer if len(t.dims) == 2}

    types = onnx.TensorProto
    assert kinds("fp32") == kinds("tf32") == {types.FLOAT}
    assert kinds("fp16") == {types.FLOAT16}
    assert kinds("bf16") == {types.BFLOAT16}
    assert types.INT8 in kinds("int8")


def test_times_are_kept_for_the_next_build(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, tmp_path: Path
) -> None:
    make()
    assert trt.seen["cache"] == b"10.16.1.11:"
    (file,) = (tmp_path / "cache").iterdir()
    assert file.name == "tensorrt-10.16.1.11-nvidia-h200-sm90.timing"
    make()
    assert trt.seen["cache"] == b"10.16.1.11:+"
    trt.cuda.name = "NVIDIA L4"
    make()
    assert trt.seen["cache"] == b"10.16.1.11:"
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("content", [b"damaged", b"9.0:++", b"11.4.0.106:+"])
def test_times_of_another_version_are_left_alone(
    trt: FakeTensorRt, make: Make, tmp_path: Path, content: bytes
) -> None:
    make()
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(content)
    make()
    assert trt.seen["cache"] == b"10.16.1.11:"
    assert file.read_bytes() == b"10.16.1.11:+"


def test_a_place_that_takes_no_cache_does_not_matter(
    trt: FakeTensorRt, mixed: Architecture, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    model = emit(mixed, random_weights(mixed))
    TensorRtGpu(tmp_path / "file").build(model, DYNAMIC, WORKLOAD, tmp_path)


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        ("Builder", r"start, but says: CUDA initialization .*35; pybind11"),
        ("build_serialized_network", "build an engine, but says: out of luck; free memory"),
        ("add_optimization_profile", "take the profile 1x1 to 4x40, tuned for 2x8, but does not;"),
        ("set_shape", "take the profile .*, but says: Shape provided for min is inconsistent;"),
    ],
)
def test_a_build_that_fails_is_one_quiet_sentence(
    trt: FakeTensorRt,
    make: Make,
    refused: str,
    said: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    trt.refuses.add(refused)
    with pytest.raises(SurroundingsError, match=said) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_model_that_it_cannot_read_is_refused(
    trt: FakeTensorRt, adapter: TensorRtGpu, mixed: Architecture, tmp_path: Path
) -> None:
    model = emit(mixed, random_weights(mixed))
    del model.graph.node[0]
    with pytest.raises(InputError, match="but says: no ONNX at all; choose") as caught:
        adapter.build(model, DYNAMIC, WORKLOAD, tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model.engine").exists()


def test_a_version_that_is_too_old_is_refused(trt: FakeTensorRt, make: Make) -> None:
    trt.__version__ = "8.6.1"
    with pytest.raises(SurroundingsError, match=r"10 or newer, but 8\.6\.1 is installed"):
        make()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"spinning": True}, "-spin must come with a target of onnxruntime"),
        ({"cuda_graph": True}, "-graph must come with -fixed"),
        ({"precision": "int8_dynamic"}, "fp32, tf32, fp16, bf16, int8"),
        ({"provider": "cpu"}, "on cuda"),
    ],
    ids=str,
)
def test_targets_that_do_not_fit_are_refused(
    make: Make, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        make(**options)


def test_int8_takes_texts(
    trt: FakeTensorRt, adapter: TensorRtGpu, mixed: Architecture, tmp_path: Path
) -> None:
    target = dataclasses.replace(DYNAMIC, precision="int8")
    with pytest.raises(InputError, match="texts for calibration"):
        adapter.build(emit(mixed, random_weights(mixed)), target, WORKLOAD, tmp_path)


@pytest.mark.parametrize(
    ("options", "capability", "said"),
    [
        ({"precision": "bf16"}, (7, 5), "8.0 for tensorrt-bf16-1t, but has 7.5"),
        ({"precision": "fp32"}, (7, 0), "7.5 for"),
        ({"compatible": "hardware"}, (7, 5), "8.0 for"),
    ],
    ids=str,
)
def test_a_gpu_that_is_too_old_is_refused(
    trt: FakeTensorRt,
    make: Make,
    options: dict[str, Any],
    capability: tuple[int, int],
    said: str,
) -> None:
    trt.cuda.capability = capability
    with pytest.raises(SurroundingsError, match=said):
        make(**options)


def test_a_workload_longer_than_the_positions_is_refused(
    trt: FakeTensorRt, adapter: TensorRtGpu, mixed: Architecture, tmp_path: Path
) -> None:
    model = emit(mixed, random_weights(mixed))
    with pytest.raises(InputError, match="at most the 40 positions"):
        adapter.build(model, DYNAMIC, Workload(seq_len=41), tmp_path)


@pytest.mark.parametrize("refused", ["serialize", "create_engine_inspector"])
def test_what_is_only_kept_or_recorded_may_be_missing(
    trt: FakeTensorRt, adapter: TensorRtGpu, make: Make, tmp_path: Path, refused: str
) -> None:
    trt.refuses.add(refused)
    found = adapter.load(make()).properties["layers"]
    assert (found == "") == (refused == "create_engine_inspector")
    assert (tmp_path / "cache").exists() == (refused != "serialize")


def test_times_lie_where_only_the_user_writes(
    trt: FakeTensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = exporters._cuda.first_gpu()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for given, folder in (
        (str(tmp_path / "xdg"), tmp_path / "xdg" / "fleetfit"),
        ("relative", tmp_path / "home" / ".cache" / "fleetfit"),
        ("", tmp_path / "home" / ".cache" / "fleetfit"),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        cache = TimingCache(None, "10.16.1.11", gpu)
        cache.write(b"times")
        assert cache.path is not None
        assert cache.path.parent == folder
        assert folder.stat().st_mode & 0o077 == 0
        assert TimingCache(None, "10.16.1.11", gpu).read() == b"times"


def test_without_a_home_no_times_are_kept(
    trt: FakeTensorRt, mixed: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    cache = TimingCache(None, "10.16.1.11", exporters._cuda.first_gpu())
    cache.write(b"times")
    assert (cache.path, cache.read()) == (None, b"")
    model = emit(mixed, random_weights(mixed))
    assert TensorRtGpu().build(model, DYNAMIC, WORKLOAD, tmp_path).file_bytes > 0


def test_it_builds_on_the_gpu_that_is_meant(trt: FakeTensorRt, make: Make) -> None:
    trt.cuda.device = 1  # as another library may leave it
    make()
    assert trt.cuda.device == 0
