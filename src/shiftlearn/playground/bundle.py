"""One HTML file from the page's HTML, CSS and JavaScript, with a policy that lets nothing in from outside."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

__all__ = ["bundle"]

_FOLDER = Path(__file__).parent
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w.]+)";\n', re.MULTILINE)


def bundle(data: dict[str, Any]) -> str:
    """The page, which finds ``data`` (JSON) in the element ``#data``."""
    style, script = _read("style.css"), _script("main.js", set())
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    values = json.dumps(data).replace("<", r"\u003c")  # no text in it may end the element
    parts = {
        "<!-- policy -->": f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<link rel="stylesheet" href="style.css">': f"<style>{style}</style>",
        "<!-- data -->": f'<script type="application/json" id="data">{values}</script>',
        '<script type="module" src="main.js"></script>': f'<script type="module">{script}</script>',
    }
    page = _read("index.html")
    for place, part in parts.items():
        before, after = page.split(place)
        page = before + part + after
    return page


def _script(name: str, seen: set[str]) -> str:
    """A module after all that it imports, as parts of one module: what is declared at their top has different names."""
    if name in seen:
        return ""
    seen.add(name)
    text = _read(name)
    imported = "".join(_script(other, seen) for other in _IMPORT.findall(text))
    return imported + re.sub(r"^export ", "", _IMPORT.sub("", text), flags=re.MULTILINE)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
