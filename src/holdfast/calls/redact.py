"""Secrets out of everything that is recorded, logged or traced: each is replaced by ``[redacted:KIND:FINGERPRINT]``.

What is found: keys and tokens by the form that their makers give them, JSON web tokens, ``Bearer`` and ``Basic`` credentials, private
keys, passwords in URLs, and values that stand behind a name such as ``password``, ``api_key`` or ``AWS_SECRET_ACCESS_KEY``: as a JSON
key, as an assignment in a text, as a header. Behind the name of a password any literal is one; behind the others only what looks drawn
at random, so that ``token = next(tokens)`` stays. Images, signatures and what else is opaque stay as they are.

The fingerprint is a keyed hash (BLAKE2b, 32 bits): with one key the same secret always gives the same text and different ones different
texts, so prefixes that were equal stay equal and caches replay the same. What it gives away depends on who has the key. Of a random secret
nothing in either case. A weak password can be guessed by whoever has the key and tries candidates; without the key only that two places
held the same one can be told. So ``Recorder`` draws a key for each log and keeps it beside the log, not in it; and the functions here,
for traces and messages, use one that is drawn for the process and never leaves it.

Every text is passed over a fixed number of times, whatever it holds: runs of characters are examined once, everything else is bounded.
"""

from __future__ import annotations

import secrets
from binascii import Error, a2b_base64
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import blake2b
from threading import Lock
from typing import NamedTuple

from cachetools import LRUCache

from holdfast.calls import secret_forms as forms
from holdfast.frozen import Json

OPAQUE = frozenset(
    {"signature", "thought_signature", "thoughtSignature", "encrypted_content", "encrypted_index", "encrypted_stdout", "partial_images"}
)
"""Keys of what only the provider can read. Changing it would change what a replay counts and hashes, and it holds no secret of a user."""

_SHORTEST = 8
"""No form of a secret that is found without its name is shorter; a shorter text is passed by."""
_LONG_KEY = 20
"""The shortest key of an object that is looked through, in characters."""
_REMEMBERED = 64
"""Texts at least this long are remembered, in characters: a conversation repeats them with each request."""
_NESTED = 4
"""Names within one value that are followed up: ``url=x?token=y`` is one value, and ``a=a=a=…`` would be looked through for each."""
_MEMORY = 16_000_000
"""Characters of results that are remembered."""


class Span(NamedTuple):
    """A secret in a text, from ``start`` up to ``stop``."""

    start: int
    stop: int
    kind: str


class Redactor:
    """Replaces secrets with fingerprints under one ``key`` (at most 64 bytes). Safe for use from several threads."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: LRUCache[str, str] = LRUCache(_MEMORY, getsizeof=len)
        self._lock = Lock()

    def value(self, value: Json) -> Json:
        """The JSON with every secret replaced: the same object where it has none, never changed in place.

        Raises ``RecursionError`` where it is nested deeper than ``json.dumps`` could write it.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self._object(value)
        if isinstance(value, list | tuple):
            items = [self.value(item) for item in value]
            return value if all(map(_is, items, value)) else items
        return value

    def text(self, text: str) -> str:
        """The text with every secret replaced: the same object where it has none."""
        if len(text) < _SHORTEST:
            return text
        if len(text) < _REMEMBERED or len(text) > _MEMORY // 2:
            return self._replaced(text)
        with self._lock:
            known = self._known.get(text)
        if known is None:
            known = self._replaced(text)
            with self._lock:
                self._known[text] = known if len(known) <= _MEMORY // 2 else text
        return known

    def fingerprint(self, secret: str, kind: str) -> str:
        """What stands for a secret."""
        digest = blake2b(secret.encode("utf-8", "surrogatepass"), key=self._key, digest_size=4)
        return f"{forms.REPLACED}{kind}:{digest.hexdigest()}]"

    def _object(self, raw: Mapping[str, Json]) -> Json:
        opaque = raw.get("type") in ("base64", "redacted_thinking")
        named = raw.get("name", raw.get("key")) if isinstance(raw.get("value"), str) else None
        found: dict[str, Json] = {}
        for key, value in raw.items():
            if key in OPAQUE or (opaque and key == "data"):
                found[key] = value
            elif isinstance(value, str):
                name = named if key == "value" and isinstance(named, str) else key
                found[key] = self._behind(name, value)
            else:
                found[key] = self.value(value)
        keys = [self.text(key) if type(key) is str and len(key) >= _LONG_KEY else key for key in raw]
        if all(map(_is, keys, raw)):
            return raw if all(map(_is, found.values(), raw.values())) else found
        return dict(zip(keys, found.values(), strict=True))

    def _behind(self, name: Json, value: str) -> str:
        """The value of a JSON key or of a pair of name and value."""
        kind = forms.kind_of_name(name) if isinstance(name, str) else ""
        if not kind or len(value) > forms.LONGEST:
            return self.text(value)
        scheme, _, credential = value.partition(" ")
        if scheme.lower() in ("bearer", "basic", "token") and forms.is_secret(credential, "bearer", literal=True):
            return f"{scheme} {self.fingerprint(credential, scheme.lower())}"
        return self.fingerprint(value, kind) if forms.is_secret(value, kind, literal=True) else self.text(value)

    def _replaced(self, text: str) -> str:
        if text.startswith("data:") and ";base64," in text[:100]:
            return text
        spans = sorted(spans_in(text))
        if not spans:
            return text
        pieces: list[str] = []
        end = 0
        for span in _merged(spans):
            pieces += text[end : span.start], self.fingerprint(text[span.start : span.stop], span.kind)
            end = span.stop
        return "".join([*pieces, text[end:]])


def redacted(value: Json) -> Json:
    """JSON with every secret replaced, under the key of this process: for what is logged and traced. See ``Redactor.value``."""
    return _of_process().value(value)


def redacted_text(text: str) -> str:
    """A text with every secret replaced, under the key of this process: for what is logged and traced."""
    return _of_process().text(text)


@cache
def _of_process() -> Redactor:
    return Redactor(secrets.token_bytes(32))


def _is(one: object, other: object) -> bool:
    return one is other


def _merged(spans: list[Span]) -> Iterator[Span]:
    """Spans that overlap as one, of the kind of the first."""
    last = spans[0]
    for span in spans[1:]:
        if span.start < last.stop:
            last = last._replace(stop=max(last.stop, span.stop))
        else:
            yield last
            last = span
    yield last


def spans_in(text: str) -> Iterator[Span]:
    """Where secrets stand in a text, in no order; several may overlap."""
    for form in forms.FORMS:
        if form.needle in text:
            yield from _of_form(text, form)
    if "://" in text:
        yield from _in_urls(text)
    if "PRIVATE KEY" in text:
        yield from _private_keys(text)
    low = forms.lowered(text)
    if "bearer" in low or "basic" in low:
        yield from _credentials(text, low)
    for word in forms.WORDS:
        if word in low:
            yield from _assigned(text, low, word)


def _of_form(text: str, form: forms.Form) -> Iterator[Span]:
    """Runs that begin with what the maker begins its keys with. Each run is looked at once."""
    at = text.find(form.needle)
    while at >= 0:
        stop = forms.run(form.run, text, at)
        free = at == 0 or not text[at - 1].isalnum()
        if free and (whole := form.whole.match(text, at, stop)) and forms.is_drawn(whole[0], form):
            yield Span(at, whole.end(), form.kind)
        at = text.find(form.needle, max(stop, at + len(form.needle)))


def _in_urls(text: str) -> Iterator[Span]:
    """``scheme://user:PASSWORD@host``."""
    at = text.find("://")
    while at >= 0:
        found = forms.USER_INFO.match(text, at + 3)
        if found and not forms.is_placeholder(found["password"]):
            yield Span(*found.span("password"), "password")
        at = text.find("://", found.end() if found else at + 3)


def _private_keys(text: str) -> Iterator[Span]:
    """From ``-----BEGIN … PRIVATE KEY-----`` to its end, or, where that was cut off, to the end of its lines."""
    at = text.find("-----BEGIN ")
    while at >= 0:
        stop = at + 11
        if opening := forms.PRIVATE_KEY.match(text, stop):
            stop = opening.end()
            dashes = text.find("-----", stop)
            closing = forms.KEY_END.match(text, dashes) if dashes >= 0 else None
            stop = closing.end() if closing else forms.run(forms.KEY_LINES, text, stop)
            yield Span(at, stop, "private-key")
        at = text.find("-----BEGIN ", stop)


def _credentials(text: str, low: str) -> Iterator[Span]:
    """``Bearer TOKEN``, and ``Basic`` with what decodes to a user and a password."""
    for scheme in ("bearer", "basic"):
        at = low.find(scheme)
        while at >= 0:
            stop = at + len(scheme)
            if gap := forms.GAP.match(text, stop):
                start, stop = gap.end(), forms.run(forms.CREDENTIAL, text, gap.end())
                sent = "authorization" in low[max(0, at - 24) : at]
                if _is_credential(scheme, text[start:stop], sent):
                    yield Span(start, stop, scheme)
            at = low.find(scheme, stop)


def _is_credential(scheme: str, credential: str, sent: bool) -> bool:
    if scheme == "bearer":
        return forms.is_random(credential) or (sent and forms.is_secret(credential, "bearer", literal=True))
    try:
        return len(credential) >= _SHORTEST and b":" in a2b_base64(credential, strict_mode=True)
    except (Error, ValueError):
        return False


def _assigned(text: str, low: str, word: str) -> Iterator[Span]:
    """``name = "value"``, ``name: value``, ``--name value``, ``?name=value``, ``<name>value<``: what stands behind a secret's name."""
    at, done, within = low.find(word), 0, 0
    while at >= 0:
        stop = at + len(word)
        within = within + 1 if at < done else 0
        if within > _NESTED:
            stop = done
        elif (name := forms.assigned_at(text, at, stop)) and (value := forms.value_at(text, name.end)):
            done = max(done, value.stop)
            if kind := name.kind_of(text[value.start : value.stop], value):
                yield Span(value.start, value.stop, kind)
                stop = value.stop
        at = low.find(word, stop)
