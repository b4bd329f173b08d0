"""What the verbs about the model share: text, tokens, architectures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetfit import Architecture, InputError
from search.cli.members import member_of

if TYPE_CHECKING:
    from supernet.checkpoint import Checkpoint
    from supernet.text import TokenStream

__all__ = [
    "LOSSES",
    "CacheFolder",
    "Column",
    "Corpora",
    "Texts",
    "TrainTexts",
    "documents_of",
    "joined_licences",
    "names_of",
    "read_architecture",
    "special_ids",
    "stream_of",
    "teacher_of",
    "with_licence",
]

Texts = Annotated[
    list[Path], typer.Option("--text", help="UTF-8 text, plain, .xz or .gz; repeat it.")
]
TrainTexts = Annotated[
    list[Path] | None,
    typer.Option(
        "--text",
        help="UTF-8 text, plain, .xz or .gz; blank lines divide its documents. Repeat it.",
    ),
]
Corpora = Annotated[
    list[str] | None,
    typer.Option(
        "--corpus",
        help="Text by name through datasets, NAME[:CONFIG[:SPLIT]] as in "
        "wikimedia/wikipedia:20231101.en; rows are documents, the split is train. Repeat it.",
    ),
]
Column = Annotated[
    str | None,
    typer.Option("--corpus-column", help="Holds the text of a --corpus. Default: text."),
]
CacheFolder = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Folder that keeps tokenised text. Default: $FLEETFIT_CACHE, else "
        "~/.cache/fleetfit/tokens.",
    ),
]
LOSSES = "hidden-state loss, masked-LM loss"  # ends the provenance that evaluate writes
_SPECIAL = ("[MASK]", "[CLS]", "[SEP]", "[PAD]", "[UNK]")


def read_architecture(text: str, loaded: Checkpoint) -> Architecture:
    """``largest``, ``smallest`` or the architecture of a JSON file, without its head."""
    return member_of(text, loaded.config.space)


def teacher_of(path: Path, loaded: Checkpoint, *, fitted: bool = False) -> Checkpoint:
    """The supernet ``path``, whose source model teaches.

    Hidden states can be compared only where ``loaded`` has the same source and the residual stream
    the same order, else InputError; unless they are ``fitted``: then only the vocabulary must be
    the same.
    """
    from supernet import checkpoint

    teacher = checkpoint.load(path)
    if fitted:
        _check_vocabulary(path, teacher, loaded)
        return teacher
    same = teacher.config.source == loaded.config.source
    if not same or teacher.stream_order != loaded.stream_order:
        raise InputError(
            f"A teacher must be converted together with the supernet it teaches, but {path} comes "
            "from another conversion; convert it again, or set fitted_teacher in a recipe."
        )
    return teacher


def _check_vocabulary(path: Path, teacher: Checkpoint, loaded: Checkpoint) -> None:
    from supernet.checkpoint import load_tokenizer

    ours, theirs = (load_tokenizer(c.tokenizer_path).get_vocab() for c in (loaded, teacher))
    if ours != theirs:
        odd = min(ours.items() ^ theirs.items())[0]
        raise InputError(
            f"A teacher must have the supernet's vocabulary, but in {path} the token {odd!r} "
            "differs; convert a model with the same tokenizer."
        )


def stream_of(
    paths: list[Path], loaded: Checkpoint, *, limit: int | None = None, wikitext: bool = False
) -> TokenStream:
    """The tokens of files as one text, at most ``limit``; ``wikitext``: undo its escapes first."""
    from supernet.checkpoint import load_tokenizer
    from supernet.text import read_lines, read_tokens, restore_wikitext

    lines: Iterator[str] = chain.from_iterable(read_lines(path) for path in paths)
    if wikitext:
        lines = restore_wikitext(lines)
    return read_tokens(lines, load_tokenizer(loaded.tokenizer_path), limit=limit)


def documents_of(
    texts: list[Path] | None,
    corpora: list[str] | None,
    loaded: Checkpoint,
    *,
    column: str | None = None,
    cache: Path | None = None,
    limit: int | None = None,
    report: Callable[[int, int, str], None] | None = None,
) -> TokenStream:
    """The documents of files and public corpora, at most ``limit`` tokens, kept in ``cache``.

    Raises InputError where there is no text, and SurroundingsError where the network, the library
    or the cache fails.
    """
    from supernet.checkpoint import load_tokenizer
    from supernet.corpora import PublicCorpus, Source, TextFile
    from supernet.token_cache import TokenCache, cache_folder

    sources: list[Source] = [TextFile(path=path) for path in texts or []]
    sources += [PublicCorpus.parse(name, column=column or "text") for name in corpora or []]
    if not sources:
        raise InputError("A text must be given, but there is none; add --text or --corpus.")
    folder = cache_folder() if cache is None else cache
    tokens = TokenCache(folder, load_tokenizer(loaded.tokenizer_path))
    return tokens.stream(sources, limit=limit, progress=report)


def names_of(texts: Sequence[Path] | None, corpora: Sequence[str] | None) -> str:
    """What a supernet's record calls them: files and folders without the place where they are."""

    def name_of(corpus: str) -> str:
        folder, colon, rest = corpus.partition(":")
        place = Path(folder)
        return f"{place.resolve().name}{colon}{rest}" if place.exists() else corpus

    return ", ".join([*(path.name for path in texts or []), *map(name_of, corpora or [])])


def with_licence(licences: Mapping[str, str], what: str, licence: str) -> dict[str, str]:
    """``licences`` with one more for ``what``; what is known already stays beside it."""
    return joined_licences(licences, {what: licence})


def joined_licences(licences: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Both, as of a network and its teacher; each licence of a thing once."""
    found = dict(licences)
    for what, licence in more.items():
        known = found[what].split(" AND ") if what in found else []
        found[what] = " AND ".join(dict.fromkeys([*known, *licence.split(" AND ")]))
    return found


def special_ids(loaded: Checkpoint) -> dict[str, int]:
    """Ids of the tokens that masking must know; InputError where the tokenizer lacks one."""
    from supernet.checkpoint import load_tokenizer

    tokenizer = load_tokenizer(loaded.tokenizer_path)
    ids = {name: tokenizer.token_to_id(name) for name in _SPECIAL}
    missing = [name for name, value in ids.items() if value is None]
    if missing:
        raise InputError(f"A tokenizer must have {', '.join(_SPECIAL)}, but lacks {missing[0]}.")
    return ids
