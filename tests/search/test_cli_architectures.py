"""Files of architectures: whatever was written is read again, whatever is broken is named."""

from __future__ import annotations

import json
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from fleetfit import Architecture, Head, InputError, dumps, to_json
from search.cli.architectures import chosen_members, read_architectures
from supernet.spaces import AutoTinyBertSpace, ElasticSpace
from tests.fleetfit.strategies import architectures

some = st.lists(architectures(), min_size=1, max_size=3)
blanks = st.sampled_from(["", "\n", "\n\n  ", " \t\n"])


def read(text: str, folder: Path) -> list[Architecture]:
    path = folder / "archs.json"
    path.write_text(text, encoding="utf-8")
    return [arch for _, arch in read_architectures(path)]


@given(archs=some, before=blanks, between=blanks, indent=st.none() | st.integers(0, 3))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    archs: list[Architecture],
    before: str,
    between: str,
    indent: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("read")
    data = [to_json(arch) for arch in archs]
    assert read(before + json.dumps(data, indent=indent) + between, folder) == archs
    lines = [json.dumps(one, indent=indent) for one in data]
    assert read(before + f"\n{between}".join(lines) + between, folder) == archs
    assert read(dumps(archs[0]), folder) == archs[:1]


@given(archs=some, data=st.data())
def test_a_file_cut_short_is_refused_by_its_line(
    tmp_path_factory: pytest.TempPathFactory, archs: list[Architecture], data: st.DataObject
) -> None:
    lines = [dumps(arch) for arch in archs]
    broken = data.draw(st.integers(0, len(lines) - 1))
    lines[broken] = lines[broken][: data.draw(st.integers(1, len(lines[broken]) - 1))]
    with pytest.raises(InputError, match=rf"archs\.json, line {broken + 1}[, ]") as caught:
        read("\n".join(lines), tmp_path_factory.mktemp("cut"))
    assert "\n" not in str(caught.value)


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    with pytest.raises(InputError, match=r"archs\.json"):
        read(text, tmp_path_factory.mktemp("any"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "holds none"),
        ("[]", "holds none"),
        ('{"layers": []}', "line 1 must hold an architecture: Architecture must have the field"),
        ("\n\n[\n3]", "line 3, entry 1 must hold an architecture: Architecture must be an object"),
        ("[" * 100_000, "line 1, must hold an architecture as JSON"),
    ],
    ids=["empty", "no entry", "no fields", "a number", "nested without end"],
)
def test_what_is_no_architecture_is_named(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        read(text, tmp_path)


def test_names_are_given_and_nothing_stands_twice(tiny_space: ElasticSpace, tmp_path: Path) -> None:
    named = {"largest": tiny_space.largest(), "smallest": tiny_space.smallest()}
    middle = tiny_space.build(16, [(32, 2, 64), (32, 4, 64)])
    path = tmp_path / "a.jsonl"
    headed = middle.with_head(Head(kind="masked_lm"))
    path.write_text("\n".join(map(dumps, [named["smallest"], middle, headed])))
    found = chosen_members([str(path), "largest", str(path)], tiny_space, named)
    assert found == {"smallest": named["smallest"], middle.summary(): middle} | {
        "largest": named["largest"]
    }
    assert list(found) == ["smallest", middle.summary(), "largest"]


def test_networks_of_equal_summary_have_names_of_their_own(
    tiny_source: Architecture, tmp_path: Path
) -> None:
    space = AutoTinyBertSpace.of(tiny_source, slicing="narrowed_heads")
    narrow, wide = (space.build(3, (32, 4, head_dim, 64)) for head_dim in (3, 8))
    other = space.build(2, (32, 4, 8, 64))
    assert narrow.summary() == wide.summary()
    path = tmp_path / "a.json"
    path.write_text(dumps([narrow, wide, other]))
    assert chosen_members([str(path)], space, {}) == {
        f"{narrow.summary()} {narrow.id}": narrow,
        f"{wide.summary()} {wide.id}": wide,
        other.summary(): other,
    }


def test_only_members_of_the_supernet_have_figures(
    tiny_space: ElasticSpace, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    with pytest.raises(InputError, match=r"one of largest, or a JSON file .* got 'huge'"):
        chosen_members(["huge"], tiny_space, {"largest": tiny_space.largest()})
    data = to_json(tiny_space.largest())
    data["layers"][0]["sublayers"][1]["widths"] = [48]
    path.write_text(f"{dumps(tiny_space.largest())}\n{json.dumps(data)}\n")
    with pytest.raises(InputError, match=r"a\.jsonl, line 2 must hold a member of this supernet"):
        chosen_members([str(path)], tiny_space, {})
