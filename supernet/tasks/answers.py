"""SQuAD's exact match and F1 of answers as text.

The official definition (Rajpurkar et al. 2016, section 6.1): lower case, without punctuation and
the articles a, an and the, white space as one blank; the maximum over the answers of people.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

__all__ = ["answer_f1", "exact_match", "normalised"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(answer: str) -> str:
    """``answer`` as it is compared; only ASCII punctuation goes."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(found: str, answers: Sequence[str]) -> float:
    """1 where ``found`` equals one of ``answers``, else 0."""
    return float(any(normalised(found) == normalised(answer) for answer in answers))


def answer_f1(found: str, answers: Sequence[str]) -> float:
    """F1 of the bags of words of ``found`` and the nearest of ``answers``."""
    return max(_overlap(normalised(found).split(), normalised(a).split()) for a in answers)


def _overlap(found: list[str], wanted: list[str]) -> float:
    common = (Counter(found) & Counter(wanted)).total()
    if not common:
        return 0.0
    precision, recall = common / len(found), common / len(wanted)
    return 2 * precision * recall / (precision + recall)
