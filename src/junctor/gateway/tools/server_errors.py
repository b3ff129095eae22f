"""Why a request cannot use an MCP server.

ListingFailed                   no list of tools; `status` as HTTP would say it
+-- EntryUnusable               the connector's entry or its credential cannot be used; nothing was sent
RequestRefused                  what the request brings for the server is refused; `field` of the tool, `code` of the error
ListingRefused (ApiError)       424: the answer to a request one of whose servers gave no list of tools
"""

from http import HTTPStatus

from junctor.gateway.web.errors import ApiError


class ListingFailed(Exception):
    """The tools of a server could not be listed; the message never contains credentials.

    status: the HTTP status that the server answered, 504 for a time-out, 502 otherwise.
    """

    def __init__(self, message: str, status: int = HTTPStatus.BAD_GATEWAY) -> None:
        super().__init__(message)
        self.status = status


class EntryUnusable(ListingFailed):
    """What the map, or the URL of a request, says about a server cannot be used.

    Not the caller's fault, hence 424. A 503 would make clients try again, although only a corrected Secret or resource helps.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, HTTPStatus.FAILED_DEPENDENCY)


class RequestRefused(Exception):
    """The connector does not accept what a request brings for it; the message never contains the value.

    field: of the request's tool, such as headers. code: as OpenAI's errors name it.
    """

    def __init__(self, message: str, *, field: str, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class ListingRefused(ApiError):
    """The tools of a server could not be listed, so nothing was generated."""

    status = HTTPStatus.FAILED_DEPENDENCY
    code = "http_error"

    def __init__(self, label: str, reason: ListingFailed) -> None:
        super().__init__(
            f"Error retrieving tool list from MCP server: '{label}'. Http status code: {reason.status}. {reason}"[:1000], param="tools"
        )

    @property
    def type(self) -> str:
        """OpenAI's type for it."""
        return "external_connector_error"
