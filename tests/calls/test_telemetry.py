"""Spans in the GenAI conventions: what is decided and what Holdfast calls by itself, never a call or a token twice, no content."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace as api
from opentelemetry.util.types import AttributeValue

from holdfast.calls.figures import Break
from holdfast.calls.telemetry import Call, Telemetry, usage_attributes
from holdfast.errors import StoreError
from holdfast.trace import CommitTrace, Trace
from holdfast.usage import Usage

SECRET = "sk-ant-" + "api03-" + "x" * 20
COMMIT = CommitTrace(2, "micro", "", (), 3, 9, 110_000, 45_000, 100_000, 20_000, 4)
TRACE = Trace(3, 110_000, 65_000, 9, 30_000, (), f"micro: {SECRET}", COMMIT, errors=(StoreError(f"no {SECRET}"),))
CALL = Call("claude-sonnet-4-5", "anthropic", 100.0, 102.5, Usage(20, 30_000, 4_000, 1_000, output=800), "chat-7")


@dataclass
class Recorded(api.Span):
    """A span that keeps what it is given."""

    name: str
    parent: object
    kind: api.SpanKind
    begun: int | None
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    status: api.StatusCode | None = None
    ended: int | None = None

    def end(self, end_time: int | None = None) -> None:
        """Its end in nanoseconds."""
        assert self.ended is None
        self.ended = end_time

    def get_span_context(self) -> api.SpanContext:
        """None that means anything."""
        return api.INVALID_SPAN_CONTEXT

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Several at once."""
        self.attributes.update(attributes)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """One."""
        self.attributes[key] = value

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Something that happened."""
        self.events.append((name, dict(attributes)))

    def update_name(self, name: str) -> None:
        """Another name."""
        self.name = name

    def is_recording(self) -> bool:
        """Always."""
        return True

    def set_status(self, status: Any, description: str | None = None) -> None:
        """How it went."""
        self.status = status.status_code

    def record_exception(self, *_: Any, **__: Any) -> None:
        """Not used."""
        raise AssertionError


class Memory(api.Tracer):
    """A tracer of the API that keeps its spans."""

    def __init__(self) -> None:
        self.spans: list[Recorded] = []

    def start_span(
        self,
        name: str,
        context: contexts.Context | None = None,
        kind: api.SpanKind = api.SpanKind.INTERNAL,
        attributes: Any = None,
        links: Sequence[api.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> api.Span:
        """A span that is kept."""
        self.spans.append(Recorded(name, context, kind, start_time, dict(attributes or {})))
        return self.spans[-1]

    @contextmanager
    def start_as_current_span(self, *_: Any, **__: Any) -> Iterator[api.Span]:  # type: ignore[override]
        """Not used: spans of ours are never the caller's current one."""
        raise AssertionError
        yield


def hidden(text: str) -> str:
    """Redaction of the one secret there is."""
    return text.replace(SECRET, "***")


def telemetry() -> tuple[Telemetry, Memory]:
    """Telemetry over a tracer in memory."""
    tracer = Memory()
    found = Telemetry.find(hidden, tracer=tracer)
    assert found is not None
    return found, tracer


def test_a_plan_is_a_span_of_its_own_name_with_a_commit_and_errors() -> None:
    """It lasts as long as the decision took, carries the decision, and stands below the caller's span."""
    spans, tracer = telemetry()
    parent = contexts.Context({"here": 1})
    spans.planned(TRACE, CALL, parent)
    (span,) = tracer.spans
    assert (span.name, span.kind, span.parent) == ("holdfast.plan", api.SpanKind.INTERNAL, parent)
    assert (span.begun, span.ended) == (100_000_000_000, 102_500_000_000)
    assert span.attributes["gen_ai.request.model"] == "claude-sonnet-4-5"
    assert span.attributes["gen_ai.conversation.id"] == "chat-7"
    assert span.attributes["holdfast.sent_tokens"] == 65_000
    names = [name for name, _ in span.events]
    assert names == ["holdfast.commit", "holdfast.error"]
    assert span.events[0][1]["holdfast.commit.removed_tokens"] == 45_000
    assert span.events[1][1]["error.type"] == "StoreError"


def test_a_plan_counts_as_no_call_and_no_usage() -> None:
    """A backend that sums usage or operations over all spans counts nothing twice."""
    spans, tracer = telemetry()
    spans.planned(TRACE, CALL)
    spans.broke(Break(1, 5.0, "m", 100, 0, 200, None, True, True))
    for span in tracer.spans:
        assert not any(name.startswith("gen_ai.usage") or name == "gen_ai.operation.name" for name in span.attributes)
        assert span.kind is api.SpanKind.INTERNAL


def test_a_call_of_our_own_is_a_chat_span_with_its_usage() -> None:
    """The whole prompt is the input, what was read and written are parts of it."""
    spans, tracer = telemetry()
    spans.asked(CALL)
    (span,) = tracer.spans
    assert (span.name, span.kind) == ("chat claude-sonnet-4-5", api.SpanKind.CLIENT)
    assert span.attributes["gen_ai.operation.name"] == "chat"
    assert span.attributes["gen_ai.provider.name"] == "anthropic"
    assert span.attributes["gen_ai.usage.input_tokens"] == 35_020
    assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 30_000
    assert span.attributes["gen_ai.usage.cache_write.input_tokens"] == 5_000
    assert span.attributes["gen_ai.usage.output_tokens"] == 800
    assert span.attributes["holdfast.ask"] is True


def test_a_failed_call_has_an_error_type_and_no_usage() -> None:
    """The status is an error, and the answer's own names are kept."""
    spans, tracer = telemetry()
    spans.answered(Call("gpt-5.6", "azure", 1.0, 2.0, None, error="429", response_model="gpt-5.6-x", response_id="r1"))
    (span,) = tracer.spans
    assert (span.attributes["error.type"], span.status) == ("429", api.StatusCode.ERROR)
    assert span.attributes["gen_ai.provider.name"] == "azure.ai.openai"
    assert span.attributes["gen_ai.response.model"] == "gpt-5.6-x"
    assert span.attributes["gen_ai.response.id"] == "r1"
    assert "gen_ai.usage.input_tokens" not in span.attributes


def test_no_secret_reaches_a_span() -> None:
    """Reasons and errors go through the redaction that was given."""
    spans, tracer = telemetry()
    spans.planned(TRACE, CALL)
    assert SECRET not in repr(tracer.spans)
    assert "***" in repr(tracer.spans)


def test_a_tracer_or_a_redaction_that_fails_breaks_nothing() -> None:
    """It is counted, and nothing comes out."""

    class Broken(Memory):
        def start_span(self, *_: Any, **__: Any) -> api.Span:
            raise RuntimeError("no")

    def failing(text: str) -> str:
        raise ValueError(text)

    for each in (Telemetry(Broken(), hidden), Telemetry(Memory(), failing)):
        each.planned(TRACE, CALL)
        assert each.errors == 1
    broken = Telemetry(Broken(), hidden)
    broken.asked(CALL)
    broken.answered(CALL)
    broken.broke(Break(1, 5.0, "m", 100, 0, 200, None, True, True))
    assert broken.errors == 3


def test_the_callers_span_is_the_parent() -> None:
    """``here`` is whatever is current when the request comes in."""
    spans, _ = telemetry()
    token = contexts.attach(contexts.set_value("mark", 7))
    try:
        here = spans.here()
    finally:
        contexts.detach(token)
    assert here is not None
    assert contexts.get_value("mark", here) == 7


def test_without_the_api_there_is_no_telemetry_and_importing_needs_none() -> None:
    """Where ``opentelemetry`` cannot be imported ``find`` gives ``None``, and nothing of it is imported before."""
    code = """
import sys
import holdfast.calls.telemetry as telemetry
assert not any(name.split(".")[0] == "opentelemetry" for name in sys.modules), "imported too early"
sys.modules["opentelemetry"] = None
assert telemetry.Telemetry.find(str) is None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_names_are_those_of_the_sdk_that_traces_itself() -> None:
    """Each usage attribute is one that Anthropic's own spans have, so that both can be summed under one name."""
    spec = find_spec("anthropic")
    assert spec is not None
    assert spec.origin is not None
    sdk = Path(spec.origin).parent
    texts = [path.read_text(encoding="utf-8") for path in [sdk / "_tracing.py", *(sdk / "lib" / "_tracing").glob("*.py")]]
    theirs = "\n".join(texts)
    for name in (*usage_attributes(Usage()), "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"):
        assert f'"{name}"' in theirs, name
