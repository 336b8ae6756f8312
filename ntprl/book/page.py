"""What a page shows: rich objects where they can be shown, and short statements as HTML with p_cot and 2^-d set."""

import re
from html import escape

SUBSCRIPT = re.compile(r"\b([pxynkKds])_(\w+|\{[^}]*\})")
POWER = re.compile(r"(\b\d+|\b[a-zA-Z]|\))\^(-?\w+|\{[^}]*\}|\([^)]*\))")
ETA = re.compile(r"\beta\b")


def as_html(text: str) -> str:
    """Escaped, with indices, powers and letters set: "p_cot" -> <i>p</i><sub>cot</sub>, "2^-d" -> 2<sup>-d</sup>."""
    found = escape(text, quote=False)
    found = SUBSCRIPT.sub(lambda match: f"<i>{match[1]}</i><sub>{match[2].strip('{}')}</sub>", found)
    found = POWER.sub(lambda match: f"{match[1]}<sup>{match[2].strip('{}()').replace('-', '−')}</sup>", found)
    found = ETA.sub("η", found)
    return found.replace("-&gt;", "→").replace("&lt;=", "≤").replace("&gt;=", "≥")


def display(shown: object) -> None:
    """In a notebook by its HTML, elsewhere as text; IPython is no part of the core."""
    try:
        from IPython.display import display as ipython_display
    except ImportError:
        print(repr(shown))
    else:
        ipython_display(shown)
