"""The errors of connector maps and of the messages between operator and gateway.

ConnectorMapError
+-- MapUnreadable       an object is not what its digest or schema says; keep the old map
|   +-- UnknownSchema   the head has a version that this reader does not know
|   +-- ForgedMap       the head is not signed with the map's key
+-- MapMoved            a shard no longer exists: the map was replaced while it was read; start again at the head
ValueError
+-- InvalidEntry        a part of an entry has a form that this version does not know
+-- InvalidMessage      a signal or an answer is malformed; the message says what is wrong
"""


class ConnectorMapError(Exception):
    """Anything that keeps a map from being read."""


class MapUnreadable(ConnectorMapError):
    """An object of the map does not have the form it must have; the message names the object."""


class UnknownSchema(MapUnreadable):
    """The head has a schema version that this reader does not know."""


class ForgedMap(MapUnreadable):
    """The head is not signed with the map's key: somebody other than the operator wrote it."""


class MapMoved(ConnectorMapError):
    """A shard that the head names does not exist, or no longer does."""


class InvalidEntry(ValueError):
    """A part of an entry has a form that this version does not know; the message names the part."""


class InvalidMessage(ValueError):
    """A message between operator and gateway is malformed."""


def describe_error(error: Exception) -> str:
    """Type and text of an error, bounded."""
    return f"{type(error).__name__}: {error}"[:200]
