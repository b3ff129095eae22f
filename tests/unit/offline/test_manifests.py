import base64
import textwrap
from typing import Any

import pytest

from junctor.offline.manifests import parse_manifests

GOOD = """\
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {name: github}
spec: {url: https://mcp.example.com/mcp}
"""


def problems(text: str) -> list[str]:
    return [str(problem) for problem in parse_manifests(textwrap.dedent(text), "a.yaml")[1]]


def bodies(text: str) -> list[dict[str, Any]]:
    manifests, faults, _ = parse_manifests(textwrap.dedent(text), "a.yaml")
    assert faults == []
    return [manifest.body for manifest in manifests]


def connector(spec: str, name: str = "github") -> str:
    head = f"apiVersion: junctor.dev/v1alpha1\nkind: MCPConnector\nmetadata:\n  name: {name}\nspec:\n"
    return head + textwrap.indent(textwrap.dedent(spec).strip("\n"), "  ") + "\n"


def test_documents_keep_their_lines_and_empty_ones_are_skipped() -> None:
    manifests, faults, _ = parse_manifests(f"---\n# nothing\n---\n{GOOD}---\n---\n{GOOD}", "a.yaml")
    assert faults == []
    assert [(manifest.file, manifest.line) for manifest in manifests] == [("a.yaml", 4), ("a.yaml", 10)]


def test_the_namespace_is_default_unless_written() -> None:
    assert bodies(GOOD)[0]["metadata"] == {"name": "github", "namespace": "default"}
    assert bodies(GOOD.replace("{name: github}", "{name: github, namespace: team-a}"))[0]["metadata"]["namespace"] == "team-a"


def test_broken_yaml_is_reported_with_its_place_and_the_documents_before_it_count() -> None:
    manifests, faults, _ = parse_manifests(GOOD + "---\nkind: [\nspec: }\n", "dir/a.yaml")
    assert len(manifests) == 1
    assert [str(fault).rsplit(":", 1)[0] for fault in faults] == ["dir/a.yaml:7:7: not valid YAML"]


@pytest.mark.parametrize(
    "text", ["a: b: c", "a:\n\t- b", "a: *nowhere", "a: 'open", "a: \x00", "[" * 5000, "a: !!python/object:os.system x"]
)
def test_text_that_is_no_manifest_is_a_problem_and_never_an_error(text: str) -> None:
    manifests, faults, _ = parse_manifests(text, "a.yaml")
    assert manifests == []
    assert len(faults) == 1


def test_aliases_and_merge_keys_are_fine() -> None:
    spec = """
        url: https://mcp.example.com/mcp
        tools: {allowed: &names [read, write]}
        approval:
          always: *names
    """
    assert bodies(connector(spec))[0]["spec"]["approval"] == {"always": ["read", "write"]}
    merged = "a: &a {name: x, key: token}\nb: {<<: *a, name: github}\n"
    assert problems(merged) == ["a.yaml:1:1: apiVersion: is required, as a string", "a.yaml:1:1: kind: is required, as a string"]
    header = "headers:\n- name: X-A\n  valueFrom: {secretKeyRef: &ref {name: github, key: a}}\n"
    header += "- name: X-B\n  valueFrom: {secretKeyRef: {<<: *ref, key: b}}\n"
    [body] = bodies(connector("url: https://mcp.example.com/mcp\n" + header))
    assert body["spec"]["headers"][1]["valueFrom"]["secretKeyRef"] == {"name": "github", "key": "b"}


def test_aliases_cannot_exhaust_the_reader() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    assert "more than 100000 values" in problems(bomb)[0]
    assert "nested deeper than 100 levels" in problems("a: &a [*a]")[0]


def test_a_fault_is_shown_where_the_field_stands() -> None:
    spec = """
        url: https://mcp.example.com/mcp
        headers:
        - name: X-A
          value: abc
        - name: Host
          value: abc
        limits: {callTimeoutSeconds: 0}
    """
    assert problems(connector(spec)) == [
        "a.yaml:10:5: MCPConnector github: spec.headers[1].name: this header is set by the gateway or the MCP protocol itself; remove it",
        "a.yaml:12:12: MCPConnector github: spec.limits.callTimeoutSeconds: must be at least 1",
    ]


def test_a_missing_field_is_shown_at_the_object_that_lacks_it() -> None:
    [problem] = problems(connector("title: x"))
    assert problem.startswith("a.yaml:5:1: MCPConnector github: spec.url: a connector needs a target")


def test_an_unknown_field_is_an_error_with_what_was_meant() -> None:
    text = connector("url: https://mcp.example.com/mcp\nauth: {bearer: {secretKeyref: {name: a, key: b}}}")
    unknown, missing = problems(text)
    expected = "spec.auth.bearer.secretKeyref: unknown field; did you mean secretKeyRef? spec.auth.bearer has secretKeyRef"
    assert unknown == f"a.yaml:7:19: MCPConnector github: {expected}"
    assert missing == "a.yaml:7:10: MCPConnector github: spec.auth.bearer.secretKeyRef: is required"
    assert "metadata.label: unknown field; did you mean labels?" in problems(GOOD.replace("github}", "github, label: {}}"))[0]
    assert "sepc: unknown field; did you mean spec?" in problems(GOOD.replace("spec:", "sepc:"))[0]


def test_a_key_that_stands_twice_is_an_error_at_the_second() -> None:
    text = connector("url: https://mcp.example.com/mcp\ntitle: a\ntitle: b")
    assert problems(text) == ["a.yaml:8:3: spec.title: duplicate field; remove one"]


def test_what_the_cluster_fills_in_is_accepted() -> None:
    text = connector("url: https://mcp.example.com/mcp").replace("  name: github\n", "  name: github\n  uid: x\n  generation: 3\n")
    assert bodies(text + "status: {conditions: []}\n")


def test_a_list_is_unwrapped() -> None:
    items = "".join(textwrap.indent(GOOD, "  ").replace("  apiVersion", "- apiVersion") for _ in range(2))
    manifests, faults, _ = parse_manifests(f"apiVersion: v1\nkind: List\nitems:\n{items.replace('github', 'GitHub', 1)}", "a.yaml")
    assert [manifest.line for manifest in manifests] == [8]
    assert [str(fault).split(": ")[0] for fault in faults] == ["a.yaml:6:14"]


def test_objects_of_others_are_passed_over() -> None:
    assert bodies("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspek: {}\n") == []
    assert bodies("apiVersion: v1\nkind: Namespace\nmetadata: {name: team-a}\n")[0]["kind"] == "Namespace"


@pytest.mark.parametrize(
    ("api_version", "kind", "says"),
    [
        ("junctor.dev/v1", "MCPConnector", "a.yaml:1:1: MCPConnector x: apiVersion: MCPConnector is known as junctor.dev/v1alpha1"),
        ("junktor.dev/v1alpha1", "MCPConnector", "a.yaml:1:1: MCPConnector x: apiVersion: MCPConnector is known as junctor.dev/v1alpha1"),
        ("junctor.dev/v1alpha1", "MCPConector", "knows MCPConnector and MCPRegistry (junctor.dev/v1alpha1), not this kind"),
        ("5", "MCPConnector", "apiVersion: is required, as a string"),
    ],
)
def test_unknown_kinds_of_junctor_are_reported_with_what_is_known(api_version: str, kind: str, says: str) -> None:
    [problem] = problems(f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x}}\n")
    assert says in problem


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ("{}", "metadata.name: is required"),
        ("[]", "metadata: is required, with a name"),
        ("{name: Git_Hub}", "metadata.name: must be lower-case letters"),
        ("{name: 5}", "metadata.name: must be lower-case letters"),
        (f"{{name: {'x' * 254}}}", "at most 253"),
        ("{name: a, namespace: a.b}", "metadata.namespace: must be lower-case letters, digits and '-'"),
        ("{name: a, labels: {team: yes}}", "metadata.labels.team: must be a string; put quotes around it"),
    ],
)
def test_metadata_is_judged_as_the_cluster_would(metadata: str, says: str) -> None:
    assert any(says in problem for problem in problems(GOOD.replace("{name: github}", metadata)))


def test_a_secret_is_stored_as_the_cluster_would() -> None:
    text = """
        apiVersion: v1
        kind: Secret
        metadata: {name: github, labels: {junctor.dev/credentials: "true"}}
        data: {token: YWJj, other: eHl6}
        stringData: {token: plain}
    """
    [body] = bodies(text)
    assert body["data"] == {"token": base64.b64encode(b"plain").decode(), "other": "eHl6"}
    assert "stringData" not in body


def test_secret_values_never_appear_in_messages() -> None:
    text = """
        apiVersion: v1
        kind: Secret
        metadata: {name: github}
        data: {token: "s3cret!"}
        stringData: {number: 31337, "bad key": s3cret}
    """
    manifests, faults, _ = parse_manifests(textwrap.dedent(text), "a.yaml")
    assert [str(fault) for fault in faults] == [
        "a.yaml:5:8: Secret github: data.token: must be base64; write plain text into stringData instead",
        "a.yaml:6:14: Secret github: stringData.number: must be a string; put quotes around it",
        "a.yaml:6:29: Secret github: stringData.bad key: a key may hold letters, digits, '-', '_' and '.' only",
    ]
    assert "s3cret" not in repr((manifests, faults))
    assert "s3cret" not in repr(parse_manifests("{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: s3cret}}", "a")[0])


def test_a_document_larger_than_a_cluster_takes_is_refused() -> None:
    assert "larger than 1 MiB" in problems(connector(f"url: https://mcp.example.com/mcp\ndescription: {'x' * 1024 * 1024}"))[0]


@pytest.mark.parametrize(
    ("scalar", "good"),
    [("2026-01-01", True), ("1:30", True), ("=", True), ("'yes'", True), ("yes", False), ("y", False), ("1e3", False), ("0o17", False)],
)
def test_scalars_are_read_as_kubectl_reads_them(scalar: str, good: bool) -> None:
    found = problems(connector(f"url: https://mcp.example.com/mcp\ntitle: {scalar}"))
    assert found == ([] if good else ["a.yaml:7:3: MCPConnector github: spec.title: must be a string; put quotes around it"])


def test_json_is_yaml() -> None:
    text = '{"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPConnector", "metadata": {"name": "a"}, "spec": {"url": "https://x.example"}}'
    assert len(bodies(text)) == 1
