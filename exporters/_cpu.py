"""What a processor can do with small integers."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Literal

__all__ = ["weight_bits"]

_CPUINFO = Path("/proc/cpuinfo")


def weight_bits(cpuinfo: Path = _CPUINFO, *, machine: str = "") -> Literal[7, 8]:
    """Bits of an int8 weight that products of uint8 and int8 can take without overflow.

    x86-64 without VNNI adds two products of uint8 and int8 in 16 bits (VPMADDUBSW), which holds
    2 x 255 x 64 but not 2 x 255 x 127; so 7 there. 8 elsewhere, and 7 where it is not known.
    """
    if (machine or platform.machine()).lower() not in ("x86_64", "amd64"):
        return 8
    try:
        flags = cpuinfo.read_text(errors="replace")
    except OSError:
        return 7
    return 8 if "avx512_vnni" in flags or "avx_vnni" in flags else 7
