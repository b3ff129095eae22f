"""Made-up tokens, as many as a gateway takes: neither its other callers nor the API server notice."""

import asyncio
import itertools
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.contract.test_callers import running
from tests.support.attacks import bystander, memory
from tests.support.mcp_servers import serving
from tests.support.token_reviews import ApiServer, kubeconfig_of, made_up_token

SECONDS = 3.0
CONNECTIONS = 300
#: Reviews of unknown tokens in any second.
REVIEWS = 50
#: The flood's address; the other callers come from 127.0.0.1.
FLOODER = "127.0.0.2"


async def flood(url: str, tokens: "itertools.cycle[str]", seen: Counter[int], until: float) -> None:
    """One connection that sends one made-up token after the other."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=(FLOODER, 0))
    try:
        while time.monotonic() < until:
            writer.write(f"GET /v1/connectors HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {next(tokens)}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            seen[int(head.split()[1])] += 1
            assert head.split()[1] == "401" or "retry-after: " in head
            await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
    finally:
        writer.close()


async def use_new_tokens(url: str, server: ApiServer, until: float) -> list[int]:
    """What applications get that begin during the flood, each with a token that the gateway has not seen."""
    seen = []
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        while time.monotonic() < until:
            answer = await client.get(f"{url}/connectors", headers={"Authorization": f"Bearer {server.issue()}"})
            seen.append(answer.status_code)
            await asyncio.sleep(0.1)
    return seen


@pytest.mark.parametrize("form", ["tokens for the gateway", "texts that are no tokens for it"])
async def test_made_up_tokens_cost_other_callers_and_the_api_server_nothing(tmp_path: Path, form: str) -> None:
    server = ApiServer()
    well_formed = form.startswith("tokens")
    texts = [made_up_token(f"nobody-{number}") if well_formed else f"nonsense.{number}.x" for number in range(20_000)]
    kubeconfig = tmp_path / "kubeconfig"
    async with serving(server.app()) as api:
        kubeconfig.write_text(kubeconfig_of(api))
        with running(tmp_path, "--callers", "kubernetes", kubeconfig=kubeconfig) as (url, process):
            before, known, seen = memory(process).now, {"Authorization": f"Bearer {server.issue()}"}, Counter[int]()
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                assert (await client.get(f"{url}/connectors", headers=known)).status_code == 200
            with bystander(f"{url}/connectors", every=0.01, headers=known) as others:
                until = time.monotonic() + SECONDS
                tokens = itertools.cycle(texts)
                floods = asyncio.gather(*(flood(url, tokens, seen, until) for _ in range(CONNECTIONS)))
                new = await use_new_tokens(url, server, until)
                await floods
            assert seen.keys() <= {401, 503}, process.tail()
            assert sum(seen.values()) > 1000, "not much of a flood"
            assert others.failures == []
            assert set(new) == {200}
            assert server.most_in_a_second <= (REVIEWS if well_formed else 0)
            assert memory(process).peak < before + 40
