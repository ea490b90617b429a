"""mini-swe-agent, through litellm, with a history that Holdfast keeps short. No network: a scripted provider on loopback, real commands.

    pip install holdfast mini-swe-agent
    python examples/third_party/run_mini_swe_agent.py                    # Session.prepare and observe around litellm.completion
    python examples/third_party/run_mini_swe_agent.py --through client   # a wrapped OpenAI client as litellm's client=

The agent's own code and loop are unchanged; its list of messages stays whole.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from itertools import count
from typing import Any

os.environ |= {"MSWEA_SILENT_STARTUP": "1", "MSWEA_COST_TRACKING": "ignore_errors", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}

import litellm
from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.litellm_model import LitellmModel
from minisweagent.models.utils.actions_toolcall import BASH_TOOL
from openai import OpenAI

import holdfast
from holdfast.testing import Asked, FakeProvider, Reply, ToolCall

MODEL = "gpt-5.4"
TURNS = 40
STEPS = count()
SIZES = {"trigger": 8_000, "target": 4_000}
DONE = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT; wc -l notes.txt"


def model_says(asked: Asked) -> Reply:
    """Writes notes and reads them again, a command at a time, and submits at the end."""
    newest = str(asked.body["messages"][-1].get("content"))
    if "Do not call any tool" in newest:  # a strategy asks for a summary
        return Reply("The notes are being written, one line a step; nothing is broken.")
    step = next(STEPS)
    if step >= TURNS - 1:
        return Reply("All is done.", calls=[ToolCall("bash", {"command": DONE})])
    command = f"echo 'step {step}: the rock holds' >> notes.txt; seq -f 'frond %g of step {step} sways' 1 60; tail -n 2 notes.txt"
    return Reply(f"Step {step}.", calls=[ToolCall("bash", {"command": command})])


class Model(LitellmModel):  # type: ignore[misc]  # not typed
    """The agent's own model, less what litellm adds to its answers for itself: the provider, strict as it is here, does not know it."""

    def _prepare_messages_for_api(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        prepared = super()._prepare_messages_for_api(messages)
        return [{key: value for key, value in message.items() if key != "provider_specific_fields"} for message in prepared]


class SessionModel(Model):
    """litellm is given what a session prepared, and the session the answer."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.session = holdfast.session(MODEL, "micro", **SIZES)  # type: ignore[arg-type]
        self.traces: list[holdfast.Trace] = []

    def _query(self, messages: list[dict[str, Any]], **kwargs: Any) -> Any:
        body, trace = self.session.prepare({"model": MODEL, "tools": [BASH_TOOL], "messages": messages})
        self.traces.append(trace)
        response = super()._query(body["messages"], **kwargs)
        self.session.observe(response.model_dump(), of=trace)
        return response


class ClientModel(Model):
    """litellm is given a wrapped client."""

    def __init__(self, url: str, **config: Any) -> None:
        super().__init__(**config)
        self.client = holdfast.wrap(OpenAI(base_url=f"{url}/v1", api_key="any"), strategy="micro", **SIZES)  # type: ignore[arg-type]
        self.traces: list[holdfast.Trace] = []

    def _query(self, messages: list[dict[str, Any]], **kwargs: Any) -> Any:
        response = super()._query(messages, client=self.client, **kwargs)
        last = holdfast.of(self.client).last
        self.traces += [last] if last is not None else []
        return response


def main() -> None:
    """The agent runs until it submits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--through", choices=["session", "client"], default="session")
    through = parser.parse_args().through
    litellm.suppress_debug_info = True
    with FakeProvider(model_says) as fake, tempfile.TemporaryDirectory() as folder:
        config = {"model_name": f"openai/{MODEL}", "model_kwargs": {"api_base": f"{fake.url}/v1", "api_key": "any"}}
        model = SessionModel(**config) if through == "session" else ClientModel(fake.url, **config)
        prompts = {"system_template": "You keep notes.", "instance_template": "{{task}}"}
        agent = DefaultAgent(model, LocalEnvironment(cwd=folder), **prompts, cost_limit=0)
        result = agent.run("Write down, step by step, whether the rock holds.")
        commits = [trace.commit for trace in model.traces if trace.commit]
        refused = sum(asked.status != 200 for asked in fake.requests)
        print(f"{result['exit_status']} after {agent.n_calls} calls: {result['submission'].strip()}")
        print(f"the agent holds {len(agent.messages)} messages; {len(commits)} plans were committed; {refused} requests were refused")
        last = model.traces[-1]
        print(f"the last request: {last.given_tokens:,} tokens given, {last.sent_tokens:,} sent; {fake.usage.read:,} were read warm")


if __name__ == "__main__":
    main()
