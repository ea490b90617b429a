"""A fake provider that keeps message threads, as Anthropic's does for five minutes (beta ``message-threads-2026-08-12``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from holdfast.testing import FakeProvider
from holdfast.testing.fake.anthropic import Messages, error
from holdfast.testing.fake.values import Refused

Body = dict[str, Any]


class Threading(Messages):
    """The Messages endpoint with a memory: a turn that goes on from a reply stands for everything before it."""

    __slots__ = ("kept",)
    kept: dict[str, Body]

    def __init__(self) -> None:
        super().__init__(foreign=False)
        object.__setattr__(self, "kept", {})

    def whole(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body without its thread, with what the thread holds."""
        thread = body.get("thread") or {}
        own = {key: value for key, value in body.items() if key != "thread"}
        if thread.get("type") == "continue":
            before = self.kept[thread["previous_message_id"]]
            own = {**before, **own, "messages": [*before["messages"], *own["messages"]]}
        return super().whole(own)

    def refusal(self, body: Mapping[str, Any], headers: Mapping[str, str], prompt_tokens: int, window: int) -> Refused | None:
        """As ever, but for a thread that is not known."""
        thread = body.get("thread") or {}
        if thread.get("type") == "continue" and thread["previous_message_id"] not in self.kept:
            return error(404, "No such thread", "thread_not_found")
        return super().refusal(self.whole(body), headers, prompt_tokens, window)

    def completed(self, body: Mapping[str, Any], response: Body, exchange: Any) -> Body:
        """The reply, which a thread is kept under."""
        out = super().completed(body, response, exchange)
        if body.get("thread"):
            whole = self.whole(body)
            self.kept[out["id"]] = {**whole, "messages": [*whole["messages"], {"role": "assistant", "content": out["content"]}]}
        return out


@contextmanager
def threading_provider(script: Any, **options: Any) -> Iterator[FakeProvider]:
    """A provider whose Messages endpoint keeps threads."""
    with FakeProvider(script, **{"counter": "sampled", **options}) as fake:
        fake._endpoints._known["/v1/messages"] = Threading()  # noqa: SLF001
        yield fake
