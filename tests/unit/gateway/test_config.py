"""The gateway's configuration file."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from junctor.gateway.config import only_upstream, parse_configuration, read_configuration
from junctor.gateway.models.model_server import ModelClients
from junctor.gateway.models.router import upstream_router
from junctor.net.configuration import ConfigurationError

HEAD = {"apiVersion": "config.junctor.dev/v1alpha1", "kind": "GatewayConfiguration"}
LEAST = {"models": ["*"], "url": "http://vllm:8000"}


def text(*upstreams: Any, **more: Any) -> str:
    return yaml.safe_dump({**HEAD, "upstreams": list(upstreams), **more})


def test_file_is_read_and_its_upstreams_routed(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1\n")
    file = tmp_path / "gateway.yaml"
    special = {
        "models": ["gpt-*"],
        "url": "https://models.example.com/v1",
        "api": "chat_completions",
        "keyFile": "key",
        "headers": {"x-a": "b"},
    }
    file.write_text(text(special, LEAST))
    router = upstream_router(read_configuration(file).upstreams, ModelClients())
    endpoint = router.find("gpt-5").server
    assert (endpoint.base, endpoint.key(), endpoint.headers) == ("https://models.example.com/v1", "sk-1", {"x-a": "b"})
    assert router.find("other").server.base == "http://vllm:8000/v1"
    assert router.find("other").server.key() is None


def test_upstreams_may_be_left_out() -> None:
    assert parse_configuration(yaml.safe_dump(HEAD), "f").upstreams == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "f: not YAML"),
        ("", "f: expected a GatewayConfiguration"),
        ("kind: GatewayConfiguration", "f: apiVersion: is required"),
        (yaml.safe_dump({**HEAD, "kind": "OperatorConfiguration"}), "f: kind: must be one of 'GatewayConfiguration'"),
        (text(LEAST, callers={}), "f: callers: "),
        (text({**LEAST, "key": "x"}), "f: upstreams[0].key: "),
        (text({"models": ["*"]}), "f: upstreams[0].url: is required"),
        (text({"url": "http://a"}), "f: upstreams[0].models: is required"),
        (text({**LEAST, "models": []}), "f: upstreams[0].models: "),
        (text({**LEAST, "models": [""]}), "f: upstreams[0].models[0]: is too short"),
        (text({**LEAST, "models": "*"}), "f: upstreams[0].models: must be a list"),
        (text(LEAST, {**LEAST, "url": "vllm:8000"}), "f: upstreams[1].url: value error, must be an address such as http://vllm:8000"),
        (text({**LEAST, "url": "http://me:pw@vllm"}), "f: upstreams[0].url: value error, must not hold credentials"),
        (text({**LEAST, "api": "responses"}), "f: upstreams[0].api: must be one of 'chat_completions'"),
        (
            text({**LEAST, "headers": {"Authorization": "Bearer x"}}),
            "f: upstreams[0].headers: value error, Authorization comes from keyFile",
        ),
        (text({**LEAST, "headers": {"Host": "x"}}), "Host is set by the gateway"),
        (text({**LEAST, "headers": {"a b": "x"}}), "'a b' is no header name"),
        (text({**LEAST, "headers": {"x-a": "x\ny"}}), "the value of x-a must be"),
        (text({**LEAST, "headers": {"x-a": "b", "X-A": "c"}}), "given twice"),
        (text({**LEAST, "headers": {"x-a": 7}}), "f: upstreams[0].headers.x-a: must be a string"),
    ],
)
def test_fault_is_told_with_its_field(content: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_configuration(content, "f")
    assert message in str(caught.value)
    assert "pw" not in str(caught.value)
    assert "Bearer" not in str(caught.value)


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_configuration(tmp_path / "none.yaml")


def test_option_means_one_upstream_for_every_model() -> None:
    router = upstream_router([only_upstream("http://vllm:8000")], ModelClients())
    assert router.find("any/model").server.base == "http://vllm:8000/v1"


def test_option_that_is_no_address_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"^--upstream: .*must be an address"):
        only_upstream("vllm")
