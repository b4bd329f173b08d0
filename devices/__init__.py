"""What a machine is, how it feels right now, and child processes that cannot harm a measurement."""

from devices.describe import describe
from devices.disturbance import Disturbance
from devices.disturbances import disturbances
from devices.gpu import FakeGpuMeter, GpuMeter, NoGpuMeter
from devices.gpu_nvml import gpu_meter
from devices.health import HealthMeter
from devices.isolated import run_isolated
from devices.lock import machine_lock, scratch_directory
from devices.trainings import giving_way
from devices.window import WindowMeter, WindowReading
from devices.worker import Worker

__all__ = [
    "Disturbance",
    "FakeGpuMeter",
    "GpuMeter",
    "HealthMeter",
    "NoGpuMeter",
    "WindowMeter",
    "WindowReading",
    "Worker",
    "describe",
    "disturbances",
    "giving_way",
    "gpu_meter",
    "machine_lock",
    "run_isolated",
    "scratch_directory",
]
