"""Readers: recorded conversations in, transcripts out. Which reader a file gets is decided by its content, never by its name.

The contract of a reader module, one per format, registered by name in ``formats.FORMATS``:

``NAME: str``
    The format's name, the same as its key in ``FORMATS``.
``sniff(head: Sample) -> bool``
    Whether the file is of this format, judged by ``head.records`` (JSON lines) or ``head.document`` (one JSON document).
    It opens nothing and says no when in doubt. Formats are asked in the order of ``FORMATS``, the most particular first.
``read(path: Path, *, strict: bool = False) -> list[Transcript]``
    The file's transcripts. A line that cannot be used goes to ``Transcript.skipped``; with ``strict`` it raises
    ``errors.Unreadable``. Reads through ``holdfast.readers.lines`` (``records`` for JSON lines, ``document`` for one document),
    which knows gzip, the line limit and truncation. ``Transcript.format`` is ``NAME``, ``path`` is ``str(path)``.

What all readers hold to: blocks weigh 0 tokens (a later stage weighs them); the prompts of one lineage share one log of messages
through ``blocks.Window`` and each extends the one before; every prompt is legal (first message the user's, each tool call answered in
the next message); ``Turn.request`` is the provider's id of the response, by which calls copied into another file are recognised; what
was inferred or left out is said in ``Transcript.notes``.

Standard input is no file: the command line copies it to a temporary one and reads that.
"""

from holdfast.readers.formats import FORMATS, Reader, read
from holdfast.readers.groups import Failure, Group, discover, group, read_all, read_group, usual_places
from holdfast.readers.sample import Sample

__all__ = ["FORMATS", "Failure", "Group", "Reader", "Sample", "discover", "group", "read", "read_all", "read_group", "usual_places"]
