"""Keeps the clients of a pool in a bounded space that callers and connectors share fairly."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar


class Stored(Protocol):
    """What the store needs of a client."""

    is_accepted: bool

    @property
    def is_busy(self) -> bool:
        """Whether something runs."""
        ...


class Key(NamedTuple):
    """What makes two requests share a client. connector: its id. digest: of its entry. identity: of what is sent."""

    connector: str
    digest: str
    identity: str


C = TypeVar("C", bound=Stored)


class ClientStore(Generic[C]):
    """Clients by key, in the order of their use.

    A caller who brings credentials has the clients for them; those with a connector's own credential are nobody's. No caller has more than
    half of the space, so that made-up credentials never evict what others use. When the space is full, the caller who has most loses a
    client, of the connector that has most of them; one that its server never accepted goes first, then the one that was used longest ago.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._share = max(most // 2, 1)
        self._clients: OrderedDict[Key, tuple[str | None, C]] = OrderedDict()
        self._counts: Counter[str | None] = Counter()

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[tuple[Key, C]]:
        return iter([(key, client) for key, (_, client) in self._clients.items()])

    def use(self, key: Key) -> C | None:
        """Return a client as the one that was used last."""
        found = self._clients.get(key)
        if found is None:
            return None
        self._clients.move_to_end(key)
        return found[1]

    def add(self, key: Key, caller: str | None, client: C) -> list[C]:
        """Add a client; the clients that had to make room. caller: whose credential it sends, None for the connector's own."""
        self._clients[key] = (caller, client)
        self._counts[caller] += 1
        evicted = []
        if caller is not None and self._counts[caller] > self._share:
            evicted.append(self._evict(caller))
        if len(self._clients) > self._most:
            evicted.append(self._evict(self._counts.most_common(1)[0][0]))
        return evicted

    def pop(self, key: Key) -> C | None:
        """Remove a client."""
        found = self._clients.pop(key, None)
        if found is None:
            return None
        caller, client = found
        self._counts[caller] -= 1
        if not self._counts[caller]:
            del self._counts[caller]
        return client

    def pop_all(self, matches: Callable[[Key], bool]) -> list[C]:
        """Remove the clients whose key matches."""
        return [client for key in list(self._clients) if matches(key) and (client := self.pop(key)) is not None]

    def _evict(self, caller: str | None) -> C:
        newest = next(reversed(self._clients))
        its = [(key, client) for key, (owner, client) in self._clients.items() if owner == caller and key != newest]
        its = its or [(newest, self._clients[newest][1])]
        most = Counter(key.connector for key, _ in its).most_common(1)[0][0]
        of_connector = [(key, client) for key, client in its if key.connector == most] if caller is not None else its
        key, client = min(of_connector, key=lambda item: (item[1].is_busy, item[1].is_accepted))
        self.pop(key)
        return client
