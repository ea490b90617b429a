"""What the doctor says of a request that read less than it could have."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Verdict(StrEnum):
    """Whose doing it was."""

    YOURS = "yours"
    PROVIDER = "provider"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """Why a cached prefix was not read. The names are those of the published incidents, as far as they have one."""

    SYSTEM_CHANGED = "system_changed"
    TOOLS_CHANGED = "tools_changed"
    TOOLS_REORDERED = "tools_reordered"
    MODEL_CHANGED = "model_changed"
    TOOL_CHOICE_CHANGED = "tool_choice_changed"
    THINKING_CHANGED = "thinking_changed"
    EFFORT_CHANGED = "effort_changed"
    SETTINGS_CHANGED = "settings_changed"
    IMAGE_CHANGED = "image_changed"
    MESSAGES_REWRITTEN = "messages_rewritten"
    MESSAGE_INSERTED_BEFORE_TAIL = "message_inserted_before_tail"
    COMPACTION = "compaction"
    COMPACTION_REQUEST_PREFIX = "compaction_request_prefix"
    WRONG_COMPACTION_TIMING = "wrong_compaction_timing"
    TTL_EXPIRED = "ttl_expired"
    BREAKPOINT_MISPLACED = "breakpoint_misplaced"
    BREAKPOINT_LOOKBACK_EXCEEDED = "breakpoint_lookback_exceeded"
    BREAKPOINT_LIMIT = "breakpoint_limit"
    BREAKPOINT_TTL_ORDER = "breakpoint_ttl_order"
    BELOW_MINIMUM = "below_minimum"
    PARALLEL_RACE = "parallel_race"
    ACCOUNT_OR_SCOPE_CHANGED = "account_or_scope_changed"
    ACCOUNTING_ERROR = "accounting_error"
    SERVER_SIDE_UNEXPLAINED = "server_side_unexplained"


@dataclass(frozen=True, slots=True)
class Diff:
    """The smallest difference at a place: what stood there, what stands there now. ``start`` is the first differing character."""

    before: str
    after: str
    start: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One lost prefix.

    ``turn`` is the request's place in its file, ``at`` its start in POSIX seconds. ``detail`` is the cause made particular
    (``system_changed:timestamp``), or the cause itself. ``where`` is a path into the body (``tools[3].description``,
    ``system[0] characters 355-374``, ``messages[12].content[0]``), ``""`` where no place explains it. ``tokens_rewritten``
    could have been read and were not; ``usd`` is what that cost more. ``excluded`` names what else it could
    have been and why it was not. ``provider_reason`` is the provider's own word where recorded, and ``agrees`` whether it says the same.
    """

    turn: int
    at: float | None
    cause: Cause
    detail: str
    verdict: Verdict
    where: str
    diff: Diff | None
    tokens_rewritten: int
    usd: Decimal | None
    fix: str
    excluded: tuple[str, ...] = ()
    provider_reason: str = ""
    agrees: bool | None = None
    lineage: str = ""
