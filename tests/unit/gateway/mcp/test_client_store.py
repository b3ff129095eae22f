"""Who gives way when there are too many clients."""

from dataclasses import dataclass

from junctor.gateway.mcp.client_store import ClientStore, Key


@dataclass
class Client:
    name: str
    is_accepted: bool = True
    is_busy: bool = False


def store(most: int = 10) -> ClientStore[Client]:
    return ClientStore(most)


def add(clients: ClientStore[Client], name: str, caller: str | None = None, connector: str = "c", **fields: bool) -> list[str]:
    return [client.name for client in clients.add(Key(connector, "", name), caller, Client(name, **fields))]


def names(clients: ClientStore[Client]) -> list[str]:
    return [client.name for _, client in clients]


def test_the_client_that_was_used_longest_ago_gives_way() -> None:
    clients = store(3)
    for name in ("a", "b", "c"):
        assert add(clients, name, connector=name) == []
    assert clients.use(Key("a", "", "a")) is not None
    assert add(clients, "d", connector="d") == ["b"]
    assert names(clients) == ["c", "a", "d"]


def test_no_caller_has_more_than_half() -> None:
    clients = store()
    add(clients, "mine", "me")
    evicted = [name for number in range(50) for name in add(clients, f"x{number}", "attacker", is_accepted=False)]
    assert len(evicted) == 45
    assert "mine" in names(clients)
    assert len(clients) == 6


def test_the_caller_with_most_gives_way_when_the_space_is_full() -> None:
    clients = store()
    for number in range(5):
        add(clients, f"x{number}", "attacker")
    for number in range(4):
        add(clients, f"y{number}", "other")
    add(clients, "own")
    assert add(clients, "own2") == ["x0"]
    assert add(clients, "own3") == ["x1"]


def test_of_one_caller_the_connector_with_most_gives_way_and_first_what_was_never_accepted() -> None:
    clients = store()
    add(clients, "other", "me", "b")
    add(clients, "proven", "me", "a")
    add(clients, "made-up", "me", "a", is_accepted=False)
    add(clients, "busy", "me", "a", is_accepted=False, is_busy=True)
    add(clients, "fourth", "me", "a")
    assert add(clients, "fifth", "me", "a", is_accepted=False) == ["made-up"]
    assert add(clients, "sixth", "me", "a", is_accepted=False) == ["fifth"]
    assert "other" in names(clients)


def test_clients_of_changed_entries_leave() -> None:
    clients = store()
    add(clients, "a", "me", "a")
    add(clients, "b", "me", "b")
    assert [client.name for client in clients.pop_all(lambda key: key.connector == "a")] == ["a"]
    assert clients.pop(Key("a", "", "a")) is None
    assert names(clients) == ["b"]


def test_one_place_is_enough() -> None:
    clients = store(1)
    assert add(clients, "a", "me") == []
    assert add(clients, "b", "me") == ["a"]
    assert add(clients, "c") == ["b"]
