"""Anthropic's Messages API: ``/v1/messages`` and ``/v1/messages/count_tokens`` (types of anthropic 2.12.0, 2026-11-20).

Server tools, threads, threshold compaction and context editing are taken and not carried out; compaction on demand is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from holdfast.frozen import Json
from holdfast.testing.fake import anthropic_fields as fields
from holdfast.testing.fake.anthropic_events import message_events
from holdfast.testing.fake.anthropic_refusals import complaints
from holdfast.testing.fake.anthropic_thinking import KINDS, Binding, Misfit, begin, refusal_text, sign, signed
from holdfast.testing.fake.billing import Read
from holdfast.testing.fake.seeing import Exchange, Reader, Seen
from holdfast.testing.fake.values import Fault, Refused, Reply, ToolCall
from holdfast.transcript import Dialect
from holdfast.usage import Usage

LARGEST_BODY = 32 * 1024 * 1024
"""Bytes of the largest request (platform.claude.com, *Errors*, 2026-08)."""

_ERRORS = {
    400: ("invalid_request_error", "Invalid request"),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "Not found"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your account's rate limit. Please try again later."),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}
_STOPS = {"end": "end_turn", "tools": "tool_use", "length": "max_tokens", "refusal": "refusal", "stop_sequence": "stop_sequence"}


def error(status: int, message: str = "", code: str = "") -> Refused:
    """An error of the API; the server fills in the id of the request."""
    kind, text = _ERRORS.get(status, _ERRORS[500 if status >= 500 else 400])
    said: dict[str, Json] = {"type": kind, "message": message or text}
    if code:
        said["details"] = {"error_code": code}
    return Refused(status, {"type": "error", "error": said, "request_id": ""})


@dataclass(frozen=True, slots=True)
class Messages:
    """``/v1/messages``, or with ``counting`` ``/v1/messages/count_tokens``. ``foreign``: other signatures than the fake's are taken."""

    counting: bool = False
    foreign: bool = False
    dialect: Dialect = "anthropic"

    def refusal(self, body: Mapping[str, Json], headers: Mapping[str, str], prompt_tokens: int, window: int) -> Refused | None:
        """Why the API would not take this body, without looking at signatures."""
        if prompt_tokens > window and not self.counting:
            return error(400, f"prompt is too long: {prompt_tokens} tokens > {window} maximum")
        wrong = next(complaints(body, headers, self.counting), None)
        return error(400, wrong) if wrong else next(_compactions(body), None)

    def failure(self, fault: Fault) -> Refused:
        """An error with the fault's HTTP status (500 where it names none)."""
        return error(fault.status or 500, fault.message)

    def whole(self, body: Mapping[str, Json]) -> Mapping[str, Json]:
        """The body without what stands before a compaction block: that block stands for it."""
        place = _compacted(body)
        if place is None:
            return body
        index, block = place
        message = body["messages"][index]
        first = {**message, "content": message["content"][block:]}
        return {**body, "messages": [first, *body["messages"][index + 1 :]]}

    def sees(self, body: Mapping[str, Json], headers: Mapping[str, str], account: str, reader: Reader) -> Seen | Refused:
        """The body without the thinking that does not fit, where the request or the model says so; else why it is refused."""
        shown = self.whole(body)
        read = reader(shown)
        signatures = [message for message in shown["messages"] if _signs(message)]
        if not signatures:
            return Seen(shown, read)
        binding = Binding(read, account, self.foreign)
        misfits = list(binding.misfits(shown["messages"]))
        drops = _drops(body)
        for misfit in misfits:
            if not (misfit.silent or (misfit.why and drops)):
                kind = shown["messages"][misfit.place.message]["content"][misfit.place.block]["type"]
                return error(400, refusal_text(_moved(misfit, body), str(kind)))
        if not misfits:
            return Seen(shown, read)
        left = _without(shown, misfits)
        notes = tuple({"type": "thinking_dropped", "path": str(_moved(one, body).place), "reason": one.why} for one in misfits)
        return Seen(left, reader(left), notes)

    def previous(self, body: Mapping[str, Json]) -> str:
        """The earlier message that ``diagnostics`` names."""
        asked = body.get("diagnostics")
        return str(asked.get("previous_message_id") or "") if isinstance(asked, dict) else ""

    def response(self, body: Mapping[str, Json], reply: Reply, usage: Usage, number: int) -> dict[str, Json]:
        """A message, or a count. What must be signed is not signed yet."""
        if self.counting:
            return {"input_tokens": usage.prompt}
        content, stop = _content(body, reply, number), _stop(body, reply)
        compaction = bool(body.get("compaction"))
        return {
            "id": f"msg_01fake{number:018d}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model"),
            "content": content,
            "stop_reason": stop,
            "stop_sequence": (body.get("stop_sequences") or [None])[0] if stop == "stop_sequence" else None,
            "stop_details": None,
            "container": None,
            "diagnostics": None,
            "usage": compaction_usage(usage) if compaction else usage_json(usage),
            **({"context_management": {"applied_edits": []}} if body.get("context_management") else {}),
        }

    def completed(self, body: Mapping[str, Json], response: dict[str, Json], exchange: Exchange) -> dict[str, Json]:
        """The message with its signatures, what was left out of the request, and why the cache was missed."""
        if self.counting:
            return response
        seen = exchange.seen
        out = {**response, "content": [self._signed(block, exchange) for block in response["content"]]}
        if fields.BINDING_BETA in fields.betas(exchange.headers):
            out["input_transformations"] = list(seen.notes)
        if self.previous(body):
            out["diagnostics"] = diagnosis(exchange.before, seen.read, exchange.read_tokens)
        return out

    def _signed(self, block: Json, exchange: Exchange) -> Json:
        kind = block.get("type")
        if kind not in ("thinking", "compaction") or block.get("signature"):
            return block
        binding = Binding(exchange.seen.read, exchange.account, foreign=True)
        prefix = binding.behind(exchange.seen.body["messages"])
        text = str(block.get("thinking" if kind == "thinking" else "content"))
        return {**block, "signature": sign(text, exchange.seen.read.model, exchange.account, prefix)}

    def events(self, body: Mapping[str, Json], response: Mapping[str, Json]) -> Iterable[tuple[str, Mapping[str, Json] | str]]:
        """The message as events."""
        return message_events(response)


def usage_json(usage: Usage) -> dict[str, Json]:
    """The usage, additive: ``input_tokens`` is what was neither read nor written."""
    return {
        "input_tokens": usage.fresh,
        "cache_creation_input_tokens": usage.write_5m + usage.write_1h,
        "cache_read_input_tokens": usage.read,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.write_5m, "ephemeral_1h_input_tokens": usage.write_1h},
        "output_tokens": usage.output,
        "server_tool_use": None,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def compaction_usage(usage: Usage) -> dict[str, Json]:
    """The usage of a compaction: its tokens stand in ``iterations`` only (anthropic 2.12.0, ``BetaUsage.iterations``)."""
    spent = {key: value for key, value in usage_json(usage).items() if key.endswith("tokens") or key == "cache_creation"}
    return {**usage_json(Usage()), "iterations": [{"type": "compaction", **spent}]}


def diagnosis(before: Read | None, now: Read, read_tokens: int) -> Json:
    """Why the prefix of an earlier request could not be reused; ``None`` where it could (*Cache diagnostics*, 2026-08)."""
    if before is None:
        return {"cache_miss_reason": {"type": "previous_message_not_found"}}
    old, new = before.settings, now.settings
    reason = ""
    if (old.model, old.speed) != (new.model, new.speed):
        reason = "model_changed"
    elif begin(before).system != begin(now).system:
        reason = "system_changed"
    elif begin(before).tools != begin(now).tools:
        reason = "tools_changed"
    elif not now.chain.holds(before.chain):
        reason = "messages_changed"
    if reason:
        missed = max(0, before.tokens - read_tokens)
        return {"cache_miss_reason": {"type": reason, "cache_missed_input_tokens": missed}}
    return {"cache_miss_reason": {"type": "unavailable"}} if old != new else None


def _content(body: Mapping[str, Json], reply: Reply, number: int) -> list[Json]:
    if body.get("max_tokens") == 0:
        return []
    if body.get("compaction"):
        return [{"type": "compaction", "content": reply.text or None, "encrypted_content": None}]
    if reply.content is not None:
        return list(reply.content)
    content: list[Json] = []
    if reply.thinking:
        shown = (body.get("thinking") or {}).get("display") != "omitted"
        content.append({"type": "thinking", "thinking": reply.thinking if shown else "", "signature": ""})
    if reply.text or not (reply.thinking or reply.calls):
        content.append({"type": "text", "text": reply.text, "citations": None})
    return content + [_call(call, number, index) for index, call in enumerate(reply.calls)]


def _call(call: ToolCall, number: int, index: int) -> dict[str, Json]:
    name = call.id or f"toolu_01fake{number:012d}{index:04d}"
    return {"type": "tool_use", "id": name, "name": call.name, "input": dict(call.input)}


def _stop(body: Mapping[str, Json], reply: Reply) -> str:
    if body.get("max_tokens") == 0:
        return "max_tokens"
    if body.get("compaction"):
        return "compaction"
    if reply.stop:
        return _STOPS[reply.stop]
    called = reply.calls or any(isinstance(block, dict) and block.get("type") == "tool_use" for block in reply.content or ())
    return "tool_use" if called else "end_turn"


def _drops(body: Mapping[str, Json]) -> bool:
    thinking = body.get("thinking")
    binding = thinking.get("block_binding") if isinstance(thinking, dict) else None
    return isinstance(binding, dict) and binding.get("prefix_mismatch_behavior") == "drop_block"


def _signs(message: Mapping[str, Json]) -> bool:
    content = message["content"]
    return isinstance(content, list) and any(block.get("type") in KINDS for block in content)


def _without(body: Mapping[str, Json], misfits: Sequence[Misfit]) -> Mapping[str, Json]:
    gone = {(one.place.message, one.place.block) for one in misfits}
    messages = []
    for index, message in enumerate(body["messages"]):
        content = message["content"]
        if isinstance(content, list):
            left = [block for place, block in enumerate(content) if (index, place) not in gone]
            if len(left) == len(content):
                messages.append(message)
            elif left:
                messages.append({**message, "content": left})
        else:
            messages.append(message)
    return {**body, "messages": messages}


def _compacted(body: Mapping[str, Json]) -> tuple[int, int] | None:
    """Where the last compaction block with a summary stands."""
    messages = body.get("messages") or ()
    for index in range(len(messages) - 1, -1, -1):
        content = messages[index].get("content")
        if isinstance(content, list):
            for place in range(len(content) - 1, -1, -1):
                if content[place].get("type") == "compaction" and content[place].get("content"):
                    return index, place
    return None


def _moved(misfit: Misfit, body: Mapping[str, Json]) -> Misfit:
    """The same misfit, counted in the body as it came."""
    start = _compacted(body)
    if start is None:
        return misfit
    index, block = start
    place = misfit.place
    return replace(misfit, place=replace(place, message=place.message + index, block=place.block + (0 if place.message else block)))


def _compactions(body: Mapping[str, Json]) -> Iterator[Refused]:
    """What is wrong with a compaction that is asked for (the types of anthropic 2.12.0 name the errors), or with one that is sent back."""
    asked = body.get("compaction")
    if asked is not None:
        if not isinstance(asked, dict) or asked.get("type") != "summarize":
            yield error(400, "compaction.type: Input should be 'summarize'")
            return
        if body.get("context_management"):
            yield error(400, "compaction: cannot be used together with context_management")
    yield from _summaries(body)


def _summaries(body: Mapping[str, Json]) -> Iterator[Refused]:
    place = _compacted(body)
    if place is None:
        return
    block = body["messages"][place[0]]["content"][place[1]]
    where = f"messages.{place[0]}.content.{place[1]}"
    if block.get("encrypted_content"):
        return
    facts = signed(block.get("signature"), str(block["content"]))
    if facts is None:
        yield error(400, f"{where}: Invalid `signature` in `compaction` block", "compaction_signature_invalid")
    elif not facts.genuine:
        yield error(400, f"{where}: the `content` differs from the text that was signed", "compaction_content_mismatch")
    elif place != (0, 0) and not body.get("context_management"):
        yield error(400, f"{where}: a `compaction` block must be the first block of the conversation", "compaction_block_misplaced")


MESSAGES = Messages()
COUNT_TOKENS = Messages(counting=True)
