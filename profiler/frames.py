"""Measurements as a pandas frame, one row each, with where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fleetfit import Measurement, SurroundingsError
from fleetfit.comparable import check_comparable, deciding_versions

if TYPE_CHECKING:
    import pandas

__all__ = ["COLUMNS", "frame"]

Value = str | int | float | bool | None

COLUMNS: Final = {
    **dict.fromkeys(("job_id", "device_name", "device_class", "cpu_model", "gpus"), "string"),
    **dict.fromkeys(("protocol", "runtime", "runtime_version", "driver"), "string"),
    **dict.fromkeys(("protocol_version", "seed"), "Int64"),
    **dict.fromkeys(("model_sha256", "network", "network_id", "target", "target_id"), "string"),
    **dict.fromkeys(("provider", "precision", "shapes"), "string"),
    **dict.fromkeys(("threads", "batch", "seq_len"), "Int64"),
    "spinning": "boolean",
    "padding": "float64",
    **dict.fromkeys(("lengths", "status", "flags", "measured_at"), "string"),
    **dict.fromkeys(("processes", "samples"), "Int64"),
    **dict.fromkeys(("latency_p50_s", "latency_p50_lower_s", "latency_p50_upper_s"), "float64"),
    **dict.fromkeys(("calm_p50_s", "latency_p90_s", "latency_p90_bound_s"), "float64"),
    **dict.fromkeys(("latency_p99_s", "noise", "throughput_per_s"), "float64"),
    **dict.fromkeys(("mild_outliers", "severe_outliers"), "Int64"),
    **dict.fromkeys(("memory_bytes", "memory_above_imports_bytes", "file_bytes"), "Int64"),
    **dict.fromkeys(("load_s", "import_s", "first_run_s", "build_s"), "float64"),
    **dict.fromkeys(("device_p50_s", "energy_j"), "float64"),
}
"""Name to pandas type. The ends of latency_p50_s are of its 95 % interval; noise is relative;
``driver`` names versions beside the runtime's that decide the cost; processes are visits in a
survey; lengths are the workload's; device_p50_s is by a GPU's own clock and energy_j per inference.
What was not measured is missing."""


def frame(measurements: Sequence[Measurement], *, mixed: bool = False) -> pandas.DataFrame:
    """A row for each measurement, in their order, with the columns of COLUMNS.

    Raises InputError where versions of a protocol, a runtime or a driver differ, unless ``mixed``
    asks for them side by side; SurroundingsError where pandas is not installed.
    """
    check_comparable(measurements, mixed=mixed)
    try:
        import pandas
    except ImportError as exc:
        raise SurroundingsError(
            "pandas must be installed for a frame, but is not: pip install 'fleetfit[tables]'."
        ) from exc
    rows = [_origin(one) | _setting(one) | _figures(one) for one in measurements]
    return pandas.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _origin(measurement: Measurement) -> dict[str, Value]:
    job, device = measurement.job, measurement.device
    runtime = job.query.target.runtime
    versions = deciding_versions(measurement)
    others = [f"{name} {version}" for name, version in versions.items() if name != runtime]
    return {
        "job_id": job.id,
        "device_name": device.name,
        "device_class": device.device_class,
        "cpu_model": device.cpu_model,
        "gpus": ", ".join(device.gpus) or None,
        "protocol": job.protocol,
        "protocol_version": job.protocol_version,
        "seed": job.seed,
        "model_sha256": job.model_sha256,
        "runtime": runtime,
        "runtime_version": versions[runtime],
        "driver": ", ".join(sorted(others)) or None,
        "status": measurement.status,
        "flags": ", ".join(measurement.flags),
        "measured_at": measurement.measured_at or None,
    }


def _setting(measurement: Measurement) -> dict[str, Value]:
    query = measurement.job.query
    target, workload = query.target, query.workload
    return {
        "network": query.architecture.summary(),
        "network_id": query.architecture.cost_id,
        "target": str(target),
        "target_id": target.id,
        "provider": target.provider,
        "precision": target.precision,
        "threads": target.threads,
        "spinning": target.spinning,
        "shapes": target.shapes,
        "batch": workload.batch,
        "seq_len": workload.seq_len,
        "padding": workload.padding,
        "lengths": ",".join(map(str, workload.lengths)) or None,
    }


def _figures(measurement: Measurement) -> dict[str, Value]:
    lower, upper = measurement.interval_s()
    gpu = measurement.gpu
    return {
        "processes": len(measurement.samples_s),
        "samples": sum(map(len, measurement.samples_s)),
        "latency_p50_s": measurement.latency_p50_s,
        "latency_p50_lower_s": lower,
        "latency_p50_upper_s": upper,
        "calm_p50_s": measurement.calm_p50_s,
        "latency_p90_s": measurement.latency_p90_s,
        "latency_p90_bound_s": measurement.bound_s(0.9),
        "latency_p99_s": measurement.latency_p99_s,
        "noise": measurement.noise,
        "throughput_per_s": measurement.throughput_per_s,
        "mild_outliers": measurement.outliers[0],
        "severe_outliers": measurement.outliers[1],
        "memory_bytes": measurement.memory_bytes,
        "memory_above_imports_bytes": measurement.memory_above_imports_bytes,
        "file_bytes": measurement.file_bytes,
        "load_s": measurement.load_s,
        "import_s": measurement.import_s,
        "first_run_s": measurement.first_run_s,
        "build_s": measurement.build_s,
        "device_p50_s": measurement.device_p50_s,
        "energy_j": None if gpu is None else gpu.energy_j,
    }
