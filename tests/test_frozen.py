"""Frozen JSON: equal to what it was made from, unchangeable, and its form is what would be written."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.frozen import FrozenDict, FrozenList, freeze, same_form, thaw

leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2, allow_nan=False) | st.text(max_size=3)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3), max_leaves=12
)


@given(values)
def test_freezing_keeps_value_and_bytes(value: Any) -> None:
    """A frozen value equals its original, is written as the same bytes, and comes back as plain JSON."""
    frozen = freeze(value)
    assert frozen == value
    assert json.dumps(frozen) == json.dumps(value)
    for plain in (thaw(frozen), copy.deepcopy(frozen)):
        assert plain == value
        assert type(plain) is type(value)
    assert pickle.loads(pickle.dumps(frozen)) == value


@given(values, values)
def test_the_same_form_means_the_same_bytes(one: Any, other: Any) -> None:
    """Exactly those values have the same form that are written as the same bytes."""
    assert same_form(one, other) == (json.dumps(one) == json.dumps(other))
    assert same_form(one, freeze(one))


@given(st.dictionaries(st.text(max_size=3), leaves, min_size=2))
def test_the_order_of_keys_is_part_of_the_form(value: dict[str, Any]) -> None:
    """Equal dictionaries in another order are not the same bytes."""
    turned = dict(reversed(value.items()))
    assert turned == value
    assert not same_form(turned, value)


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), (1, 1.0), (0.0, -0.0), ([1], [True]), ({"a": 1}, {"a": 1.0})])
def test_equal_values_in_other_bytes_are_told_apart(one: Any, other: Any) -> None:
    """Python takes them for one another, a provider does not."""
    assert one == other
    assert not same_form(one, other)


@pytest.mark.parametrize("change", ["clear", "pop", "update", "setdefault", "append", "extend", "insert", "sort", "reverse", "__setitem__"])
def test_nothing_changes_a_frozen_value(change: str) -> None:
    """Each way of changing one in place raises and names the way to a copy."""
    for value in (FrozenDict({"a": 1}), FrozenList([1])):
        if hasattr(value, change):
            with pytest.raises(TypeError, match="thaw"):
                getattr(value, change)(*([0, 0] if change in ("insert", "__setitem__") else [0] if change in ("append", "extend") else []))
            assert value in ({"a": 1}, [1])
