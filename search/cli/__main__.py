"""``python -m search.cli`` is ``fleetfit``."""

from __future__ import annotations

import sys

from search.cli import main

sys.exit(main())
