"""Many conversations at once through wrapped clients, for long, with everything going wrong that can: ``python -m benchmarks.soak``.

Threads and tasks, both SDKs, three dialects, streamed and not, all strategies, stores in memory and in files. The provider is a process
of its own. At random it answers with 429, 500 and 529, breaks connections off before the headers and in the middle of an answer, is slow,
refuses a request that carries a new plan; callers give up waiting or stop reading; stores fail to write; clients are made anew over the
same file. Every text of a conversation carries its mark. ``results/soak.json`` says what was seen; ``failures`` must be empty:

- the provider judges each body: it takes it, and it carries one conversation's mark and no other's;
- callers see the SDK's own errors, for faults that were injected, and no others;
- what a placeholder names can be had from the store, and is of that conversation;
- everybody comes to an end, and memory does not grow with the number of requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import anthropic
import openai

import holdfast
from benchmarks.__main__ import RESULTS, commit, machine
from benchmarks.measuring import ROOT
from benchmarks.talk import INJECTED, MARK, Body, Found, Key, Talk, completion_of, message_of
from holdfast.blocks import Block
from holdfast.errors import StoreError
from holdfast.frozen import Json
from holdfast.saved import Saved
from holdfast.store import FileStore, MemoryStore, Store
from holdfast.testing import Asked, FakeProvider, Fault, Reply, ToolCall
from holdfast.testing.fake.values import Say

NAME = re.compile(rb"hash ([0-9a-f]{12})\b")
QUESTION = b"Do not call any tool; do not go on with the task."
OVERDUE = 120
"""Seconds without any request coming back after which everybody counts as stuck."""
LET_GO = 0.05
"""Seconds after which a caller gives up a call that is to be given up."""

@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything. ``epoch``: requests after which a conversation begins anew. Shares are of requests, or of attempts.

    ``trigger`` is in tokens; the target is half of it, and a sixth stays verbatim.
    """

    conversations: int = 200
    requests: int = 20_000
    seed: int = 1
    epoch: int = 50
    faults: float = 0.06
    given_up: float = 0.01
    restarts: float = 0.002
    store_errors: float = 0.02
    trigger: int = 5_000


class Judge:
    """The model behind the provider, which looks at each body that got so far: what it says, and what it has seen.

    ``names``: what placeholders named, by conversation.
    """

    def __init__(self, plan: Plan, found: Found) -> None:
        self.plan, self.found = plan, found
        self.names: dict[str, set[str]] = defaultdict(set)
        self._random = Random(plan.seed)
        self._known: dict[str, int] = {}
        self._spared: set[str] = set()

    def says(self, asked: Asked) -> Say:
        """The answer to a request that the provider has found legal."""
        marks = {mark.decode() for mark in MARK.findall(asked.raw)}
        if len(marks) != 1:
            self.found.wrong(f"cross-talk: a body with the marks {sorted(marks)}")
            return "?"
        mark = marks.pop()
        question = QUESTION in asked.raw
        with self.found.lock:
            fault = self._fault(asked, mark, question)
            self.names[mark].update(name.decode() for name in NAME.findall(asked.raw))
            draw = self._random.random()
        if fault is not None:
            self.found.note(f"fault: {fault.status or fault.drop}")
            return fault
        latency = 4 * LET_GO if draw < 0.02 else 0.0
        if question:
            self.found.note("questions")
            return Reply(f"It is about conversation-{mark}. Files of the kelp were read; nothing was decided. " * 8, latency=latency)
        return self._reply(asked, mark, draw, latency)

    def _fault(self, asked: Asked, mark: str, question: bool) -> Fault | None:
        placeholders = asked.raw.count(b"[holdfast:")
        new = placeholders > self._known.get(mark, 0)
        if not question and new and mark not in self._spared and self._random.random() < 0.1:
            self._spared.add(mark)  # once: what comes in its place must be taken
            return Fault(400, message="this request is not to the provider's liking")
        if self._random.random() < self.plan.faults:
            status = self._random.choice((*INJECTED, 0, 0))
            drop = "" if status else self._random.choice(("headers", "body"))
            return Fault(status, drop, retry_after=0.01 if status else None)  # type: ignore[arg-type]
        if not question:
            self._known[mark] = placeholders
        return None

    def _reply(self, asked: Asked, mark: str, draw: float, latency: float) -> Reply:
        items = asked.body.get("messages") or asked.body["input"]
        turn = len(items)
        thinking = f"What does conversation-{mark} need? Step {turn}." if asked.body.get("thinking") else ""
        if draw < 0.25:
            return Reply(f"That was step {turn} of conversation-{mark}.", thinking, latency=latency)
        calls = [ToolCall("read", {"path": f"/conversation-{mark}/{turn}-{n}.py"}) for n in range(1 + (draw > 0.7))]
        return Reply("", thinking, calls, latency=latency)


class Flaky:
    """A store whose writes fail now and then, and that remembers nothing of it."""

    def __init__(self, inner: Store, share: float, seed: int, found: Found) -> None:
        self._inner, self._share, self._random, self._found = inner, share, Random(seed), found

    def _perhaps(self) -> None:
        if self._random.random() < self._share:
            self._found.note("store errors")
            raise StoreError("the disk is full, for once") if self._random.random() < 0.5 else OSError(28, "No space left on device")

    def put(self, blocks: Iterable[Block]) -> None:
        """Keep these, or fail."""
        self._perhaps()
        self._inner.put(blocks)

    def get(self, name: str) -> Json | None:
        """The inner store's."""
        return self._inner.get(name)

    def save(self, saved: Saved, expected: int) -> bool:
        """The inner store's, or fail."""
        self._perhaps()
        return self._inner.save(saved, expected)

    def find(self, roots: Any) -> Saved | None:
        """The inner store's."""
        return self._inner.find(roots)

    def load(self, lineage: str) -> Saved | None:
        """The inner store's."""
        return self._inner.load(lineage)

    def close(self) -> None:
        """The inner store's."""
        self._inner.close()


class House:
    """The clients that conversations share: for each SDK and kind of calling one that keeps in memory and one in a file.

    Those with a file are made anew now and then.
    """

    def __init__(self, url: str, plan: Plan, folder: Path, found: Found) -> None:
        self._url, self._plan, self._folder, self._found = url, plan, folder, found
        self._clients: dict[Key, Any] = {}
        self.stores: dict[Key, Store] = {}
        self.made: list[Any] = []
        self._lock = threading.Lock()

    def client(self, key: Key, anew: bool = False) -> Any:
        """The client for these; ``anew``: as after a restart, over the same file."""
        with self._lock:
            if key not in self._clients or (anew and key[2]):
                self._clients[key] = self._make(key)
            return self._clients[key]

    def _make(self, key: Key) -> Any:
        sdk, awaited, filed = key
        number = len(self.made)
        path = self._folder / f"{sdk}-{awaited}.db"
        store: Store = FileStore(path) if filed else MemoryStore()
        self.stores[key] = store
        kind: Any = {
            ("anthropic", False): anthropic.Anthropic,
            ("anthropic", True): anthropic.AsyncAnthropic,
            ("openai", False): openai.OpenAI,
            ("openai", True): openai.AsyncOpenAI,
        }[sdk, awaited]
        base = self._url if sdk == "anthropic" else f"{self._url}/v1"
        made = kind(api_key=f"key-{sdk}-{awaited}-{filed}", base_url=base, max_retries=3, timeout=30)
        flaky = Flaky(store, self._plan.store_errors, self._plan.seed + number, self._found)
        trigger = self._plan.trigger
        sizes: Any = {"trigger": trigger, "target": trigger // 2, "keep_tail_tokens": trigger // 6}
        client = holdfast.wrap(made, store=flaky, **sizes)
        self.made.append(client)
        return client

    def close(self) -> None:
        """Close the clients that are not awaited."""
        for client in self.made:
            if isinstance(client, anthropic.Anthropic | openai.OpenAI):
                client.close()

    async def aclose(self) -> None:
        """Close those that are."""
        for client in self.made:
            if isinstance(client, anthropic.AsyncAnthropic | openai.AsyncOpenAI):
                await client.close()


class Caller:
    """Takes one conversation to its end, on a thread or as a task."""

    def __init__(self, talk: Talk, house: House, plan: Plan, done: Callable[[], None]) -> None:
        self.talk, self.house, self.plan, self.done = talk, house, plan, done

    def requests(self) -> Iterator[tuple[Any, Body, bool, bool]]:
        """What to call, with what; whether it is streamed, and given up halfway. Each is inside a ``session`` of the client."""
        talk = self.talk
        share = self.plan.requests // self.plan.conversations
        for _ in range(share):
            if talk.turns >= self.plan.epoch:
                talk.anew()
            anew = talk.random.random() < self.plan.restarts
            if anew:
                talk.found.note("restarts")
            client = self.house.client(talk.key, anew)
            streamed, given_up = talk.random.random() < 0.4, talk.random.random() < self.plan.given_up
            if given_up and talk.random.random() < 0.5:
                client = client.with_options(timeout=LET_GO, max_retries=0)
            with holdfast.of(client).session(talk.mark if talk.number % 2 else None, strategy=talk.strategy):
                yield talk.create(client), talk.arguments(), streamed, given_up
            self.done()

    def run(self) -> None:
        """On a thread."""
        for create, body, streamed, given_up in self.requests():
            try:
                answer = self._streamed(create, body, given_up) if streamed else create(**body)
                if answer is not None:
                    self.talk.took(answer)
            except Exception as error:  # noqa: BLE001  # which ones may come is what is being found out
                self.talk.failed(error)

    async def arun(self) -> None:
        """As a task."""
        for create, body, streamed, given_up in self.requests():
            try:
                coming = self._astreamed(create, body, given_up) if streamed else create(**body)
                answer = await (asyncio.wait_for(coming, LET_GO) if given_up else coming)
                if answer is not None:
                    self.talk.took(answer)
            except Exception as error:  # noqa: BLE001  # the same
                self.talk.failed(error)

    def _streamed(self, create: Any, body: Body, given_up: bool) -> Any:
        with create(**body, stream=True) as stream:
            events = []
            for event in stream:
                events.append(event)
                if given_up:
                    self.talk.found.note("streams given up")
                    return None
        return self._whole(events)

    async def _astreamed(self, create: Any, body: Body, given_up: bool) -> Any:
        async with await create(**body, stream=True) as stream:
            events = []
            async for event in stream:
                events.append(event)
                if given_up:
                    self.talk.found.note("streams given up")
                    return None
        return self._whole(events)

    def _whole(self, events: list[Any]) -> Any:
        """The message that the events make. Streams that break off without an error are none."""
        if self.talk.dialect == "responses":
            return events[-1].response if events and events[-1].type == "response.completed" else None
        if self.talk.dialect == "messages":
            return message_of(events) if events and events[-1].type == "message_stop" else None
        return completion_of(events) if events and events[-1].choices and events[-1].choices[0].finish_reason else None


@dataclass
class Progress:
    """How many requests have come back, and the memory at some of them (in bytes, by their number)."""

    plan: Plan
    count: int = 0
    at: float = field(default_factory=time.monotonic)
    memory: dict[int, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def done(self) -> None:
        """One more."""
        with self.lock:
            self.count, self.at = self.count + 1, time.monotonic()
            if self.count % max(1, self.plan.requests // 8) == 0:
                self.memory[self.count] = resident()


def resident() -> int:
    """The memory of this process, in bytes; 0 where the system does not say."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if status.exists() else 0


def converse(url: str, plan: Plan, folder: Path, found: Found) -> tuple[Progress, dict[str, Store]]:
    """All conversations, to their end; and the stores by the conversations that went through them."""
    progress = Progress(plan)
    house = House(url, plan, folder, found)
    callers = [Caller(Talk(number, plan.seed, found), house, plan, progress.done) for number in range(plan.conversations)]
    threads = [threading.Thread(target=caller.run, daemon=True) for caller in callers if not caller.talk.awaited]

    async def tasks() -> None:
        await asyncio.gather(*(caller.arun() for caller in callers if caller.talk.awaited))
        await house.aclose()

    threads.append(threading.Thread(target=lambda: asyncio.run(tasks()), daemon=True))
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        threads[-1].join(0.2) if threads[-1].is_alive() else next(thread for thread in threads if thread.is_alive()).join(0.2)
        if time.monotonic() - progress.at > OVERDUE:
            found.wrong(f"stuck: nothing came back for {OVERDUE} s, {sum(thread.is_alive() for thread in threads)} threads are alive")
            break
    for client in house.made:
        holdfast.of(client).report()
    house.close()
    return progress, {str(caller.talk.number): house.stores[caller.talk.key] for caller in callers}


def recalled(names: dict[str, set[str]], stores: dict[str, Store], found: Found, most: int = 5_000) -> int:
    """How many of the names that placeholders gave, a sample of them, were looked up; each must give what was its conversation's."""
    everything = sorted((mark, name) for mark, each in names.items() for name in each)
    sample = Random(1).sample(everything, min(most, len(everything)))
    for mark, name in sample:
        kept = stores[mark.split("-")[0]].get(name)
        if kept is None:
            found.wrong(f"lost: {name} of conversation-{mark}")
        elif (others := {each.decode() for each in MARK.findall(json.dumps(kept).encode())}) - {mark}:
            found.wrong(f"cross-talk: {name} of conversation-{mark} holds {sorted(others)}")
    return len(sample)


def provide(plan: Plan) -> None:
    """Be the provider: print the address, and what was seen once standard input says so."""
    found = Found()
    judge = Judge(plan, found)
    with FakeProvider(judge.says, counter="sampled", keep=500) as fake:
        print(fake.url, flush=True)
        sys.stdin.readline()
        seen = {**found.seen, "provider: requests": fake.count}
        said = [str(asked.response)[:500] for asked in fake.requests if asked.status == 400]
    refused = [each for each in said if "liking" not in each]  # what the judge itself has raised ends this process here
    names = {mark: sorted(each) for mark, each in judge.names.items()}
    print(json.dumps({"failures": [*found.failures, *refused[:20]], "seen": seen, "names": names}), flush=True)


@contextmanager
def provider(plan: Plan) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """A provider in a process of its own: its address, and what asks it what it has seen."""
    told = json.dumps({name: getattr(plan, name) for name in plan.__slots__})
    command = [sys.executable, "-m", "benchmarks.soak", "--provide", told]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("src", "strategies"))}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asking, answering = process.stdin, process.stdout

        def seen() -> dict[str, Any]:
            asking.write("\n")
            asking.flush()
            answer: dict[str, Any] = json.loads(answering.readline())
            return answer

        try:
            yield answering.readline().strip(), seen
        finally:
            process.kill()


def soak(plan: Plan) -> dict[str, Any]:
    """Everything; what came of it. Right is an empty list of ``failures``."""
    found, began = Found(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, provider(plan) as (url, seen):
        progress, stores = converse(url, plan, Path(folder), found)
        theirs = seen()
        sample = recalled({mark: set(names) for mark, names in theirs["names"].items()}, stores, found)
        for store in set(stores.values()):
            store.close()
    return {
        "plan": {name: getattr(plan, name) for name in plan.__slots__},
        "failures": found.failures + theirs["failures"],
        "requests": progress.count,
        "seconds": round(time.monotonic() - began, 1),
        "recalled": sample,
        "resident_bytes": progress.memory,
        "seen": dict(sorted((found.seen + Counter(theirs["seen"])).items())),
    }


def main() -> None:
    """Soak, and keep what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--provide", type=json.loads)
    parser.add_argument("--requests", type=int, default=Plan().requests)
    parser.add_argument("--conversations", type=int, default=Plan().conversations)
    parser.add_argument("--output", type=Path, default=RESULTS / "soak.json")
    given = parser.parse_args()
    if given.provide:
        provide(Plan(**given.provide))
        return
    logging.getLogger("holdfast").setLevel(logging.CRITICAL)
    result = {"commit": commit(), "machine": machine(), **soak(Plan(given.conversations, given.requests))}
    given.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
