"""The error tree: exit codes as in the design, section 8."""

from __future__ import annotations

import pytest

from fleetfit import (
    FleetfitError,
    InfeasibleError,
    InputError,
    RuntimeMissing,
    SurroundingsError,
    errors,
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FleetfitError, 1),
        (InputError, 2),
        (InfeasibleError, 3),
        (SurroundingsError, 4),
        (RuntimeMissing, 4),
    ],
)
def test_each_kind_has_its_exit_code(kind: type[FleetfitError], code: int) -> None:
    assert kind("why").exit_code == code
    assert issubclass(kind, FleetfitError)


def test_bad_input_is_a_value_error_for_other_people() -> None:
    assert issubclass(InputError, ValueError)


def test_a_missing_runtime_is_a_failure_of_the_surroundings() -> None:
    assert issubclass(RuntimeMissing, SurroundingsError)


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in errors.__all__)
