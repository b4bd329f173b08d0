"""What a machine is, and how it feels right now."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleetfit.codec import digest

__all__ = ["DeviceInfo", "Health"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceInfo:
    """One machine. Predictors belong to ``device_class``, measurements to ``name``."""

    name: str
    cpu_model: str
    cpu_flags: tuple[str, ...]
    """Sorted flags of the processor."""
    cores: int
    """Cores this process may use."""
    memory_bytes: int
    """Physical memory, or the limit of the control group where that is lower."""
    machine: str
    """Instruction set, as in ``x86_64``."""
    system: str
    gpus: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    """Runtime name to installed version; absent where not installed."""

    @property
    def device_class(self) -> str:
        """Hash of what decides speed: CPU model and flags, usable cores, GPUs."""
        return digest((self.cpu_model, self.cpu_flags, self.cores, self.machine, self.gpus))

    @property
    def default_threads(self) -> int:
        """All usable cores but one: what uses them all is disturbed by whatever else runs."""
        return max(1, self.cores - 1)

    @property
    def has_bf16(self) -> bool:
        """Whether the processor multiplies bf16 natively."""
        return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(self.cpu_flags))

    @property
    def has_fp16(self) -> bool:
        """Whether the processor multiplies fp16 natively."""
        return bool({"avx512_fp16", "amx_fp16", "asimdhp"} & set(self.cpu_flags))


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """What may disturb a measurement, read at one moment."""

    load_1m: float | None = None
    """Load average over one minute."""
    steal: float | None = None
    """Share of processor time taken by the hypervisor since the reading before."""
    pressure: float | None = None
    """PSI: share of the last 10 s in which some task waited for a processor."""
    other_load: float | None = None
    """Cores' worth of processor time that other processes used since the reading before."""
    reference_s: float | None = None
    """Latency of the reference network, where it was timed."""
