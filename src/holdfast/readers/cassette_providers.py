"""Whose API an address is, by host and path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import unquote, urlsplit

_HOSTS = (
    ("api.anthropic.com", "anthropic"),
    ("api.openai.com", "openai"),
    ("bedrock-runtime", "bedrock"),
    ("generativelanguage.googleapis.com", "google"),
    ("api.deepseek.com", "deepseek"),
    ("api.x.ai", "xai"),
    ("api.mistral.ai", "mistral"),
    ("cohere.", "cohere"),
    ("moonshot.", "moonshot"),
    ("api.z.ai", "zai"),
    ("bigmodel.cn", "zai"),
    ("groq.com", "groq"),
)
_UPSTREAM = {"x-ai": "xai", "moonshotai": "moonshot", "mistralai": "mistral", "z-ai": "zai", "~anthropic": "anthropic"}
_BEFORE_MODEL = ("model", "models", "deployments")
_METHOD = re.compile(r":(?:streamG|g)enerateContent$|:(?:streamR|r)awPredict$")
_CALLS = re.compile(
    r"/(messages|chat/completions|responses|responses/compact|converse|converse-stream|invoke|invoke-with-response-stream"
    r"|v\d/chat|cachedContents)$|:(generateContent|streamGenerateContent|rawPredict|streamRawPredict)$"
)


def calls_a_model(url: str) -> bool:
    """Whether an address is one where a model is asked, or a prompt put into an explicit cache; counting and embedding are not."""
    return bool(_CALLS.search(urlsplit(url).path))


def model_in(url: str) -> str:
    """The model that the path names (Bedrock, Gemini, Vertex AI, Azure deployments), ``""`` where the body has to."""
    steps = urlsplit(url).path.split("/")
    for step, after in pairwise(steps):
        if step in _BEFORE_MODEL and after:
            name = unquote(after)
            return (name if "%" in after else _METHOD.sub("", name)).rsplit("/", 1)[-1]
    return ""


def provider_of(url: str, body: Mapping[str, Any], response: Mapping[str, Any]) -> str:
    """The provider's key (``caches.cache_for`` knows some of them); of an unknown host its name.

    OpenRouter's is the upstream provider by the name of the model that answered, else of the one that was asked.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if host.endswith("openrouter.ai"):
        maker = str(response.get("model") or body.get("model") or "").split("/")[0].lower()
        return _UPSTREAM.get(maker, maker)
    if host.endswith("aiplatform.googleapis.com"):
        return "vertex" if "/publishers/anthropic/" in parts.path else "google"
    if host.endswith(".azure.com"):
        return "foundry" if "/anthropic/" in parts.path else "azure"
    for part, name in _HOSTS:
        if part in host:
            return name
    labels = host.split(".")
    return labels[-2] if len(labels) > 1 and not labels[-1].isdigit() else host
