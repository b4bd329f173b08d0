"""What a machine is, how it feels right now, and child processes that cannot harm a measurement."""

from devices.describe import describe
from devices.health import HealthMeter
from devices.isolated import run_isolated
from devices.lock import machine_lock, scratch_directory
from devices.window import WindowMeter, WindowReading
from devices.worker import Worker

__all__ = [
    "HealthMeter",
    "WindowMeter",
    "WindowReading",
    "Worker",
    "describe",
    "machine_lock",
    "run_isolated",
    "scratch_directory",
]
