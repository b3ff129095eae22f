"""What an entry may require of its readers."""

from typing import Final

#: What an entry with `access` requires: a reader that does not know it would let everybody use the connector.
ACCESS_FEATURE: Final = "access/1"
#: What the entries of a registry require: a discovered one inherits from its registry's entry, and its address is checked at each connect.
REGISTRY_FEATURE: Final = "registry/1"
#: Features that this version's readers know, and its writer may use. An entry that requires another one is listed, never called.
FEATURES: Final = frozenset({"mcp/1", ACCESS_FEATURE, REGISTRY_FEATURE})


def unknown_among(required: object) -> list[str]:
    """The required features that this version does not know. What is no list is not understood, so it counts as one such feature."""
    if not isinstance(required, list):
        return [str(required)]
    return sorted(str(feature) for feature in required if feature not in FEATURES)
