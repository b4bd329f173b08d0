"""What a machine is, how it feels right now, and child processes that cannot harm a measurement."""

from devices.describe import describe, require_linux
from devices.health import HealthMeter
from devices.isolated import run_isolated
from devices.lock import machine_lock, scratch_directory
from devices.memory import MemoryReading, read_memory, reset_peak
from devices.worker import Worker

__all__ = [
    "HealthMeter",
    "MemoryReading",
    "Worker",
    "describe",
    "machine_lock",
    "read_memory",
    "require_linux",
    "reset_peak",
    "run_isolated",
    "scratch_directory",
]
