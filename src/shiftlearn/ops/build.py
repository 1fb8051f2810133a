"""What the build of the package says about its C++ kernels."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_ERROR = "_build_error.txt"  # written by cpu/build.cmake in place of the kernels


def why_no_kernels() -> str | None:
    """None if the C++ kernels can be imported, else why not: the end of a sentence that begins with "since"."""
    try:
        from . import _kernels  # noqa: F401
    except ImportError as error:
        if importlib.util.find_spec("._kernels", __package__) is not None:
            return f"they could not be loaded: {error}"
        for folder in sys.modules[__package__].__path__:  # of an editable install: two
            if (stored := Path(folder, _ERROR)).is_file():
                text = stored.read_text(encoding="utf-8", errors="replace")
                return f"they could not be built: {text.strip().rstrip('.')}"
        return "they have not been built (install the package: pip install .)"
    return None
