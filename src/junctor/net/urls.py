"""URLs: the base addresses of HTTP servers, and what of a URL may be shown.

ValueError
+-- NotHTTP      not an absolute http or https URL with a host and a valid port
+-- NotABase     paths cannot be appended to it: it holds user information, a query or a fragment
"""

from urllib.parse import SplitResult, urlsplit


class NotHTTP(ValueError):
    """The text is not an absolute http or https URL with a host and a valid port."""


class NotABase(ValueError):
    """The URL holds user information, a query or a fragment."""


def split_base_url(url: str) -> SplitResult:
    """Split the URL of a server, to which paths will be appended. Raises NotHTTP or NotABase."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed only when it is read
    except ValueError as error:
        raise NotHTTP(str(error)) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotHTTP("the scheme must be http or https, followed by a host")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise NotABase("user information, query and fragment are not allowed")
    return parts


def redacted_url(url: str, *, with_path: bool = True) -> str:
    """The URL without user information, query and fragment, where people put keys; empty when it is no absolute URL.

    with_path: False to leave out the path too, where some services put keys.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if not parts.scheme or not parts.netloc:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path if with_path else ''}"
