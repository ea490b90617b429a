"""OpenTelemetry spans, in the semantic conventions for generative AI, where ``opentelemetry-api`` is installed.

Names are those of the conventions as the SDK of Anthropic uses them (anthropic 2.12, ``_tracing.py``, 2026-11):
``gen_ai.usage.input_tokens`` is the whole prompt, ``cache_read`` and ``cache_write`` are parts of it (older conventions say
``cache_creation``). That SDK has a span of its own for every call, so there is none of ours for the same call and no usage twice: the
decision is a span ``holdfast.plan`` below it, and only what that SDK cannot see, the model calls that Holdfast makes by itself, are
spans ``chat MODEL``. For an SDK without spans (openai 3.54) the caller's call is one as well. Whatever the tracer raises is
swallowed. No content is recorded but the reasons and errors of Holdfast, through ``redact``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from holdfast.calls.figures import Break
from holdfast.errors import HoldfastError
from holdfast.pipeline import guarded, told
from holdfast.trace import Trace
from holdfast.usage import Usage

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

SCOPE = "holdfast"
Attribute: TypeAlias = str | bool | int | float | Sequence[str]
Attributes: TypeAlias = Mapping[str, Attribute]
Redact: TypeAlias = Callable[[str], str]
PROVIDERS = {"bedrock": "aws.bedrock", "vertex": "gcp.vertex_ai", "azure": "azure.ai.openai", "google": "gcp.gemini", "xai": "x_ai"}
"""``gen_ai.provider.name`` where it is not our own name (conventions' registry of values, 2026)."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a model: its name, who serves it, when it was sent and its answer ended (POSIX seconds), and what was billed.

    ``conversation`` is the session's id where the caller gave one. ``error`` is the type of what went wrong, ``""`` for nothing.
    ``response_model`` and ``response_id`` are what the answer says.
    """

    model: str
    provider: str
    started: float
    ended: float
    usage: Usage | None = None
    conversation: str = ""
    error: str = ""
    response_model: str = ""
    response_id: str = ""


class Telemetry:
    """Writes spans. Safe for use from several threads; nothing it does can fail a request."""

    def __init__(self, tracer: Tracer, redact: Redact) -> None:
        self._tracer, self._redact = tracer, redact
        self.errors = 0

    @classmethod
    def find(cls, redact: Redact, version: str = "", tracer: Tracer | None = None) -> Telemetry | None:
        """Telemetry by the installed API, ``None`` where there is none. ``tracer`` is one to use instead of the global provider's.

        ``redact`` replaces secrets in a text.
        """
        if tracer is not None:
            return cls(tracer, redact)
        try:
            trace = import_module("opentelemetry.trace")
        except ImportError:
            return None
        found: Tracer = trace.get_tracer(SCOPE, version or None)
        return cls(found, redact)

    def here(self) -> Context | None:
        """Where later spans of this call belong: the caller's current span. Take it when the request comes in."""
        return self._guarded(_current)

    def planned(self, trace: Trace, call: Call, parent: Context | None = None) -> None:
        """A span ``holdfast.plan`` from ``call.started`` to ``call.ended``: what was decided, with an event for a commit and each error."""
        self._guarded(lambda: self._plan(trace, call, parent))

    def asked(self, call: Call, parent: Context | None = None) -> None:
        """A span ``chat MODEL`` for a model call that Holdfast made by itself."""
        self._guarded(lambda: self._chat(call, parent, {"holdfast.ask": True}))

    def answered(self, call: Call, parent: Context | None = None) -> None:
        """A span ``chat MODEL`` for the caller's call, where its SDK has no spans. Not for Anthropic's: see above."""
        self._guarded(lambda: self._chat(call, parent, {}))

    def broke(self, found: Break, parent: Context | None = None) -> None:
        """A span ``holdfast.break`` without duration: a cache read that fell short of its prediction."""
        self._guarded(lambda: self._break(found, parent))

    def _guarded(self, act: Callable[[], Context | None]) -> Context | None:
        try:
            return guarded(act, lambda cause: HoldfastError(told(cause)))
        except HoldfastError:
            self.errors += 1
            return None

    def _span(self, name: str, at: float, parent: Context | None, attributes: Attributes, client: bool = False) -> Span:
        kind = import_module("opentelemetry.trace").SpanKind
        return self._tracer.start_span(
            name, context=parent, kind=kind.CLIENT if client else kind.INTERNAL, attributes=attributes, start_time=_nanoseconds(at)
        )

    def _plan(self, trace: Trace, call: Call, parent: Context | None) -> None:
        span = self._span("holdfast.plan", call.started, parent, {**_named(call), **self._decided(trace)})
        if trace.commit is not None:
            commit = trace.commit
            made: dict[str, Attribute] = {
                "holdfast.commit.number": commit.number,
                "holdfast.commit.strategy": commit.strategy,
                "holdfast.commit.removed_tokens": commit.tokens_removed,
                "holdfast.commit.rewritten_tokens": commit.rewritten_tokens,
            }
            if commit.break_even_turn is not None:
                made["holdfast.commit.break_even_turn"] = commit.break_even_turn
            span.add_event("holdfast.commit", made, _nanoseconds(call.ended))
        for error in self._told(trace.errors):
            span.add_event("holdfast.error", error, _nanoseconds(call.ended))
        span.end(_nanoseconds(call.ended))

    def _decided(self, trace: Trace) -> dict[str, Attribute]:
        return {
            "holdfast.turn": trace.turn,
            "holdfast.reason": self._redact(trace.reason),
            "holdfast.given_tokens": trace.given_tokens,
            "holdfast.sent_tokens": trace.sent_tokens,
            "holdfast.stable_tokens": trace.stable_tokens,
            "holdfast.marks": len(trace.marks),
            "holdfast.repaired": trace.repaired,
            "holdfast.asks": len(trace.asked),
            "holdfast.unreachable": trace.unreachable is not None,
        }

    def _told(self, errors: Iterable[HoldfastError]) -> list[dict[str, Attribute]]:
        return [{"error.type": type(error).__name__, "holdfast.error.message": self._redact(str(error))} for error in errors]

    def _chat(self, call: Call, parent: Context | None, more: Attributes) -> None:
        attributes = {
            "gen_ai.operation.name": "chat",
            **_named(call),
            **more,
            **({} if call.usage is None else usage_attributes(call.usage)),
        }
        span = self._span(f"chat {call.model}", call.started, parent, attributes, client=True)
        if call.response_model:
            span.set_attribute("gen_ai.response.model", call.response_model)
        if call.response_id:
            span.set_attribute("gen_ai.response.id", call.response_id)
        if call.error:
            trace = import_module("opentelemetry.trace")
            span.set_attribute("error.type", call.error)
            span.set_status(trace.Status(trace.StatusCode.ERROR))
        span.end(_nanoseconds(call.ended))

    def _break(self, found: Break, parent: Context | None) -> None:
        attributes: dict[str, Attribute] = {
            "gen_ai.request.model": found.model,
            "holdfast.break.read_predicted_tokens": found.read_predicted,
            "holdfast.break.read_billed_tokens": found.read_billed,
            "holdfast.break.prompt_tokens": found.prompt_tokens,
            "holdfast.break.touched": found.touched,
        }
        if found.usd is not None:
            attributes["holdfast.break.usd"] = float(found.usd)
        self._span("holdfast.break", found.at, parent, attributes).end(_nanoseconds(found.at))


def usage_attributes(usage: Usage) -> dict[str, Attribute]:
    """A usage under the conventions' names: the input is the whole prompt, of which what was read and written are parts."""
    return {
        "gen_ai.usage.input_tokens": usage.prompt,
        "gen_ai.usage.output_tokens": usage.output,
        "gen_ai.usage.cache_read.input_tokens": usage.read,
        "gen_ai.usage.cache_write.input_tokens": usage.written,
    }


def _named(call: Call) -> dict[str, Attribute]:
    named: dict[str, Attribute] = {
        "gen_ai.provider.name": PROVIDERS.get(call.provider, call.provider),
        "gen_ai.request.model": call.model,
    }
    if call.conversation:
        named["gen_ai.conversation.id"] = call.conversation
    return named


def _current() -> Context:
    found: Context = import_module("opentelemetry.context").get_current()
    return found


def _nanoseconds(at: float) -> int:
    return round(at * 1e9)
