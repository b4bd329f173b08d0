from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from exporters import differences, load_bundle, read_weights
from exporters.text import TextEncoder
from fleetfit import (
    Budget,
    InfeasibleError,
    InputError,
    Measurement,
    RuntimeName,
    Target,
    Workload,
)
from profiler import ModelFile
from search.bundling import make_bundle
from search.cli import main
from search.order import Order
from search.scoring import LabelledFile
from supernet.network import EncoderNetwork
from tests.search.cli_fakes import measured_by_fake


def order(*budgets: str) -> Order:
    return Order(
        target=Target(runtime="onnxruntime"),
        workload=Workload(seq_len=16),
        budgets=tuple(map(Budget.parse, budgets)),
    )


def test_a_bundle_holds_what_was_measured(tuned: Path, tmp_path: Path) -> None:
    made = make_bundle(
        tuned, tmp_path / "out", order=order("params<=1M"), measure=measured_by_fake()
    )
    assert made.parity.holds
    assert made.budgets == ("params<=1000000",)
    assert made.measured.latency_p50_s is not None
    assert made.metric is None


def test_a_missed_budget_leaves_no_bundle(tuned: Path, tmp_path: Path) -> None:
    slow = measured_by_fake(slower=1000)
    with pytest.raises(InfeasibleError, match=r"<=1ms, but measured .*ms at the upper end"):
        make_bundle(tuned, tmp_path / "out", order=order("latency_p50<=1ms"), measure=slow)
    assert not (tmp_path / "out").exists()


def test_a_quality_drop_needs_the_metric_of_both_models(tuned: Path, tmp_path: Path) -> None:
    found: list[Measurement] = []
    asked = order("quality_drop<=1%")
    with pytest.raises(InputError, match="give --test and --source-accuracy"):
        make_bundle(tuned, tmp_path / "out", order=asked, measure=measured_by_fake(kept=found))
    assert not found


def test_a_quality_drop_is_judged_by_the_exported_model(
    tuned: Path, labelled: Path, tmp_path: Path
) -> None:
    small = dataclasses.replace(
        order("quality_drop<=50%"), test=LabelledFile(path=labelled), source_accuracy=0.001
    )
    made = make_bundle(tuned, tmp_path / "kept", order=small, measure=measured_by_fake())
    assert made.metric is not None
    assert made.metric.source_value == 0.001
    asked = dataclasses.replace(small, source_accuracy=1000.0)
    with pytest.raises(InfeasibleError, match="must keep quality_drop<=50%"):
        make_bundle(tuned, tmp_path / "out", order=asked, measure=measured_by_fake())
    assert not (tmp_path / "out").exists()


def test_a_damaged_model_is_refused(tuned: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be an existing file"):
        make_bundle(tmp_path, tmp_path / "out", order=order(), measure=measured_by_fake())


def test_a_reading_that_disagrees_is_taken_once_more(tuned: Path, tmp_path: Path) -> None:
    readings: list[Measurement] = []
    measure = measured_by_fake(kept=readings)
    first = dataclasses.replace(order(), verified_s=1.0)
    made = make_bundle(tuned, tmp_path / "one", order=first, measure=measure)
    assert len(readings) == 2
    agreeing = dataclasses.replace(order(), verified_s=made.measured.latency_p50_s)
    make_bundle(tuned, tmp_path / "two", order=agreeing, measure=measure)
    assert len(readings) == 3


def int8(runtime: RuntimeName, labelled: Path, **more: Any) -> Order:
    return dataclasses.replace(
        order(),
        target=Target(runtime=runtime, precision="int8"),
        calibration=LabelledFile(path=labelled),
        calibration_samples=5,
        **more,
    )


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_an_int8_bundle_answers_as_its_session_did(
    runtime: RuntimeName, tuned: Path, labelled: Path, tmp_path: Path
) -> None:
    pytest.importorskip("nncf" if runtime == "openvino" else "onnxruntime")
    files: list[ModelFile] = []
    measure = measured_by_fake()

    def look(file: ModelFile) -> Measurement:
        assert file.plain is not None
        assert file.plain.is_file()
        files.append(file)
        return measure(file)

    made = make_bundle(tuned, tmp_path / "out", order=int8(runtime, labelled), measure=look)
    assert made.session["precision"] == "int8"
    assert made.provenance["calibration"] == f"5 examples of {labelled.name}"
    assert made.parity.texts > 0
    loaded = load_bundle(tmp_path / "out")
    assert loaded.manifest == made
    assert {f.path.name for f in files} == {made.model}
    assert loaded.manifest.metric is None
    texts = [line.rpartition(",")[0] for line in labelled.read_text().splitlines()[1:9]]
    inputs = TextEncoder((tuned / "tokenizer.json").read_text(), max_length=16).encode(texts)
    whole = EncoderNetwork.of(made.architecture, read_weights(tmp_path / "out")).reference(inputs)
    diffs, scale = differences(whole, loaded.session.run(inputs), inputs)
    assert 0 < diffs.max() < 0.3 * scale


def test_int8_needs_texts_that_are_not_those_of_the_test(
    tuned: Path, labelled: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_bytes(labelled.read_bytes())
    asked = int8("onnxruntime", labelled, test=LabelledFile(path=copy))
    with pytest.raises(InputError, match="another file than the test"):
        make_bundle(tuned, tmp_path / "out", order=asked, measure=measured_by_fake())
    bare = dataclasses.replace(asked, calibration=None)
    with pytest.raises(InputError, match="texts for calibration"):
        make_bundle(tuned, tmp_path / "out", order=bare, measure=measured_by_fake())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("batch", [1, 3])
def test_a_fixed_shape_cuts_texts_where_it_ends(
    tuned: Path, labelled: Path, tmp_path: Path, batch: int
) -> None:
    asked = dataclasses.replace(
        order(),
        target=Target(runtime="onnxruntime", shapes="fixed"),
        workload=Workload(batch=batch, seq_len=5),  # models are of 16 tokens, texts of 8
        test=LabelledFile(path=labelled),
    )
    made = make_bundle(tuned, tmp_path / "out", order=asked, measure=measured_by_fake())
    assert made.max_length == 5
    assert len(load_bundle(tmp_path / "out").predict(["a b c d e f g h"] * 4)) == 4
    short = dataclasses.replace(asked, workload=Workload(seq_len=1))
    with pytest.raises(InputError, match="at least the 3 tokens of one text, but got 1"):
        make_bundle(tuned, tmp_path / "none", order=short, measure=measured_by_fake())


def int8_dynamic(labelled: Path, **more: Any) -> Order:
    target = Target(runtime="onnxruntime", precision="int8_dynamic")
    return dataclasses.replace(order(), target=target, test=LabelledFile(path=labelled), **more)


def test_a_loss_of_the_metric_beyond_its_limit_is_refused_unmeasured(
    tuned: Path, labelled: Path, tmp_path: Path
) -> None:
    found: list[Measurement] = []
    asked = int8_dynamic(labelled, most_loss=-0.5)
    with pytest.raises(InfeasibleError, match=r"must keep the accuracy within -50\.00% of"):
        make_bundle(tuned, tmp_path / "out", order=asked, measure=measured_by_fake(kept=found))
    assert not (tmp_path / "out").exists()
    assert not found


def test_the_metric_stands_beside_that_of_fp32(tuned: Path, labelled: Path, tmp_path: Path) -> None:
    asked = int8_dynamic(labelled, most_loss=0.3)
    made = make_bundle(tuned, tmp_path / "out", order=asked, measure=measured_by_fake())
    assert made.metric is not None
    plain = make_bundle(
        tuned,
        tmp_path / "plain",
        order=dataclasses.replace(order(), test=asked.test),
        measure=measured_by_fake(),
    )
    assert plain.metric is not None
    assert made.metric.fp32_value == pytest.approx(plain.metric.value)
    assert (made.metric.loss_limit, plain.metric.fp32_value) == (0.3, None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--target", "onnxruntime-int8"), "--calibration must name texts for onnxruntime-int8"),
        (("--target", "onnxruntime-fp32", "--calibration", "FILE"), "target of calibrated int8"),
        (("--target", "onnxruntime-fp32", "--max-loss", "1%"), "--max-loss must come with --test"),
        (("--calibration-samples", "9"), "must come with --calibration"),
        (
            ("--target", "onnxruntime-fp32", "--test", "FILE", "--max-loss", "1%"),
            "must come with another precision than fp32",
        ),
    ],
)
def test_options_of_int8_are_checked_first(
    tuned: Path,
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    given = [str(labelled) if word == "FILE" else word for word in words]
    store = ["--store", str(tmp_path / "s.db")]
    assert main(["export", str(tuned), str(tmp_path / "out"), *given, *store]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
