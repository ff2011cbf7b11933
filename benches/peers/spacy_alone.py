"""spaCy as it runs where it is installed alone, on one thread."""

from __future__ import annotations

import os
import sys


def prepare() -> None:
    """To be called before spaCy is imported, in every process.

    spaCy imports torch where it finds it, hundreds of megabytes that it has no use for here; and a forced OpenBLAS kernel, which
    some machines set for old builds, would slow it.
    """
    sys.modules["torch"] = None
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", BLIS_NUM_THREADS="1")
    for forced in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(forced, None)
