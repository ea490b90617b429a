"""Where other platforms serve Anthropic's Messages API: Vertex AI, streamed or not, and Bedrock's ``invoke``, not streamed.

Their paths and bodies as the clients of anthropic 2.12.0 send them. They are billed as the first-party API is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from holdfast.frozen import Json

_VERTEX = re.compile(r"(?:/v1)?/projects/[^/]+/locations/[^/]+/publishers/anthropic/models/([^/]+):(rawPredict|streamRawPredict)$")
_BEDROCK = re.compile(r"/model/([^/]+)/invoke$")
_COUNT = "count-tokens"


@dataclass(frozen=True, slots=True)
class Route:
    """The first-party path that a platform's path stands for, and the model that it names (``""``: the body does)."""

    path: str
    model: str = ""

    def body(self, body: Mapping[str, Json]) -> Mapping[str, Json]:
        """The first-party body."""
        if not self.model and self.path != "/v1/messages/count_tokens":
            return body
        own = {key: value for key, value in body.items() if key not in ("anthropic_version", "anthropic_beta")}
        return {"model": self.model, **own} if self.model else own

    def headers(self, body: Mapping[str, Json], headers: Mapping[str, str]) -> Mapping[str, str]:
        """The first-party headers: Bedrock's betas stand in the body."""
        betas = body.get("anthropic_beta")
        return {**headers, "anthropic-beta": ",".join(map(str, betas))} if isinstance(betas, list) and self.model else headers


def route(path: str) -> Route:
    """Where a path leads; to itself where no platform is known by it."""
    vertex, bedrock = _VERTEX.match(path), _BEDROCK.match(path)
    if vertex:
        return Route("/v1/messages/count_tokens") if vertex[1] == _COUNT else Route("/v1/messages", unquote(vertex[1]))
    return Route("/v1/messages", unquote(bedrock[1])) if bedrock else Route(path)
