import json
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.registry.bodies import STRING, read_json, with_short_strings
from junctor.registry.client import RegistryClient
from tests.support.fake_registry import FakeRegistry, Status


@pytest.mark.parametrize("text", ['{"servers": [{"a": "\\"]["}], "metadata": {}}', "[]", "5", '"x"', "null", '[1e999, -0, "\\ud800"]'])
def test_json_is_read_as_it_is(text: str) -> None:
    assert read_json(text.encode()) == json.loads(text)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert read_json("\ufeff[1]".encode()) == [1]


@pytest.mark.parametrize("deep", ["[" * 5000 + "]" * 5000, '{"a":' * 5000 + "1" + "}" * 5000, '[{"a]":"}"},' * 5000 + "1" + "]" * 5000])
def test_what_is_too_deep_is_left_out_and_the_rest_is_read(deep: str) -> None:
    found = read_json(f'{{"servers": [{{"name": "a"}}, {{"name": "b", "_meta": {deep}, "more": 1}}, "c"], "metadata": {{}}}}'.encode())
    assert found["servers"][0] == {"name": "a"}
    assert (found["servers"][1]["name"], found["servers"][1]["more"], found["servers"][2]) == ("b", 1, "c")
    assert found["metadata"] == {}


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "1" * 5000])
def test_a_number_that_is_too_long_is_left_out(number: str) -> None:
    assert read_json(f'[1, {number}, {{"a": {number}}}, "{number}"]'.encode()) == [1, None, {"a": None}, number]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b'{"servers": [', b"[" * 5000, b"]" * 5000, b"[" * 5000 + b"}" * 5000, b'["a', b"1" * 5000 + b"x", b"\xff\xfe",
        b"[" * 100_000 + b"1", b'{"a": ' + b"[" * 5000 + b"]" * 4999 + b"}",
        # In UTF-16 a letter that ends in the byte of a quote hides all values behind it from who counts them.
        '["\u0122", [], []]'.encode("utf-16-le"), "[[], []]".encode("utf-16"), "[[], []]".encode("utf-32-be"),
    ],
)  # fmt: skip
def test_other_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  its message is not shown
        read_json(body)


@pytest.mark.parametrize("unit", [b'\\"', b"\\", b'"', b'"\\', b"[", b"{", b"9", b'[""', b"[]"])
def test_megabytes_that_are_no_json_are_answered(unit: bytes) -> None:
    body = b'["' + unit * (4_000_000 // len(unit))
    with pytest.raises(ValueError):  # noqa: PT011  its message is not shown
        read_json(body)
    STRING.sub(b"", body)


async def test_a_deep_record_does_not_lose_the_others_of_its_page() -> None:
    deep = '{"name": "a/deep", "_meta": ' + "[" * 5000 + "]" * 5000 + "}"
    body = f'{{"servers": [{{"name": "a/first"}}, {deep}, {{"name": "a/last"}}], "metadata": {{"count": 3}}}}'.encode()
    with FakeRegistry() as registry:
        registry.fault = lambda _: Status(200, body)
        async with RegistryClient(registry.url) as client:
            page = await client.page()
    assert [record["name"] for record in page.records] == ["a/first", "a/deep", "a/last"]


LONG = 100_000


@pytest.mark.parametrize("long", ["y" * LONG, "\\" * LONG, '\\"' * LONG, "\\\\" * LONG + '\\"'])
def test_long_strings_become_shorter_and_stay_too_long(long: str) -> None:
    body = f'{{"a": "b", "long": "{long}", "c\\"d": ["e\\\\", "f"]}}'.encode()
    before, after = json.loads(body), json.loads(with_short_strings(body))
    assert len(after["long"]) == 65536
    assert {**after, "long": ""} == {**before, "long": ""}


@given(value=st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_short_strings_stay(value: object) -> None:
    body = json.dumps(value).encode()
    assert with_short_strings(body) == body


@pytest.mark.parametrize("body", [b'"abc', b'["a", "b', b'"\\"', b"", b"[1]"])
def test_what_has_no_end_stays(body: bytes) -> None:
    assert with_short_strings(body) == body


def test_numbers_that_are_just_short_enough_take_no_longer_than_letters() -> None:
    def time_to_refuse(unit: bytes) -> float:
        body = b"[" * 5000 + unit * (500_000 // len(unit))
        return seconds(lambda: read_json(body))

    assert time_to_refuse(b"9" * 399 + b" ") < 2.5 * time_to_refuse(b"a" * 399 + b" ")


@pytest.mark.parametrize("end", [b'"]', b'\\"', b""])
def test_backslashes_are_not_counted_one_by_one(end: bytes) -> None:
    body = b'["' + b"\\" * 1_000_000 + end
    assert seconds(lambda: with_short_strings(body)) < seconds(lambda: sum(byte for byte in body))


def seconds(work: Callable[[], object]) -> float:
    """Processor time of this thread, the least of three."""
    times = []
    for _ in range(3):
        began = time.thread_time()
        with suppress(ValueError):
            work()
        times.append(time.thread_time() - began)
    return min(times)
