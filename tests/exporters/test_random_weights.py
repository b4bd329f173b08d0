"""Seeded random weights."""

from __future__ import annotations

import dataclasses

import numpy as np

from exporters import random_weights
from fleetfit import Architecture, check_weights


def test_weights_fit_their_architecture(mixed: Architecture) -> None:
    weights = random_weights(mixed)
    check_weights(mixed, weights)
    assert {a.dtype for a in weights.values()} == {np.dtype(np.float32)}


def test_the_same_call_gives_the_same_weights_whatever_came_before(
    mixed: Architecture, tiny_source: Architecture
) -> None:
    first = {k: v.copy() for k, v in random_weights(mixed, seed=3).items()}
    random_weights(tiny_source, seed=3)
    again = random_weights(mixed, seed=3)
    assert all((first[k] == again[k]).all() for k in first)


def test_seeds_differ(mixed: Architecture) -> None:
    name = "layers.0.0.query.weight"
    assert (random_weights(mixed, seed=1)[name] != random_weights(mixed, seed=2)[name]).any()


def test_the_token_table_is_one_for_all_networks(
    tiny_source: Architecture, mixed: Architecture
) -> None:
    wide = dataclasses.replace(tiny_source, activation="relu")
    a, b = (random_weights(x)["embedding.tokens"] for x in (tiny_source, wide))
    assert np.shares_memory(a, b)
    narrow = random_weights(mixed)["embedding.tokens"]
    assert (narrow.ravel() == a.ravel()[: narrow.size]).all()


def test_spreads_are_those_of_an_untrained_bert(tiny_source: Architecture) -> None:
    weights = random_weights(tiny_source)
    assert abs(weights["embedding.tokens"].std() - 0.02) < 0.002
    assert abs(weights["layers.0.1.linear.0.weight"].std() - 32**-0.5) < 0.02
    assert abs(weights["embedding.norm.weight"].mean() - 1) < 0.02
