"""Canonical JSON: equal values have equal texts, and nothing odd comes in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import InputError, digest, dumps, from_json, loads, to_json
from fleetfit.codec import ADDED_LATER, check_literals


@dataclass(frozen=True, kw_only=True, slots=True)
class Circle:
    TAGGED: ClassVar[bool] = True
    radius: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Square:
    TAGGED: ClassVar[bool] = True
    side: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    title: str
    shapes: tuple[Circle | Square, ...] = ()
    corner: tuple[int, float] = (0, 0.0)
    colour: Literal["red", "blue"] | None = None
    visible: bool = True
    notes: dict[str, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Untagged: the one of a union that needs no type."""

    length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    stroke: Line | Circle | Square


@dataclass(frozen=True, kw_only=True, slots=True)
class Grown:
    """Drawn with a pen that later values name."""

    title: str
    pens: tuple[int, ...] = field(default=(), metadata=ADDED_LATER)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
finite = st.floats(allow_nan=False, allow_infinity=False)
drawings = st.builds(
    Drawing,
    title=texts,
    shapes=st.lists(
        st.builds(Circle, radius=finite) | st.builds(Square, side=st.integers()), max_size=3
    ).map(tuple),
    corner=st.tuples(st.integers(), finite),
    colour=st.sampled_from(["red", "blue", None]),
    visible=st.booleans(),
    notes=st.none() | st.dictionaries(texts, finite, max_size=2),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(drawings)
def test_what_is_written_is_read_back(drawing: Drawing) -> None:
    text = dumps(drawing)
    assert loads(Drawing, text) == drawing
    assert dumps(loads(Drawing, text)) == text


def test_a_field_added_later_is_left_out_at_its_default() -> None:
    assert dumps(Grown(title="a")) == '{"title":"a"}'
    assert dumps((Grown(title="a"),)) == '[{"title":"a"}]'
    assert dumps(Grown(title="a", pens=(1, 2))) == '{"pens":[1,2],"title":"a"}'
    for text in ('{"title":"a"}', '{"pens":[],"title":"a"}'):
        assert loads(Grown, text) == Grown(title="a")


@given(st.builds(Grown, title=texts, pens=st.lists(st.integers(), max_size=2).map(tuple)))
def test_a_field_added_later_is_read_back(grown: Grown) -> None:
    assert loads(Grown, dumps(grown)) == grown


@given(finite.filter(float.is_integer))
def test_a_whole_number_has_one_text_as_int_and_float(value: float) -> None:
    assert dumps(Circle(radius=value)) == dumps(Circle(radius=int(value)))


def test_the_form_is_sorted_without_white_space_and_not_escaped() -> None:
    drawing = Drawing(title="é", shapes=(Circle(radius=2.0), Square(side=3)), notes={"b": 0.5})
    assert dumps(drawing) == (
        '{"colour":null,"corner":[0,0],"notes":{"b":0.5},'
        '"shapes":[{"radius":2,"type":"Circle"},{"side":3,"type":"Square"}],'
        '"title":"é","visible":true}'
    )


def test_digest_is_the_start_of_sha256_over_the_text() -> None:
    # printf '{"side":3,"type":"Square"}' | sha256sum
    assert digest(Square(side=3)) == "76ea9ba69b4843cb"


def test_absent_fields_take_their_defaults() -> None:
    assert loads(Drawing, '{"title":"a"}') == Drawing(title="a")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "valid JSON"),
        ("{", "valid JSON"),
        ("[]", "Drawing must be an object"),
        ("{}", "the field 'title', but it is missing"),
        ('{"title":"a","colour":"green"}', r"Drawing.colour must be one of"),
        ('{"title":"a","vissible":true}', "Perhaps you meant 'visible'"),
        ('{"title":"a","zzzz":true}', "known fields, but got 'zzzz'"),
        ('{"title":1}', "Drawing.title must be a str"),
        ('{"title":"a","visible":1}', "Drawing.visible must be a bool"),
        ('{"title":"a","shapes":{}}', "Drawing.shapes must be an array"),
        ('{"title":"a","shapes":[3]}', r"shapes\[0\] must be Circle or Square, but got 3"),
        ('{"title":"a","shapes":[{"side":1}]}', r"shapes\[0\].type must be one of"),
        ('{"title":"a","shapes":[{"type":"Star"}]}', "'Circle', 'Square'"),
        ('{"title":"a","shapes":[{"type":"Square","side":1.5}]}', "side must be a whole number"),
        ('{"title":"a","shapes":[{"type":"Square","side":true}]}', "side must be a whole number"),
        ('{"title":"a","shapes":[{"type":"Circle","radius":"1"}]}', "radius must be a number"),
        ('{"title":"a","corner":[1]}', "corner must be an array of 2"),
        ('{"title":"a","notes":[1]}', "notes must be an object"),
        ('{"title":"a","notes":{"x":NaN}}', "notes.x must be a finite number"),
        ('{"title":"a","notes":{"x":1e999}}', "notes.x must be a finite number"),
        ('{"title":"a","notes":{"x":1%s}}' % ("0" * 400), "notes.x must be a finite number"),
        ('{"title":"\\ud800"}', "Drawing.title must be valid Unicode"),
        ('{"title":"a","notes":{"\\udfff":1}}', "Drawing.notes must be valid Unicode"),
        ('{"title":' + "[" * 100_000 + "}", "valid JSON"),
        (b"\xff\xfe{}", "valid JSON"),
    ],
)
def test_text_that_does_not_fit_is_refused_with_a_sentence(
    text: str | bytes, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        loads(Drawing, text)
    assert str(caught.value).endswith((".", "?"))
    assert len(str(caught.value)) < 300


@given(json_values)
def test_any_json_is_read_or_refused(data: object) -> None:
    text = json.dumps(data)
    for cls in (Drawing, Circle):
        with pytest.raises(InputError):
            loads(cls, text)


@given(st.dictionaries(st.sampled_from(["title", "shapes", "corner", "notes"]), json_values))
def test_any_fields_give_a_value_that_can_be_written_or_a_sentence(data: dict[str, Any]) -> None:
    try:
        drawing = from_json(Drawing, data)
    except InputError:
        return
    assert from_json(Drawing, to_json(drawing)) == drawing


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_lacks_is_not_written(number: float) -> None:
    with pytest.raises(InputError, match="finite"):
        dumps(Circle(radius=number))


def test_a_value_without_a_form_is_our_own_bug() -> None:
    with pytest.raises(TypeError, match="no JSON form for set"):
        dumps({1, 2})


def test_a_tag_is_demanded_even_where_no_union_asks_for_it() -> None:
    with pytest.raises(InputError, match="Circle must be a Circle"):
        loads(Circle, '{"radius":1}')


def test_check_literals_names_the_field_and_the_choices() -> None:
    check_literals(Drawing(title="a", colour="red"))
    check_literals(Drawing(title="a"))
    wrong = Drawing(title="a", colour="green")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"Drawing.colour must be one of 'red', 'blue', None"):
        check_literals(wrong)


@pytest.mark.parametrize(
    ("stroke", "text"),
    [
        (Line(length=2), '{"stroke":{"length":2}}'),
        (Square(side=2), '{"stroke":{"side":2,"type":"Square"}}'),
    ],
)
def test_one_class_of_a_union_may_do_without_a_tag(stroke: Line | Square, text: str) -> None:
    assert dumps(Plan(stroke=stroke)) == text
    assert loads(Plan, text) == Plan(stroke=stroke)


def test_without_a_tag_it_is_the_untagged_class_and_no_other() -> None:
    with pytest.raises(InputError, match=r"Plan\.stroke must have known fields, but got 'side'"):
        loads(Plan, '{"stroke":{"side":2}}')
    with pytest.raises(InputError, match=r"Plan\.stroke\.type must be one of \['Circle', 'Square'"):
        loads(Plan, '{"stroke":{"length":2,"type":"Line"}}')
