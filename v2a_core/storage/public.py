"""URIs as they may be written down: without passwords and signatures.

A URI of a catalog can open a file by itself: `https://user:password@host/...`, or a link that somebody signed. It is
used as it is, and never stored or printed so.
"""

from __future__ import annotations

import re

_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*://"
# A colon that begins no port and no chained URL (`zip://a.zip::s3://...`); passwords hold unescaped `/` and `@`, too.
_PASSWORD = re.compile(rf"({_SCHEME})[^/?#@:\s'\"]*:(?!:|\d*(?:[/?#\s'\"]|$))[^\s'\"]*?@(?:[^/?#\s'\"@]*@)*")
# Elsewhere what stands alone before an `@` is a login, or a container: `abfs://container@account/...`.
_USER = re.compile(r"(https?://)[^/?#\s'\"]*@", re.IGNORECASE)
_QUERY_OF_URI = re.compile(r"\?[^#]*")
_QUERY_IN_TEXT = re.compile(r"\?[^\s'\"<>#]*")
_AFTER_A_URI = ".,:;)]}"  # of the sentence around it

# Names of parameters: whole ones, starts (AWS, Google Cloud), and what many services call theirs.
_NAMES = frozenset({"sig", "key", "policy", "expires", "se", "sp", "sv", "sr", "hmac", "jwt", "pwd", "hdnea", "hdnts"})
_STARTS = ("x-amz-", "x-goog-", "x-oss-")
_PARTS = ("token", "signature", "secret", "passw", "auth", "credential", "apikey", "accesskey", "keypair", "session")


def public(uri: str) -> str:
    """A URI without user and password, and without a query that holds a credential."""
    if "://" not in uri:
        return uri  # a path: millions of them are asked for
    uri = _USER.sub(r"\1", _PASSWORD.sub(r"\1", uri))
    if not uri.lower().startswith(("http://", "https://")) or "?" not in uri.partition("#")[0]:
        return uri  # elsewhere a `?` is a letter of a name
    return _QUERY_OF_URI.sub(lambda found: "" if _is_signed(found.group()) else found.group(), uri, count=1)


def public_text(text: str) -> str:
    """A message with such URIs in it, wherever they stand, made public."""
    if "@" in text:
        text = _USER.sub(r"\1", _PASSWORD.sub(r"\1", text))
    return _QUERY_IN_TEXT.sub(_unsigned, text) if "?" in text else text


def has_password(uri: str) -> bool:
    """Whether a URI holds a password."""
    return _PASSWORD.match(uri) is not None


def _unsigned(found: re.Match[str]) -> str:
    query = found.group()
    if not _is_signed(query):
        return query
    return query[len(query.rstrip(_AFTER_A_URI)) :]


def _is_signed(query: str) -> bool:
    names = [part.partition("=")[0].lower() for part in query.removeprefix("?").split("&") if "=" in part]
    return any(_is_credential(name) for name in names)


def _is_credential(name: str) -> bool:
    plain = re.sub(r"[^a-z]", "", name)
    return name in _NAMES or name.startswith(_STARTS) or any(part in plain for part in _PARTS)
