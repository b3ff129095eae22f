"""What of an address may be shown: people put keys into the rest."""

from urllib.parse import urlsplit


def shown_url(url: str) -> str:
    """The URL without userinfo, query and fragment; empty when it is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if not parts.scheme or not parts.netloc:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
