"""Atoms: the exact things an agent must remember, because it cannot make them up.

An atom is a path, a URL, a shaped identifier (``snake_case``, ``camelCase``, letters with digits, a hash), a file name, a
number of four digits or more, or a quoted phrase. Words of prose are not atoms, nor is what every programmer knows by heart
(``/dev/null``, ``sha256``, a round number). Matching is case-sensitive and takes time linear in the text.

A text is cut into *runs* of the characters that atoms are made of. An answer needs the atoms of its runs; a text offers
them, and what they contain: ``/srv/app/main_loop.py`` also offers ``app/main_loop.py``, ``/srv/app`` and ``main_loop``. A relative
path of two parts or more stands for the longer path that ends with it (agents know their working directory); a bare file name does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from holdfast.blocks import Block, Kind
from holdfast.frozen import Json

MIN_LENGTH = 4
MAX_RUN = 300
"""Longer runs are encoded data, which nobody quotes from memory (characters)."""

_RUN = re.compile(r"[A-Za-z0-9_./~:\u00c0-\u1fff-]{4,}")
_QUOTED = re.compile(r""""([^"'`\n]{12,80})"|'([^"'`\n]{12,80})'|`([^"'`\n]{12,80})`""")
_HUMP = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]")
_LETTER = re.compile(r"[A-Za-z]")
_DIGIT = re.compile(r"[0-9]")
_NUMBER = re.compile(r"\d[\d.]*")
_EVERYDAY_NUMBER = re.compile(r"\d*0{2,}|(?:19|20)\d\d|1234\d*|0+\d?|\d+\.\d|1024|2048|4096|8192|0[0-7]{3}")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# What an agent writes from habit or from its tools' schemas: the most frequent false candidates in recorded sessions of unrelated projects.
_EVERYDAY = _set("""
README.md GitHub JavaScript TypeScript package.json package-lock.json tsconfig.json go.mod go.sum node_modules __init__ __init__.py
__main__ sha256 sha512 sha1 md5 base64 utf8 utf-8 UTF-8 int32 int64 uint8 uint32 uint64 float32 float64 x86_64 arm64 amd64 macOS iPhone
OpenAI anthropic.com claude.com github.com localhost noreply Co-Authored-By 0o644 0o755 0o600 in_progress files_with_matches output_mode
file_path old_string new_string run_in_background general-purpose toISOString toString useState useEffect useCallback useMemo className
onClick onChange currentColor viewBox textContent innerHTML querySelector addEventListener forEach indexOf toHaveBeenCalledWith
beforeEach afterEach toEqual toBeDefined RLock RUnlock IsZero TempDir MkdirAll ReadFile WriteFile TrimSpace HasPrefix HasSuffix
StringVar BoolVar RunE isinstance staticmethod classmethod
""")
_STANDARD = _set("""
fmt os io json errors strings strconv bytes time context filepath path sync sort bufio testing exec http url log rand math reflect
regexp sys re self this t b cls super console JSON Math Object Array Promise process document window String Number Date datetime logging
typing collections itertools functools subprocess pathlib shutil asyncio pytest np pd std e i.e e.g
""")
_MEASURE = re.compile(r"\d{1,5}[A-Za-z]{1,2}")  # 180s, 512KB, 380p
# Class names and prose: px-3, text-slate-400, phase-4; 4-phase.
_COMPOUND = re.compile(r"[a-z]+(?:-[a-z]+)*-\d{1,3}|\d{1,2}-[a-z]+(?:-[a-z]+)*")
_COMPOSED = re.compile(r"[./~:-]")
_WORD = re.compile(r"[A-Za-z0-9_\u00c0-\u1fff]{4,}")
_URL = re.compile(r"(?<![A-Za-z0-9_\u00c0-\u1fff])https?://[A-Za-z0-9].{3,}")
_UPWARDS = re.compile(r"(?:\.{1,2}/+)+")
_JOINING = re.compile(r"[A-Za-z0-9_\u00c0-\u1fff]")
_FROM_HERE = re.compile(r"(?:\.|\b[ab])/$")  # ./src, and the sides of a diff
_MOST_CANDIDATES = 64
_TWO_WORDS = re.compile(r"[A-Za-z]{2,}[^A-Za-z]+[A-Za-z]{2,}")
_EVERYDAY_PATHS = ("/dev/", "/bin/", "/usr/bin/", "/usr/local/bin/", "/etc/hosts")


def shaped(word: str) -> bool:
    """Whether a word has the shape of a name that was made, not of a word of prose."""
    return bool(_LETTER.search(word)) and ("_" in word.strip("_") or bool(_HUMP.search(word)) or bool(_DIGIT.search(word)))


def _word(word: str) -> Iterator[str]:
    """The atoms of a run without slashes, colons and dots."""
    if len(word) < MIN_LENGTH or word in _EVERYDAY:
        return
    if "-" not in word:
        if (shaped(word) and not _MEASURE.fullmatch(word)) or (_NUMBER.fullmatch(word) and not _EVERYDAY_NUMBER.fullmatch(word)):
            yield word
    elif _DIGIT.search(word) or "_" in word:
        if not _COMPOUND.fullmatch(word):
            yield word
    else:
        for part in word.split("-"):
            yield from _word(part)


def _name(piece: str) -> Iterator[str]:
    """The atoms of a run without slashes and colons: a file name, a version, or the parts of a dotted chain."""
    if "." not in piece:
        yield from _word(piece)
    elif len(piece) < MIN_LENGTH or piece in _EVERYDAY:
        return
    elif _NUMBER.fullmatch(piece):
        if not _EVERYDAY_NUMBER.fullmatch(piece):
            yield piece
    elif is_file_name(piece):
        yield piece
    else:
        parts = [part for part in piece.split(".") if part]
        if parts and parts[0] not in _STANDARD:
            for part in parts:
                yield from _word(part)


_FILE_ENDINGS = _set("""
.c .cc .cfg .cjs .conf .cpp .cs .css .csv .db .env .go .gz .h .html .ini .ipynb .java .jpg .js .json .jsonl .jsx .kt .lock .log .md .mdx
.mjs .mod .patch .pdf .php .pl .png .proto .py .pyi .rb .rs .scss .sh .sql .sqlite .sum .svg .svelte .swift .tar .tf .toml .ts .tsx .txt
.vue .xml .yaml .yml .zip .zsh
""")


def is_file_name(piece: str) -> bool:
    """Whether a dotted run is a file's name, by its ending."""
    stem, dot, ending = piece.rpartition(".")
    return bool(stem.strip(".")) and stem[0] != "_" and stem not in _STANDARD and dot + ending in _FILE_ENDINGS


def _path(piece: str) -> Iterator[str]:
    """A run with slashes, if it is a path and not prose such as ``and/or``. Leading ``./`` and ``../`` are left out."""
    path = piece[match.end() :] if (match := _UPWARDS.match(piece)) else piece
    parts = [part for part in path.split("/") if part]
    rooted = path.startswith(("/", "~"))
    if len(parts) == 1 and not rooted:
        yield from _name(parts[0])
    if len(parts) < 2 or path.startswith(_EVERYDAY_PATHS) or not _LETTER.search(path):
        return
    if rooted or len(parts) > 2 or (not parts[1].isdigit() and any(shaped(part) or not part.isalpha() for part in parts)):
        yield path


def _pieces(run: str) -> Iterator[str]:
    for piece in run.split(":"):
        yield piece.lstrip("-").rstrip(".-/~")


@lru_cache(maxsize=1 << 15)
def atoms_of(run: str) -> tuple[str, ...]:
    """The atoms that a run is, as one who uses it must have known them."""
    if len(run) > MAX_RUN:
        return ()
    if not _COMPOSED.search(run):
        return tuple(_word(run))
    if "://" in run:
        url = _URL.search(run)
        return (url[0].rstrip(".:-~/"),) if url else ()
    return tuple(atom for piece in _pieces(run) for atom in (_path(piece) if "/" in piece else _name(piece)))


def phrases_of(text: str) -> Iterator[str]:
    """The quoted phrases of a text: 12 to 80 characters in one kind of quote, of at least two words with no blank at the ends."""
    for match in _QUOTED.findall(text):
        phrase = match[0] or match[1] or match[2]
        if " " in phrase and phrase == phrase.strip() and _TWO_WORDS.search(phrase):
            yield phrase


def atoms_in(text: str) -> dict[str, None]:
    """Every atom of a text, in order, once."""
    found: dict[str, None] = {}
    for run in dict.fromkeys(_RUN.findall(text)):
        found.update(dict.fromkeys(atoms_of(run)))
    found.update(dict.fromkeys(phrases_of(text)))
    return found


def is_phrase(atom: str) -> bool:
    """Whether an atom is a quoted phrase: the only kind with a blank in it."""
    return " " in atom


def _spellings(atom: str) -> Iterator[str]:
    yield atom
    if "/" in atom and "://" not in atom:
        parts = atom.strip("/").split("/")
        for start in range(0 if atom[0] == "/" else 1, len(parts) - 1):
            yield "/".join(parts[start:])


def _core(atom: str) -> str:
    """What all spellings of the atom contain."""
    return atom if "/" not in atom or "://" in atom else "/".join(atom.rsplit("/", 2)[-2:])


def _stands(text: str, place: int, end: int, shortened: bool) -> bool:
    """Whether what was found from ``place`` to ``end`` is a run's whole part, and a shortened path is not the end of another path."""
    if (place and _JOINING.match(text, place - 1)) or _JOINING.match(text, end):
        return False
    return not shortened or text[place - 1 : place] not in ("/", "~") or bool(_FROM_HERE.search(text, max(0, place - 3), place))


def places(text: str, atom: str) -> Iterator[tuple[int, int]]:
    """Where the atom stands in a text, in the longest of its spellings that occurs: start and end, of at most 64 candidates a spelling."""
    for spelling in _spellings(atom):
        found = False
        end = 0
        for _ in range(_MOST_CANDIDATES):
            place = text.find(spelling, end)
            if place < 0:
                break
            end = place + len(spelling)
            if _stands(text, place, end, spelling is not atom):
                found = True
                yield place, end
        if found:
            return


class Vocabulary:
    """A set of atoms, to be looked for in texts.

    A text is cut into words once; a composed atom is sought only where its longest word stands.
    """

    __slots__ = ("_composed", "_phrases", "_words")

    def __init__(self, atoms: Iterable[str]) -> None:
        self._phrases: set[str] = set()
        self._words: set[str] = set()
        self._composed: dict[str, list[tuple[str, str]]] = {}
        for atom in atoms:
            if is_phrase(atom):
                self._phrases.add(atom)
            elif _COMPOSED.search(atom):
                key = max(_WORD.findall(atom.rsplit("/", 1)[-1]), key=len, default="")
                self._composed.setdefault(key, []).append((_core(atom), atom))
            else:
                self._words.add(atom)

    def __bool__(self) -> bool:
        return bool(self._words or self._composed or self._phrases)

    def held(self, text: str) -> set[str]:
        """The atoms of the vocabulary that a text holds, as they are or inside a longer run."""
        words = set(_WORD.findall(text))
        found = self._words & words
        words.add("")
        for key in self._composed.keys() & words:
            found.update(atom for core, atom in self._composed[key] if core in text and any(places(text, atom)))
        if self._phrases:
            found.update(self._phrases.intersection(phrases_of(text)))
        return found


def readable(text: str) -> str:
    """The text with the escaped line ends and tabs of source code as real ones, so that they do not stick to a word."""
    return text.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r") if "\\" in text else text


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def spoken(block: Block) -> str:
    """What a block says: its text; for a tool call the values of its input, unescaped, one a line. Thinking says nothing.

    Thinking is left out on both sides: it is not the answer, and clients and providers drop it from older turns by themselves.
    """
    if block.kind in (Kind.TEXT, Kind.TOOL_RESULT):
        return readable(block.text)
    if block.kind is not Kind.TOOL_USE:
        return ""
    try:
        return readable("\n".join(_strings(json.loads(block.text))))
    except ValueError:
        return readable(block.text)


def _labelled(value: Json, label: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _labelled(item, f"{label.partition(' ')[0]} {key}")
    elif isinstance(value, list):
        for item in value:
            yield from _labelled(item, label)
    else:
        yield f"{label}: {value}"


def shown(block: Block) -> str:
    """What a block says as its context: ``spoken``, where a tool call's values stand behind the tool's name and their keys."""
    if block.kind is not Kind.TOOL_USE:
        return spoken(block)
    try:
        return readable("\n".join(_labelled(json.loads(block.text), block.tool or "call")))
    except ValueError:
        return readable(block.text)


def head_text(head: Iterable[Block]) -> str:
    """What tools and system texts say; they stand in every prompt, whatever is shortened."""
    return "\n".join(block.text or "\n".join(_strings(block.wire)) for block in head if block.kind is not Kind.OPAQUE)
