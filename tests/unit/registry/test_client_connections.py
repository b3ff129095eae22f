"""Connections of the registry client: TLS, proxies, redirects, cookies and credentials."""

import socket
from pathlib import Path

import pytest

from junctor import __version__
from junctor.net.tls import ssl_context
from junctor.registry.client import RegistryClient
from junctor.registry.errors import NotARegistry, RegistryError, RegistryTLSFailed, RegistryUnauthorized, RegistryUnreachable
from tests.support.fake_registry import FakeRegistry, Manner, Status
from tests.support.mcp_servers import self_signed
from tests.support.ports import free_port
from tests.unit.registry.asking import PATIENCE, ROWS, SECRET, ask, times

# --- connections


async def test_nothing_listens() -> None:
    with pytest.raises(RegistryUnreachable, match="nothing accepts connections at"):
        await ask(f"http://127.0.0.1:{free_port()}")


async def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(RegistryUnreachable, match=r"the host name of http://registry\.invalid/v0\.1/servers does not resolve"):
        await ask("http://registry.invalid")


async def test_a_private_authority_is_trusted_when_it_is_given(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with FakeRegistry(ROWS, tls=(certificate, key)) as registry:
        page = await ask(registry.url, tls=ssl_context(certificate.read_text()))
        assert len(page.records) == 3
        with pytest.raises(RegistryTLSFailed, match=r"certificate of .* is not valid: self-signed certificate"):
            await ask(registry.url, retries=3)
        assert len(registry.requests) == 1


async def test_a_handshake_that_hangs_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        async with RegistryClient(url, timeout=PATIENCE, retries=0) as client:
            with pytest.raises(RegistryUnreachable, match="did not accept a connection in time") as caught:
                await client.page()
    assert caught.value.transient


async def test_https_where_nobody_speaks_it() -> None:
    with FakeRegistry(ROWS) as registry, pytest.raises(RegistryTLSFailed, match="no TLS connection to https://"):
        await ask(registry.url.replace("http://", "https://"))


async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with FakeRegistry(ROWS) as registry:
        assert len((await ask(registry.url)).records) == 3


# --- redirects, cookies, credentials


@pytest.mark.parametrize("location", ["/elsewhere/v0.1/servers?version=latest", "../../elsewhere/v0.1/servers"])
async def test_a_redirect_within_the_registry_is_followed(location: str) -> None:
    with FakeRegistry(ROWS, prefix="/elsewhere") as registry:
        registry.manner = Manner(key=SECRET)
        registry.fault = lambda asked: None if asked.path.startswith("/elsewhere") else Status(307, headers={"location": location})
        base = registry.url.removesuffix("/elsewhere")
        page = await ask(base, headers={"Authorization": f"Bearer {SECRET}"})
        assert len(page.records) == 3


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    "form", ["http://127.0.0.1:{other}/v0.1/servers?token=x", "https://127.0.0.1:{port}/", "//user:pass@127.0.0.1:{port}/"]
)
async def test_a_redirect_elsewhere_is_refused(form: str, status: int) -> None:
    with FakeRegistry(ROWS) as registry, FakeRegistry(ROWS) as other:
        location = form.format(port=registry.url.split(":")[-1], other=other.url.split(":")[-1])
        registry.fault = lambda _: Status(status, headers={"location": location})
        with pytest.raises(NotARegistry, match="another origin, where requests are not sent") as caught:
            await ask(registry.url, headers={"Authorization": f"Bearer {SECRET}"})
        assert (len(registry.requests), len(other.requests)) == (1, 0)
    assert "token" not in str(caught.value)
    assert "pass@" not in str(caught.value)


async def test_redirects_in_a_circle_end() -> None:
    with FakeRegistry() as registry:
        registry.fault = lambda _: Status(302, headers={"location": "/v0.1/servers"})
        with pytest.raises(NotARegistry, match="redirects more than 5 times"):
            await ask(registry.url)
        assert len(registry.requests) == 6


async def test_no_cookie_is_kept() -> None:
    with FakeRegistry(ROWS) as registry:
        registry.fault = times(1, Status(503, headers={"set-cookie": "session=1; Path=/"}))
        await ask(registry.url, retries=1)
        assert "cookie" not in registry.requests[1].headers


async def test_every_request_has_the_headers_of_its_owner() -> None:
    with FakeRegistry(ROWS) as registry:
        registry.manner = Manner(key=SECRET)
        with pytest.raises(RegistryUnauthorized):
            await ask(registry.url)
        await ask(registry.url, headers={"Authorization": f"Bearer {SECRET}", "X-Team": "a"})
        sent = registry.requests[1].headers
    assert (sent["authorization"], sent["x-team"], sent["user-agent"]) == (f"Bearer {SECRET}", "a", f"junctor/{__version__}")


@pytest.mark.parametrize("status", [200, 401, 404, 500])
async def test_a_credential_that_is_echoed_stays_out_of_messages(status: int) -> None:
    with FakeRegistry() as registry:
        registry.fault = lambda _: Status(status, f"you sent Bearer {SECRET} or {SECRET}".encode(), "text/plain")
        with pytest.raises(RegistryError) as caught:
            await ask(registry.url, headers={"Authorization": f"Bearer {SECRET}"})
    assert caught.value.excerpt == "you sent *** or ***"
    assert "***" not in str(caught.value)


async def test_an_excerpt_holds_100_printable_characters_at_most() -> None:
    with FakeRegistry() as registry:
        registry.fault = lambda _: Status(404, "\x1b[31m\n\tü\u202e".encode() + b"x" * 10_000, "text/plain")
        with pytest.raises(NotARegistry) as caught:
            await ask(registry.url)
    assert caught.value.excerpt == "[31m ü " + "x" * 93
    assert "x" * 10 not in str(caught.value)
