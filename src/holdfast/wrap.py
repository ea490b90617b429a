"""``wrap(client)``: the same client, with Holdfast in its calls; and ``of(client)``: what to say to it and ask it."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import ismethod
from typing import Any, TypeVar, Unpack, cast

from holdfast.calls.calls import Calls, Fork
from holdfast.calls.current import Current, Pin, Scope, current, pins
from holdfast.calls.figures import Report
from holdfast.errors import CannotWrap, HoldfastWarning, InputError
from holdfast.pipeline import guarded
from holdfast.providers import Flows, Wishes, calls_for, known
from holdfast.strategies import named
from holdfast.strategy import Strategy
from holdfast.trace import Trace

Client = TypeVar("Client")

log = logging.getLogger("holdfast")

KNOWN = "Anthropic and AsyncAnthropic, the clients of that SDK for other platforms, OpenAI and AsyncOpenAI, and those for Azure"
BASES = frozenset({"SyncAPIClient", "AsyncAPIClient"})
"""What the clients of both SDKs descend from."""

FAMILIES = ("anthropic", "openai")

RESOURCES = frozenset({"SyncAPIResource", "AsyncAPIResource"})

MIDDLEWARE = "give it middleware=[holdfast.Middleware(...)] when you make it"


def wrap(client: Client, **wishes: Unpack[Wishes]) -> Client:
    """A client of the same class whose Messages, Chat Completions and Responses calls go through Holdfast; the rest goes as ever.

    ``strategy`` is a name or an object (``"ladder"``), ``trigger`` and ``target`` are tokens, or a share of the window when below 1;
    ``holdfast.calls.call_settings`` says what else may be said. A client that is wrapped already comes back as it is: the same object.

    An Anthropic client is copied with its own ``with_options``, Holdfast behind all other middleware. Of an OpenAI client a subclass is
    made: ``isinstance(client, OpenAI)`` holds, ``type(client) is OpenAI`` does not. Both share the HTTP client of the one they are made
    from: closing either, or leaving a ``with`` block of either, closes both.

    Warns (``HoldfastWarning``) of what somebody set on this very client and its copy has not, a tracing wrapper for one: apply Holdfast
    first. Raises ``CannotWrap`` for what is no such client or cannot be copied.
    """
    known(wishes)
    if calls_of(client) is None:
        return hooked(client, lambda: calls_for(wishes))
    if wishes:
        said = ", ".join(f"{name}=" for name in wishes)
        log.warning("this %s has Holdfast in it already: %s is not looked at", type(client).__name__, said)
    return client


def hooked(client: Client, calls: Callable[[], Flows]) -> Client:
    """``wrap`` with calls of any make, which are only made for a client that can be wrapped."""
    family = _family(client)
    if family is None:
        what = f"the class {client.__qualname__}" if isinstance(client, type) else f"a {type(client).__qualname__}"
        raise CannotWrap(f"{what} is no client that Holdfast knows; it knows {KNOWN}")
    made = _wrap_anthropic(client, calls) if family == "anthropic" else _wrap_openai(client, calls)
    lost = list(overrides(client, made))
    if lost:
        warnings.warn(
            f"set on this {type(client).__name__} and not on its wrapped copy: {', '.join(lost)}. "
            "Apply Holdfast first, then whatever set them: client = holdfast.wrap(client), then trace(client)",
            HoldfastWarning,
            stacklevel=3,
        )
    return cast("Client", made)


def _wrap_anthropic(client: Any, calls: Callable[[], Flows]) -> Any:
    from holdfast.providers.anthropic import Middleware

    name, hook = type(client).__qualname__, Middleware(calls())
    made = guarded(
        lambda: client.with_options(middleware=[*client.middleware, hook]),
        lambda cause: CannotWrap(f"{name} does not copy itself ({type(cause).__name__}: {cause}); {MIDDLEWARE}"),
    )
    if calls_of(made) is None or not isinstance(made, client.__class__):
        raise CannotWrap(f"{name}.with_options makes a {type(made).__qualname__} without the middleware given; {MIDDLEWARE}")
    return made


def _wrap_openai(client: Any, calls: Callable[[], Flows]) -> Any:
    from holdfast.providers.openai import wrapped

    flows = calls()
    return wrapped(client, flows, stream_usage=flows.settings.stream_usage if isinstance(flows, Calls) else None)


def _family(client: object) -> str | None:
    """The SDK that a client is of, found without importing any."""
    bases = getattr(client, "__class__", type(client)).__mro__  # of a proxy: what it stands for
    found = (base.__module__.partition(".")[0] for base in bases if base.__name__ in BASES)
    return next((name for name in found if name in FAMILIES), None)


def calls_of(client: object) -> Flows | None:
    """Who decides for a client and its copies, ``None`` for one that is not wrapped."""
    hook = sys.modules.get("holdfast.providers.anthropic")
    if hook is not None:
        chain = getattr(client, "middleware", ())
        found = [entry for entry in chain if isinstance(entry, hook.Middleware)] if isinstance(chain, tuple) else []
        if found:
            return cast("Flows", found[-1].calls)
    other = sys.modules.get("holdfast.providers.openai")
    return cast("Flows | None", other.flows_of(client)) if other is not None else None


def overrides(client: object, made: object, prefix: str = "") -> Iterator[str]:
    """What was set on a client (or one of its resources) and its copy has not: ``messages.create``, ``post``."""
    if not prefix and type(client) is not client.__class__:
        yield f"the {type(client).__name__} around it"
    fresh = vars(made)
    for name, value in vars(client).items():
        if _is_resource(client, name, value):
            yield from _in_resource(value, getattr(made, name, None), prefix + name)
        elif name not in fresh or _replaced(value, fresh[name]):
            yield prefix + name


def _is_resource(client: object, name: str, value: object) -> bool:
    made_on_demand = isinstance(getattr(type(client), name, None), cached_property)
    return made_on_demand or any(base.__name__ in RESOURCES for base in type(value).__mro__)


def _in_resource(value: object, fresh: object, name: str) -> Iterator[str]:
    if type(value) is not type(fresh):
        yield name
    elif hasattr(value, "__dict__"):
        yield from overrides(value, fresh, f"{name}.")


def _replaced(value: object, fresh: object) -> bool:
    """Whether something else stands where the copy has a method of the SDK's."""
    return ismethod(fresh) and getattr(value, "__func__", None) is not fresh.__func__


def of(client: object) -> Handle:
    """What to say to a wrapped client, and ask it. It works on every ``with_options`` copy.

    Raises ``CannotWrap`` on a client without Holdfast.
    """
    calls = calls_of(client)
    if calls is None:
        raise CannotWrap(f"this {type(client).__qualname__} has no Holdfast in it: client = holdfast.wrap(client), or {MIDDLEWARE}")
    return Handle(cast("Calls", calls))


@dataclass(frozen=True, slots=True)
class Handle:
    """Holdfast's side of a wrapped client, apart from it so that the client's type stays what it is."""

    calls: Calls

    def session(
        self,
        id: str | None = None,
        *,
        pin: Pin | Sequence[Pin] = (),
        strategy: str | Strategy | None = None,
        enabled: bool = True,
    ) -> Scope:
        """A ``with`` block whose calls, in this thread or task, are one conversation, keep what is pinned, or go out as they are.

        ``pin``: texts (every block that holds one stays) or functions over blocks. ``strategy`` takes the place of the client's. Raises
        ``UnknownStrategy``, and ``InputError`` for a pin that is neither.
        """
        if isinstance(strategy, str):
            named(strategy)
        if not (isinstance(pin, str) or callable(pin)):
            wrong = [each for each in pin if not (isinstance(each, str) or callable(each))] if isinstance(pin, Iterable) else [pin]
            if wrong:
                raise InputError(f"pin={wrong[0]!r}: must be a text, a function that is given a block, or several of them")
        if id is not None and not isinstance(id, str):
            raise InputError(f"a session's id is a text, not {type(id).__name__}")
        return Scope(self.calls, Current(id, pins(pin), strategy, enabled))

    def compact(self, focus: str = "") -> None:
        """Force a plan at the next request, of this ``session`` where it has an id; ``focus`` says what a summary is to keep."""
        self.calls.compact(focus, current(self.calls).id)

    @property
    def last(self) -> Trace | None:
        """The trace of the last request made here (in this thread or task, else anywhere), ``None`` before the first."""
        return self.calls.last

    def explain(self) -> str:
        """That request in words: what was sent, read, written and cut, why, and what it will cost."""
        return self.calls.explain()

    def report(self) -> Report:
        """What was saved, spent and broken so far."""
        return self.calls.report()

    def fork(self, n: int) -> Fork:
        """Announce ``n`` requests that share a prefix: with a cold cache the first goes ahead until its answer begins."""
        return self.calls.fork(n)
