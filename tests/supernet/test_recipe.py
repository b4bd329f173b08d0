"""Recipes: read strictly, overridden by options, written so that they come back the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetfit import InputError
from supernet.losses import LossWeights
from supernet.pretrain_config import PretrainConfig
from supernet.recipe import read_recipe, recipe_text, with_options
from supernet.sampling import Sampling

DEFAULTS = PretrainConfig(tokens=900, head_tokens=90, losses=LossWeights(masked_lm=0.25))
RECIPE = """
tokens = 1000
seq_lens = [64, 32]
learning_rate = 1e-5

[sampling]
strategy = "batch_wise"
random_members = 4

[losses]
hidden_layers = "all"
scores = 1
"""


def read(tmp_path: Path, text: str) -> PretrainConfig:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return read_recipe(path, DEFAULTS)


def test_what_a_recipe_does_not_say_is_as_before(tmp_path: Path) -> None:
    assert read(tmp_path, "") == DEFAULTS
    assert read(tmp_path, RECIPE) == PretrainConfig(
        tokens=1000,
        head_tokens=90,
        seq_lens=(64, 32),
        learning_rate=1e-5,
        sampling=Sampling(strategy="batch_wise", random_members=4),
        losses=LossWeights(hidden_layers="all", scores=1.0, masked_lm=0.25),
    )


def test_options_stand_above_a_recipe(tmp_path: Path) -> None:
    config = read(tmp_path, RECIPE)
    options = {"tokens": 7, "seed": None, "losses.hidden": 0.5, "sampling.random_members": 2}
    changed = with_options(config, options)
    assert (changed.tokens, changed.seed, changed.learning_rate) == (7, 0, 1e-5)
    assert changed.losses == LossWeights(
        hidden=0.5, hidden_layers="all", scores=1.0, masked_lm=0.25
    )
    assert changed.sampling == Sampling(strategy="batch_wise", random_members=2)
    assert with_options(config, {"tokens": None}) == config


@pytest.mark.parametrize("text", ["", RECIPE, "fitted_teacher = true\nbf16 = false"])
def test_a_written_recipe_comes_back_the_same(tmp_path: Path, text: str) -> None:
    config = read(tmp_path, text)
    again = tmp_path / "again.toml"
    again.write_text(recipe_text(config))
    other = PretrainConfig(tokens=1, seed=9, losses=LossWeights(scores=3.0))
    assert read_recipe(again, other) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tokns = 5", r"got 'tokns'\. Perhaps you meant 'tokens'"),
        ("[losses]\nhiden = 1.0", r"losses must have known fields, but got 'hiden'\. .*'hidden'"),
        ("[loss]\nhidden = 1.0", r"got 'loss'\. Perhaps you meant 'losses'"),
        ("[sampling]\nstrategy = 'sandwhich'", r"sampling\.strategy must be one of"),
        ("losses = 3", r"losses must be an object, but got 3"),
        ("tokens = 5e6", r"tokens must be a whole number"),
        ("learning_rate = nan", r"learning_rate must be a finite number"),
        ("[losses]\nhidden = -1", r"Loss weights must be >= 0"),
        ("tokens = ", r"must be TOML"),
        ("tokens = 2020-01-01", r"tokens must be a whole number"),
    ],
)
def test_what_is_no_recipe_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=r"recipe\.toml.*" + message):
        read(tmp_path, text)


def test_a_recipe_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"A recipe must be an existing file"):
        read_recipe(tmp_path / "none.toml", DEFAULTS)
