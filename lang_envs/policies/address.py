"""Splits the address of a server into the part that may be shown and the secrets."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

HIDDEN = "***"
"""replaces a secret"""

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*://)(?:[^\s/?#]*@)?([^\s?#]*)\S*", re.IGNORECASE)
_SHORTEST = 6  # characters; a shorter secret ("EMPTY", "none") may be a word, so it is not replaced in replies


def without_secrets(text: str) -> str:
    """``text`` with each address cut to scheme, host, port and path, because user info and query may be secret."""
    return _ADDRESS.sub(r"\1\2", text)


class Address:
    """The address of a server and its secrets: the user info and the query of the address, and the API key.

    Attributes:
        url: the address without secrets and without a slash at its end; ``/v1`` is added if it has no path.
        query: the query that is sent; empty if there is none.
        authorization: the value of the header of that name, or None. If there is user info, it is sent in place of the
            key.

    Raises:
        ValueError: ``url`` is not the address of a server, or ``api_key`` holds a character that no header can carry.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        parts, key = _parts(url.strip()), (api_key or "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ValueError(
                "the API key (of api_key, or else of the environment variable OPENAI_API_KEY) holds a character that "
                "no header can carry: is there a line break or a typographic quote in it?"
            )
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/') or '/v1'}"
        self.query = quote(parts.query, safe="%/:?@!$&'()*+,;=")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        both = f"{user}:{password}" if user or password else ""
        basic = base64.b64encode(both.encode()).decode()
        self.authorization = f"Basic {basic}" if basic else f"Bearer {key}" if key else None
        values = [value for _, value in parse_qsl(parts.query)]
        secrets = [key, basic.rstrip("="), both, user, password, unquote(parts.query), *values]
        self._secrets = _pattern(secrets)
        self._in_replies = _pattern(secret for secret in secrets if len(secret) >= _SHORTEST)

    def redact(self, text: str) -> str:
        """A text of a server or a library, with ``***`` for each secret in it."""
        return self._secrets.sub(HIDDEN, text)

    def redact_reply(self, text: str) -> str:
        """A text of a model, with ``***`` for each secret of at least 6 characters; shorter ones may be words."""
        return self._in_replies.sub(HIDDEN, text)

    def __repr__(self) -> str:
        return f"Address({self.url!r})"


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not re.search(r"\s", url)
    except ValueError:  # for example, the port is not a number
        valid = False
    if not valid:
        shown = re.split(r"[?#]", url.rpartition("@")[2])[0]
        raise ValueError(f"expected the address of a server such as http://localhost:8000/v1, got {shown!r}")
    return parts


def _pattern(secrets: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the secrets in any spelling; the longest first."""
    ordered = sorted({secret for secret in secrets if secret}, key=lambda secret: (-len(secret), secret))
    return re.compile("|".join("".join(map(_spelled, secret)) for secret in ordered) or r"(?!)", re.IGNORECASE)


def _spelled(character: str) -> str:
    """Matches a character as it is, and as it is escaped in an address, in JSON (also JSON in JSON) and in HTML."""
    if character.isascii() and character.isalnum():
        return character
    code = ord(character)
    entity = rf"{re.escape(html.escape(character))}|&#0*{code};|&#x0*{code:x};"
    blank = r"|\+" if character == " " else ""
    return rf"(?:\\*{re.escape(character)}|\\+u{code:04x}|{re.escape(quote(character, safe=''))}|{entity}{blank})"
