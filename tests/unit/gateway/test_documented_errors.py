"""docs/errors.md has a row for every status and code that the gateway's source answers with, and no row for another one."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final, get_args, get_type_hints

import pytest

from junctor import gateway
from junctor.gateway.models import model_errors
from junctor.gateway.models.ports import UpstreamError
from junctor.gateway.tools.ports import ToolFailure
from junctor.gateway.tools.server_errors import RequestRefused
from junctor.gateway.web.errors import ApiError
from tests.support.errors_page import table

SOURCE: Final = Path(gateway.__path__[0])
#: Its answers are the operator's to read; the page is about the public port.
MANAGEMENT: Final = "serving/management.py"

Code = tuple[int, str]
#: The statuses and codes behind the expressions that are not written out where an error is made, by file and expression. Empty: the error
#: repeats one that is made elsewhere, or passes on what the model server said in its own words.
COMPUTED: Final[Mapping[tuple[str, str], frozenset[Code]]] = {
    ("models/model_errors.py", "reason.status"): frozenset(),
    ("models/model_errors.py", "status"): frozenset({(400, "context_length_exceeded"), *model_errors._CODES.items()}),
    ("responses/refusals.py", "error.status"): frozenset(),
    ("responses/refusals.py", "code"): frozenset(),
    ("responses/servers.py", "refused.code"): frozenset(),
    ("web/middleware.py", "error.status_code"): frozenset(),
}


def _error_classes() -> Iterator[type[Exception]]:
    for module in pkgutil.walk_packages(gateway.__path__, "junctor.gateway."):
        importlib.import_module(module.name)
    pending: list[type[Exception]] = [ApiError, UpstreamError, RequestRefused]
    while pending:
        error = pending.pop()
        pending += error.__subclasses__()
        if error.__module__.startswith("junctor.gateway."):
            yield error


CLASSES: Final = {error.__name__: error for error in _error_classes()}


def _default(name: str) -> Code:
    if name in ("refuse", "RequestRefused"):
        return 400, "invalid_value"
    error = CLASSES[name]
    return int(getattr(error, "status", 502)), getattr(error, "code", None) or ""


def _errors_made(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """The calls that make an error, with the name of its class (or `refuse`). A class with an __init__ of its own is judged by that."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in CLASSES:
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and ast.unparse(call.func) == "super().__init__":
                    yield node.name, call
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            error = CLASSES.get(name)
            if name == "refuse" or (error and ("__init__" not in vars(error) or Exception in error.__bases__)):
                yield name, node


def _values(expression: ast.expr, constants: Mapping[str, ast.expr]) -> set[object] | None:
    """What an expression may be; None when that is not written here."""
    match expression:
        case ast.Constant(value=value):
            return {value or ""}
        case ast.IfExp(body=first, orelse=second):
            one, other = _values(first, constants), _values(second, constants)
            return None if one is None or other is None else one | other
        case ast.Attribute(value=ast.Name(id="HTTPStatus"), attr=name):
            return {HTTPStatus[name].value}
        case ast.Name(id=name) if name in constants:
            return _values(constants[name], constants)
    return None


def codes_in(file: str, text: str) -> set[Code]:
    """Every status and code of the errors that a file makes. Raises KeyError for an expression that is neither plain nor in COMPUTED."""
    tree = ast.parse(text)
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    codes: set[Code] = set()
    for name, call in _errors_made(tree):
        if ast.unparse(call.func) == "super().__init__" and Exception in CLASSES[name].__bases__:
            continue
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if name == "refuse" and len(call.args) > 2:
            given["code"] = call.args[2]
        default_status, default_code = _default(name)
        status, code = given.get("status", ast.Constant(default_status)), given.get("code", ast.Constant(default_code))
        statuses, words = _values(status, constants), _values(code, constants)
        if statuses is None or words is None:
            codes |= COMPUTED[file, ast.unparse(status if statuses is None else code)]
        else:
            codes |= {(int(str(one)), str(word)) for one in statuses for word in words}
    return codes


def documented() -> set[Code]:
    return {(int(status), code) for status, code, *_ in table("Instead of a response")}


def test_every_status_and_code_has_a_row_and_every_row_is_answered() -> None:
    made: dict[Code, list[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        file = path.relative_to(SOURCE).as_posix()
        for code in codes_in(file, path.read_text()) if file != MANAGEMENT else ():
            made.setdefault(code, []).append(file)
    assert {code: files for code, files in made.items() if code not in documented()} == {}
    assert documented() - made.keys() == set()


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ('raise BadRequest("no", code="brand_new")', {(400, "brand_new")}),
        ('refuse("no", "field", "brand_new")', {(400, "brand_new")}),
        ('_NEW: Final = "brand_new"\nrefuse("no", "field", _NEW)', {(400, "brand_new")}),
        ('raise UpstreamError("broke", status=503 if late else 502, code="brand_new")', {(503, "brand_new"), (502, "brand_new")}),
        ('raise ApiError("no", status=HTTPStatus.CONFLICT)', {(409, "")}),
        ('class NotFound(ApiError):\n  def __init__(self):\n    super().__init__("no", code="brand_new")', {(404, "brand_new")}),
    ],
)
def test_new_error_is_found(text: str, codes: set[Code]) -> None:
    assert codes_in("a.py", text) == codes
    assert not codes <= documented()


def test_code_that_is_computed_has_to_be_explained_here() -> None:
    with pytest.raises(KeyError):
        codes_in("a.py", 'raise BadRequest("no", code=some.code)')


def test_every_kind_of_failure_of_a_tool_has_a_row() -> None:
    kinds = get_args(get_type_hints(ToolFailure)["kind"])
    assert {ToolFailure(kind).to_json()["type"] for kind in kinds} == {kind for kind, *_ in table("A tool call that failed")}
