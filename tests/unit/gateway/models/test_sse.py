"""Events out of bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.gateway.models.chat_completions import EventReader, StreamTooLarge


def read(*chunks: bytes) -> list[str]:
    reader = EventReader()
    return [data for chunk in chunks for data in reader.feed(chunk)] + list(reader.finish())


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        (b"data:a\n\n", ["a"]),
        (b": ping\n\ndata: a\n\n", ["a"]),
        (b"event: message\nid: 7\nretry: 1\ndata: a\n\n", ["a"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data: a: b\n\n", ["a: b"]),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"data: a\n\ndata: [DONE]", ["a", "[DONE]"]),
        (b"data: a\n\ndata: [DONE]\n", ["a", "[DONE]"]),
        (b"database: a\n\ndata\n\n", [""]),
        (b"\n\n\n", []),
        (b"", []),
        (b"data: \xff\n\n", ["\ufffd"]),
    ],
)
def test_events_are_read(stream: bytes, events: list[str]) -> None:
    assert read(stream) == events


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)), st.data())
def test_cuts_make_no_difference(events: list[str], data: st.DataObject) -> None:
    stream = "".join(f"data: {event}\r\n\r\n" for event in events).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*chunks) == events


def test_character_may_be_split_over_chunks() -> None:
    assert read(*(bytes([byte]) for byte in "data: Köln 🌦\n\n".encode())) == ["Köln 🌦"]


@pytest.mark.parametrize("stream", [b"data: 12345678901", b"x" * 11, b"data: 123456\ndata: 123456\n\n"])
def test_event_is_bounded(stream: bytes) -> None:
    with pytest.raises(StreamTooLarge):
        list(EventReader(max_event=10).feed(stream))


def test_stream_is_bounded() -> None:
    reader = EventReader(max_stream=25)
    assert list(reader.feed(b"data: 123456\n\n")) == ["123456"]
    with pytest.raises(StreamTooLarge):
        list(reader.feed(b"data: 123456\n\n"))
