"""The names that this module had before its parts became modules of their own, for callers that still import them from here."""

from collections.abc import Mapping
from typing import Any

from junctor.connectormap.canonical import canonical, sha256
from junctor.connectormap.credentials import (
    CREDENTIAL_OBJECTS,
    CREDENTIALS_LIMIT,
    credential_object,
    credential_object_name,
    credential_version,
    reference_hash,
)
from junctor.connectormap.entry import ENTRY_LIMIT, Entry
from junctor.connectormap.errors import ConnectorMapError, MapMoved, MapUnreadable, UnknownSchema
from junctor.connectormap.features import ACCESS_FEATURE, FEATURES, REGISTRY_FEATURE, unknown_among
from junctor.connectormap.head import HEAD_KEY, SCHEMA, SHARD_KEY, Head, ShardRef, installation_of
from junctor.connectormap.ids import registry_entry_id
from junctor.connectormap.layout import SHARD_LIMIT, Layout, Shard, bucket_of
from junctor.connectormap.reader import READ_ATTEMPTS, ConnectorMap, parse_shard, read_layout, read_map
from junctor.connectormap.revision import FEW_CHANGES, digest_lines, replaced_digests, revision_of, revision_of_digests

__all__ = [
    "ACCESS_FEATURE",
    "CREDENTIALS_LIMIT",
    "CREDENTIAL_OBJECTS",
    "ENTRY_LIMIT",
    "FEATURES",
    "FEW_CHANGES",
    "HEAD_KEY",
    "READ_ATTEMPTS",
    "REGISTRY_FEATURE",
    "SCHEMA",
    "SHARD_KEY",
    "SHARD_LIMIT",
    "ConnectorMap",
    "ConnectorMapError",
    "Entry",
    "Head",
    "Layout",
    "MapMoved",
    "MapUnreadable",
    "Shard",
    "ShardRef",
    "UnknownSchema",
    "bucket_of",
    "canonical",
    "credential_object",
    "credential_object_name",
    "credential_version",
    "credentials_of",
    "digest_lines",
    "installation_of",
    "parse_shard",
    "read_layout",
    "read_map",
    "reference_hash",
    "registry_entry_id",
    "replaced_digests",
    "revision_of",
    "revision_of_digests",
    "sha256",
    "unknown_features",
]


def credentials_of(content: Mapping[str, Any]) -> list[str]:
    """The credentials that an entry names, headers first."""
    found = []
    for header in content.get("headers", ()):
        sources = header.get("parts", (header,))
        found += [source["credential"] for source in sources if isinstance(source, dict) and "credential" in source]
    bearer = content.get("auth", {}).get("bearer")
    return [*found, bearer["credential"]] if bearer else found


def unknown_features(content: Mapping[str, Any]) -> list[str]:
    """The features that an entry requires and this version does not know: such an entry is listed, never called."""
    return unknown_among(content.get("requires", []))
