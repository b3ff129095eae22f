"""`junctor demo`, as a process: what it shows is what happened, and it says so when something did not."""

import inspect
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from junctor.demo.application import ask, ask_streaming
from junctor.demo.checks import Checks, StepFailed
from junctor.demo.client_steps import ClientSteps
from junctor.demo.manifests import orders
from junctor.demo.processes import DemoServer, Standalone
from junctor.demo.standalone_client import StandaloneClient
from tests.cluster.api import wait_for
from tests.support.model_server import Call, ModelServer, Round
from tests.support.ports import free_port

DEMO = (sys.executable, "-m", "junctor.cli.main", "demo")
DEADLINE = 60.0


def environment(directory: Path) -> dict[str, str]:
    """One in which all that the demo must not need is broken. directory: where its files go."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    broken = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_BASE_URL", "JUNCTOR_UPSTREAM"), nowhere)
    return {**os.environ, **broken, "TMPDIR": str(directory), "PYTHONUNBUFFERED": "1"}


def run(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code, and then `junctor demo` in the same process."""
    script = f"{code}\nfrom junctor.cli.main import main\nmain(['demo'])"
    return subprocess.run([sys.executable, "-c", script], env=environment(directory), capture_output=True, text=True, timeout=DEADLINE)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demo says. It says nothing on standard error, and leaves no file."""
    directory = tmp_path_factory.mktemp("demo")
    result = subprocess.run(DEMO, env=environment(directory), capture_output=True, text=True, timeout=DEADLINE)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
    assert list(directory.iterdir()) == []
    return result.stdout


def test_demo_does_what_it_says(told: str) -> None:
    assert "every step did what it says" in told


def test_demo_shows_the_very_manifest_and_code(told: str) -> None:
    quoted = "\n".join(line.removeprefix("   |").removeprefix(" ") for line in told.splitlines() if line.startswith("   |"))
    port = re.search(r"url: http://127\.0\.0\.1:(\d+)/mcp", quoted)
    assert port is not None, told
    for text in (orders(f"http://127.0.0.1:{port[1]}"), inspect.getsource(ask), inspect.getsource(ask_streaming)):
        assert text.rstrip() in quoted


def test_demo_shows_the_items_of_the_response_and_the_events_of_the_stream(told: str) -> None:
    item = re.compile(r"^   (mcp_list_tools|mcp_call|message) +(.*)$", re.M)
    (listed, listed_tools), (called, call), (said, answer) = item.findall(told)
    assert (listed, called, said) == ("mcp_list_tools", "mcp_call", "message")
    assert "order_status" in listed_tools
    parcel = re.search(r'order_status\(\{"order": "1042"\}\) gave: .*(P-\d{6})', call)
    assert parcel is not None
    assert parcel[1] in answer
    kinds = re.findall(r"^ +\d+ ms  (response\.\S+)", told, re.M)
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert kinds.index("response.mcp_list_tools.completed") < kinds.index("response.mcp_call.completed")
    assert kinds.index("response.mcp_call.completed") < kinds.index("response.output_text.delta")
    assert re.search(r"took \d+ ms", told)


def test_without_the_openai_client_one_line_says_how_to_install_it(tmp_path: Path) -> None:
    result = run("import sys; sys.modules['openai'] = None", tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert f"{sys.executable} -m pip install 'junctor[demo]'" in line
    assert "make demo" in line


def test_a_step_that_fails_ends_the_demo_with_its_name_and_what_the_processes_said(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    result = run(f"from junctor.demo import steps; orders = steps.orders; steps.orders = lambda url: orders({nowhere!r})", tmp_path)
    assert result.returncode == 1
    assert "junctor: the demo failed: step 11: GET /v1/connectors/connector_orders/tools: 424" in result.stderr
    assert "What the standalone said last:" in result.stderr
    assert "every step did what it says" not in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_demo_with_all_its_processes(tmp_path: Path, number: signal.Signals, code: int) -> None:
    output = tmp_path / "output"
    files = tmp_path / "files"
    files.mkdir()
    with output.open("wb") as stream, subprocess.Popen(DEMO, env=environment(files), stdout=stream, stderr=stream) as demo:
        try:
            wait_for(lambda: "\n2. " in output.read_text(), DEADLINE, "the demo tells its second step")
            children = children_of(demo.pid)
            demo.send_signal(number)
            assert demo.wait(DEADLINE) == code, output.read_text()
        finally:
            demo.kill()
    assert len(children) >= 3  # model, MCP server, standalone
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert "Traceback" not in output.read_text()
    assert list(files.iterdir()) == []


def children_of(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True)
    return [int(pid) for pid, above in map(str.split, listed.stdout.splitlines()) if int(above) == parent]


CALL = Round(calls=[Call("mcp__orders__order_status", {"order": "1042"})])


@contextmanager
def calling(directory: Path, model: ModelServer, parcel: str) -> Iterator[Standalone]:
    """A standalone with the demo's connector and MCP server, which tells `parcel`."""
    manifests = directory / "connectors"
    manifests.mkdir()
    with (
        DemoServer("server", "mcp_server", directory / "server.log", parcel) as server,
        Standalone(manifests, directory / "standalone.log", upstream=model.url) as standalone,
        StandaloneClient(standalone, Checks(lambda line: None)) as client,
    ):
        client.write("orders.yaml", orders(server.url), lambda: "connector_orders" in client.catalog())
        yield standalone


@pytest.mark.parametrize(
    ("rounds", "told", "message"),
    [
        pytest.param([Round(text="I know.")], "P-1", "the items are mcp_list_tools, message instead of", id="tool not called"),
        pytest.param([CALL, Round(text="I forgot.")], "P-1", "the answer is not what the tool said: I forgot.", id="result not read"),
        pytest.param([CALL, Round(text="P-1")], "P-2", "the tool's call failed", id="another result"),
        pytest.param([Round(status=400, error="no")], "P-1", "the OpenAI client: .*no", id="model refuses"),
    ],
)
def test_calls_that_did_not_happen_as_told_are_failures(tmp_path: Path, rounds: Sequence[Round], told: str, message: str) -> None:
    with (
        ModelServer({"demo-model": rounds}) as model,
        calling(tmp_path, model, told) as standalone,
        pytest.raises(StepFailed, match=f"step 1: {message}"),
    ):
        ClientSteps(Checks(lambda line: None), f"{standalone.url}/v1", "P-1").run()


def test_a_gateway_that_dies_in_the_middle_of_the_stream_is_a_failure(tmp_path: Path) -> None:
    def kill_at_the_first_word(line: str) -> None:
        if "as a stream" in line:
            model.scripts["demo-model"] = [CALL, Round(text="It is P-1.", hang=2)]
        if "response.output_text.delta" in line:
            standalone.kill()

    with (
        ModelServer({"demo-model": [CALL, Round(text="It is P-1.")]}) as model,
        calling(tmp_path, model, "P-1") as standalone,
        pytest.raises(StepFailed, match="step 2: the OpenAI client"),
    ):
        ClientSteps(Checks(kill_at_the_first_word), f"{standalone.url}/v1", "P-1").run()
