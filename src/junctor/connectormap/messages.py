"""The messages between operator and gateway pods over HTTP: `POST /-/reload` and its answers.

Any pod with the gateway's label can answer, so the operator does not trust answers: it checks types and limits lengths and numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from junctor.connectormap.errors import InvalidMessage

_MAX_SEQUENCE: Final = 2**63
#: The highest sequence that is accepted from a pod. The next head has to have a higher one, and no map is published this often.
_MAX_ANSWERED_SEQUENCE: Final = 2**53


@dataclass(frozen=True, slots=True)
class ReloadSignal:
    """The operator's signal: a map of at least `sequence` is published. peers: the other pods of the gateway."""

    sequence: int
    peers: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The body of the request."""
        return {"sequence": self.sequence, "peers": list(self.peers)}

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read the body of the request. Raises InvalidMessage."""
        sequence = value.get("sequence") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(sequence, int) or isinstance(sequence, bool) or not 0 <= sequence < _MAX_SEQUENCE:
            raise InvalidMessage("sequence must be a whole number, 0 or more")
        peers = value.get("peers", [])
        if not isinstance(peers, list) or not all(isinstance(peer, str) for peer in peers):
            raise InvalidMessage("peers must be a list of names")
        return cls(sequence, tuple(peers))


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What a pod serves. rejected: the connectors that it will not call, reason by id. applied_at: RFC 3339, "" when it did not say."""

    sequence: int
    revision: str
    rejected: Mapping[str, str] = field(default_factory=dict)
    applied_at: str = ""

    def to_json(self) -> dict[str, Any]:
        """The body of the answer."""
        rejected = [{"id": connector_id, "reason": reason} for connector_id, reason in self.rejected.items()]
        return {"sequence": self.sequence, "revision": self.revision, "appliedAt": self.applied_at, "rejected": rejected}

    @classmethod
    def parse(cls, value: object, asked: int) -> Self:
        """Read a pod's answer and limit its size. Raises InvalidMessage.

        asked: the sequence of the signal.
        """
        sequence = _answered_sequence(value, asked)
        if sequence is None or not isinstance(value, Mapping):
            raise InvalidMessage("not the answer of a gateway")
        return cls(sequence, str(value.get("revision", ""))[:100], _rejected(value.get("rejected")), str(value.get("appliedAt", ""))[:100])


@dataclass(frozen=True, slots=True)
class ReloadRefusal:
    """Why a pod did not load the map, and what it serves instead. sequence, revision: None and "" when it serves nothing."""

    error: str
    sequence: int | None = None
    revision: str = ""

    def to_json(self) -> dict[str, Any]:
        """The body of the answer."""
        serving = None if self.sequence is None else {"sequence": self.sequence, "revision": self.revision}
        return {"error": self.error, "serving": serving}

    @classmethod
    def parse(cls, value: object, asked: int) -> Self:
        """Read a pod's answer and limit its size; malformed fields count as missing. asked: the sequence of the signal."""
        if not isinstance(value, Mapping):
            return cls("")
        serving = value.get("serving")
        revision = str(serving.get("revision", ""))[:100] if isinstance(serving, Mapping) else ""
        return cls(str(value.get("error", ""))[:500], _answered_sequence(serving, asked), revision)


def _answered_sequence(value: object, asked: int) -> int | None:
    """The sequence in a pod's answer; None if it is missing or too high to be true, because the next head has to have a higher one."""
    sequence = value.get("sequence") if isinstance(value, Mapping) else None
    if not isinstance(sequence, int) or isinstance(sequence, bool) or not 0 <= sequence <= max(asked, _MAX_ANSWERED_SEQUENCE):
        return None
    return sequence


def _rejected(items: object) -> dict[str, str]:
    """The connectors that a pod will not call, reason by id. Malformed items are skipped."""
    if not isinstance(items, Sequence) or isinstance(items, str):
        return {}
    return {str(item["id"])[:300]: str(item.get("reason", ""))[:300] for item in items if isinstance(item, Mapping) and "id" in item}
