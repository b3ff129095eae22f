"""Why a server cannot be prepared for a request: known before anything is sent, each naming the rule.

McpRefused                      what the request or the entry says does not do
+-- AuthorizationRequired       callerAuthorization is Require and the request brings none
+-- AuthorizationForbidden      callerAuthorization is Forbid and the request brings one
+-- HeaderRefused               a header of the request that it may not set, or that is no header
+-- CredentialUnusable          a credential of the entry is missing or cannot be a header value
+-- EntryUnusable               the entry's URL, CA bundle or transport cannot be used
"""


class McpRefused(Exception):
    """A server that this request cannot use as it is written; the message never holds a value of a header or credential."""


class AuthorizationRequired(McpRefused):
    """The connector takes only requests that bring their own authorization."""


class AuthorizationForbidden(McpRefused):
    """The connector takes no authorization from requests."""


class HeaderRefused(McpRefused):
    """A header that a request may not set."""


class CredentialUnusable(McpRefused):
    """A credential that the entry names is missing or not fit for a header."""


class EntryUnusable(McpRefused):
    """What an entry or a request says about the server cannot be used."""
