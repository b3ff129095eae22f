"""Who may call a real gateway process: the openai client with API keys, and tokens of service accounts on a real API server."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from junctor.gateway.auth import open_callers
from junctor.gateway.auth.key_file import entry_of
from tests.cluster.api import Api
from tests.cluster.controlplane import ControlPlane
from tests.cluster.processes import Process, ProcessFailed, gateway, junctor
from tests.support.mcp_servers import serving
from tests.support.model_server import ModelServer
from tests.support.ports import free_port
from tests.unit.gateway.maps import MAP, content, head_of, layout_of

KEY = "test-key-that-goes-nowhere"


@contextmanager
def running(
    directory: Path, *arguments: str | Path, kubeconfig: Path | None = None, server: str = "https://a.example.com/mcp"
) -> Iterator[tuple[str, Process]]:
    """A gateway that serves the connector `a` of an MCP server: the URL of its API, and its process."""
    layout = layout_of(content("a", url=server))
    maps = {MAP: {"head.json": head_of(layout, 1).to_text()}} | {s.ref.name: {"connectors.json": s.text} for s in layout.shards.values()}
    documents = [json.dumps({"kind": "ConfigMap", "metadata": {"name": name}, "data": data}) for name, data in maps.items()]
    (directory / "map.yaml").write_text("\n---\n".join(documents))
    port, management = free_port(), free_port()
    options = ("--port", str(port), "--management-port", str(management))
    with gateway(f"file:{directory}/map.yaml", *options, *arguments, kubeconfig=kubeconfig, log_file=directory / "log") as process:
        process.wait_until_ready(f"http://127.0.0.1:{management}/-/readyz")
        yield f"http://127.0.0.1:{port}/v1", process


@contextmanager
def client_of(url: str, key: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=url, api_key=key, max_retries=0) as client:
        yield client


def connectors(url: str, key: str | None) -> httpx.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx.get(f"{url}/connectors", headers=headers, trust_env=False, timeout=60)


# --- API keys -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys.yaml"
    file.write_text(entry_of(KEY, "alice", ("team-a",)))
    return file


def test_the_right_key_is_let_in_and_goes_nowhere(tmp_path: Path, key_file: Path) -> None:
    with ModelServer() as model, running(tmp_path, "--callers", f"apikeys:{key_file}", "--upstream", model.url) as (url, process):
        with client_of(url, KEY) as client:
            assert [item.id for item in client.models.list()] == ["scripted"]
            answer = client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": "hi"}])
            assert answer.choices[0].message.content
            assert client.responses.create(model="scripted", input="hi").status == "completed"
        assert len(model.bodies) == 2
        for request in model.requests:
            assert "authorization" not in request.headers
            assert KEY not in json.dumps([request.headers, request.body])
        assert KEY not in process.log()


async def test_no_mcp_server_gets_the_key(tmp_path: Path, key_file: Path) -> None:
    seen: list[str] = []

    async def record(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(str(scope["headers"]))
        await Response(status_code=500)(scope, receive, send)

    async with serving(Starlette(routes=[Mount("/", record)])) as server:
        options = ("--callers", f"apikeys:{key_file}", "--upstream", "http://127.0.0.1:9")
        with running(tmp_path, *options, server=f"{server}/mcp") as (url, process):
            async with AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
                tool: Any = {"type": "mcp", "server_label": "a", "connector_id": "a", "require_approval": "never"}
                with pytest.raises(openai.APIStatusError) as failed:
                    await client.responses.create(model="m", input="hi", tools=[tool])
            assert failed.value.status_code == 424, process.tail()
    assert seen
    assert not [headers for headers in seen if KEY in headers or "authorization" in headers]


def test_a_wrong_key_is_an_authentication_error_and_reaches_no_model_server(tmp_path: Path, key_file: Path) -> None:
    with ModelServer() as model, running(tmp_path, "--callers", f"apikeys:{key_file}", "--upstream", model.url) as (url, process):
        with client_of(url, "another-key") as client:
            with pytest.raises(openai.AuthenticationError) as refused:
                client.models.list()
            with pytest.raises(openai.AuthenticationError):
                client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": "hi"}])
            with pytest.raises(openai.AuthenticationError):
                client.responses.create(model="scripted", input="hi", stream=True)
        assert (refused.value.code, refused.value.type) == ("invalid_api_key", "invalid_request_error")
        assert model.requests == []
        assert "another-key" not in process.log()


def test_every_refusal_is_the_same_and_a_new_file_counts_at_once(tmp_path: Path, key_file: Path) -> None:
    with running(tmp_path, "--callers", f"apikeys:{key_file}") as (url, _):
        missing, wrong = connectors(url, None), connectors(url, "wrong")
        assert (missing.status_code, missing.content, missing.headers["www-authenticate"]) == (401, wrong.content, "Bearer")
        assert httpx.get(url.removesuffix("/v1") + "/nowhere", trust_env=False, timeout=60).content == missing.content
        assert connectors(url, KEY).status_code == 200
        new = key_file.with_suffix(".new")
        new.write_text(entry_of("next", "alice", ()))
        new.replace(key_file)
        assert [connectors(url, key).status_code for key in (KEY, "next")] == [401, 200]


@pytest.mark.parametrize(
    ("who", "code", "told"),
    [
        ("apikeys:/nonexistent/keys.yaml", 1, "does not exist; make its first entry with: junctor apikey"),
        ("apikeys:", 2, "write apikeys:FILE, kubernetes or none"),
        ("everybody", 2, "write apikeys:FILE, kubernetes or none"),
    ],
)
def test_callers_that_cannot_work_are_told_at_the_start(tmp_path: Path, who: str, code: int, told: str) -> None:
    with pytest.raises(ProcessFailed, match=f"ended with {code}") as failed, running(tmp_path, "--callers", who):
        pass
    assert told in str(failed.value)
    assert "Traceback" not in str(failed.value)


def test_standalone_knows_api_keys_too(tmp_path: Path, key_file: Path) -> None:
    (tmp_path / "manifests").mkdir()
    port, management = free_port(), free_port()
    options = ("--manifests", tmp_path / "manifests", "--port", str(port), "--management-port", str(management))
    with junctor("standalone", *options, "--callers", f"apikeys:{key_file}", name="standalone", log_file=tmp_path / "log") as process:
        process.wait_until_ready(f"http://127.0.0.1:{management}/-/readyz")
        assert [connectors(f"http://127.0.0.1:{port}/v1", key).status_code for key in (KEY, "wrong", None)] == [200, 401, 401]


def test_standalone_has_no_cluster_to_ask(tmp_path: Path) -> None:
    options = ("--manifests", tmp_path, "--callers", "kubernetes")
    with junctor("standalone", *options, name="standalone", log_file=tmp_path / "log") as process:
        assert process.wait() == 2
        assert "write apikeys:FILE or none" in process.log()


# --- Kubernetes tokens --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def reviewer(control_plane: ControlPlane, api: Api, namespace: str) -> Iterator[Path]:
    """The kubeconfig of a service account that may review tokens and do nothing else."""
    name, rbac = f"reviewer-{secrets.token_hex(4)}", "rbac.authorization.k8s.io"
    rules = [{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]
    api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "gateway"}}, namespace)
    api.create({"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
    api.create(
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "gateway", "namespace": namespace}],
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
        }
    )
    yield control_plane.kubeconfig_for_token(control_plane.service_account_token(namespace, "gateway"))
    api.delete(f"{rbac}/v1/ClusterRoleBinding", name)
    api.delete(f"{rbac}/v1/ClusterRole", name)


def signed_anew(control_plane: ControlPlane, token: str, **claims: int) -> str:
    """A token of a service account with other claims, signed with the cluster's own key."""
    known = jwt.decode(token, options={"verify_signature": False})
    key = (control_plane.directory / "service-accounts.key").read_text()
    return jwt.encode(known | claims, key, algorithm="ES256", headers=jwt.get_unverified_header(token))


def test_tokens_for_the_gateway_are_let_in_and_no_others(
    control_plane: ControlPlane, namespace: str, reviewer: Path, tmp_path: Path
) -> None:
    right = control_plane.service_account_token(namespace, "default", audience="junctor")
    now = int(time.time())
    others = [
        control_plane.service_account_token(namespace, "default", audience="something-else"),
        control_plane.service_account_token(namespace, "default"),
        control_plane.admin_token,
        signed_anew(control_plane, right, iat=now - 7200, nbf=now - 7200, exp=now - 3600),
        right[:-8] + "AAAAAAAA",
        "no-token",
        None,
    ]
    with running(tmp_path, "--callers", "kubernetes", kubeconfig=reviewer) as (url, process):
        assert connectors(url, right).status_code == 200, process.tail()
        refusals = [connectors(url, other) for other in others]
        assert [refused.status_code for refused in refusals] == [401] * len(others), process.tail()
        assert {refused.content for refused in refusals} == {refusals[0].content}
        for valid in (right, signed_anew(control_plane, right, exp=now + 3600)):
            assert connectors(url, valid).status_code == 200
            assert valid not in process.log()


async def test_the_api_server_s_answer_names_the_service_account(control_plane: ControlPlane, namespace: str, reviewer: Path) -> None:
    callers = await open_callers("kubernetes", reviewer)
    try:
        caller = await callers.identify(f"Bearer {control_plane.service_account_token(namespace, 'default', audience='junctor')}")
    finally:
        await callers.close()
    assert (caller.kind, caller.namespace, caller.name) == ("ServiceAccount", namespace, "default")
    assert {"system:serviceaccounts", f"system:serviceaccounts:{namespace}"} <= set(caller.groups)


def test_a_gateway_that_may_not_review_says_so_and_lets_nobody_in(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    powerless = control_plane.kubeconfig_for_token(control_plane.service_account_token(namespace, "default"))
    token = control_plane.service_account_token(namespace, "default", audience="junctor")
    with running(tmp_path, "--callers", "kubernetes", kubeconfig=powerless) as (url, process):
        answer = connectors(url, token)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "`create` on tokenreviews.authentication.k8s.io" in process.log()
