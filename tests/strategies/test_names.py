"""Strategies by name."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from importlib.resources import files

import pytest

from holdfast.errors import InputError, UnknownStrategy
from holdfast.strategies import ALIASES, Micro, named, registered
from holdfast.strategy import Strategy


@pytest.mark.parametrize("name", sorted(registered()))
def test_every_registered_strategy_says_its_own_name(name: str) -> None:
    """Found by name, it is a strategy of that name with at most five options and a README of at most 25 lines."""
    strategy = named(name)
    assert isinstance(strategy, Strategy)
    assert strategy.name == name
    assert is_dataclass(strategy)
    assert len([field for field in fields(strategy) if field.name != "name"]) <= 5
    readme = files(f"holdfast_strategies.{name}").joinpath("README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {name}\n")
    assert readme.count("\n") <= 25


@pytest.mark.parametrize("field", ["name"])
@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_aliases_lead_to_the_same_strategy(alias: str, field: str) -> None:
    """Also in capitals and with underscores."""
    assert named(alias) == named(ALIASES[alias]) == named(alias.upper().replace("-", "_"))
    assert getattr(named(alias), field) == ALIASES[alias]


def test_options_reach_the_strategy() -> None:
    """They are the fields of its configuration."""
    assert named("snip", keep_results=3) == Micro(keep_results=3)


def test_an_unknown_option_is_named_with_the_known_ones() -> None:
    """So that a typing error is seen at once."""
    with pytest.raises(InputError, match=r"no option keep_result; it has keep_results"):
        named("micro", keep_result=3)


def test_an_unknown_name_comes_with_its_neighbours() -> None:
    """The nearest names stand first, aliases by the name they lead to."""
    with pytest.raises(UnknownStrategy) as caught:
        named("microcompakt")
    assert caught.value.known[0] == "micro"
    assert set(caught.value.known) == set(registered())
