"""The same engine without an SDK: ``prepare`` a body, send it as you like, ``observe`` the answer. For raw HTTP, litellm, LangChain …

    python examples/session_without_a_client.py
"""

from __future__ import annotations

import json
from typing import Any
from urllib.request import Request, urlopen

import holdfast
from holdfast.testing import FakeProvider

MODEL = "claude-sonnet-5"


def post(url: str, body: Any) -> Any:
    """The request, by nothing but the standard library."""
    headers = {"content-type": "application/json", "x-api-key": "any", "anthropic-version": "2023-06-01"}
    with urlopen(Request(f"{url}/v1/messages", json.dumps(body).encode(), headers)) as response:
        return json.load(response)


def main(turns: int = 30) -> None:
    """What is sent at each turn, and why."""
    session = holdfast.session(MODEL, strategy="truncate", trigger=30_000, target=20_000)  # for as long as the process lives
    history: list[Any] = []
    with FakeProvider() as fake:
        for turn in range(turns):
            history.append({"role": "user", "content": f"Page {turn}:\n" + f"line {turn} of the survey\n" * 200})
            body, trace = session.prepare({"model": MODEL, "max_tokens": 1024, "messages": history})
            answer = post(fake.url, body)
            session.observe(answer)
            history.append({"role": "assistant", "content": answer["content"]})
            sizes = f"{trace.given_tokens:6,} tokens given, {trace.sent_tokens:6,} sent, {trace.stable_tokens:6,} as before"
            print(f"turn {turn:2}: {sizes}; {trace.reason}")


if __name__ == "__main__":
    main()
