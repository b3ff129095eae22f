"""What requests for connectors find when the served map cannot give it."""

from datetime import UTC, datetime
from typing import cast

import pytest

from junctor.api.connector_map import ConnectorMap, Entry
from junctor.gateway.callers.ports import ANONYMOUS
from junctor.gateway.errors import NotServing
from junctor.gateway.responding import Responding
from junctor.gateway.responses.refusals import ListingRefused
from junctor.gateway.served_map import Connector, PreparedMap, ServedMap
from tests.unit.gateway.maps import bearer, content

KEY = "3f7a000000000000.1b2c000000000000"


async def test_before_there_is_a_map_no_connector_is_called_unknown() -> None:
    responding = Responding(lambda: None, ())
    with pytest.raises(NotServing):
        await responding.tools(ANONYMOUS, "a")
    await responding.close()


async def test_a_credential_that_is_no_header_is_the_connectors_fault() -> None:
    connector = Connector.of(Entry.of(content("a", auth=bearer(KEY))))
    prepared = PreparedMap(cast(ConnectorMap, None), {}, {"a": connector}, ("a",), frozenset())
    served = ServedMap(prepared, {KEY: b"one\ntwo"}, datetime.now(UTC), frozenset(), ())
    responding = Responding(lambda: served, ())
    with pytest.raises(ListingRefused, match="a credential is empty or holds more than one line"):
        await responding.tools(ANONYMOUS, "a")
    await responding.close()
