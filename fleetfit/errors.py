"""The error tree. Every error a user can cause is one sentence and carries its exit code.

FleetfitError              exit 1: our own bug if it is raised bare
├── InputError             exit 2: what the user gave does not fit
├── InfeasibleError        exit 3: no model meets the budget; the nearest is named
└── SurroundingsError      exit 4: a runtime, a device or the disk is not there
    └── RuntimeMissing     exit 4: the library of a runtime is not installed

An interrupt (Ctrl-C, SIGTERM) ends with exit code 130, INTERRUPTED.
"""

from __future__ import annotations

__all__ = [
    "INTERRUPTED",
    "FleetfitError",
    "InfeasibleError",
    "InputError",
    "RuntimeMissing",
    "SurroundingsError",
]

INTERRUPTED = 130


class FleetfitError(Exception):
    """Root of all errors of this project; ``exit_code`` is the code of the command line."""

    exit_code = 1


class InputError(FleetfitError, ValueError):
    """What the user gave does not hold: a value, a file, a name."""

    exit_code = 2


class InfeasibleError(FleetfitError):
    """No model meets the budget; the message names the nearest."""

    exit_code = 3


class SurroundingsError(FleetfitError):
    """The surroundings fail: a runtime is missing, a device is lost, the disk is full."""

    exit_code = 4


class RuntimeMissing(SurroundingsError):
    """The library of a runtime is not installed; the message names the extra to install."""
