"""Base URLs are checked once, and shown without what people hide in them."""

import pytest

from junctor.net.urls import NotABase, NotHTTP, redacted_url, split_base_url


@pytest.mark.parametrize("url", ["http://vllm:8000", "https://models.example.com/v1", "http://[::1]:80/"])
def test_addresses_of_servers_are_split(url: str) -> None:
    assert split_base_url(url).geturl() == url


@pytest.mark.parametrize("url", ["", "vllm:8000", "ftp://a", "http://", "http://a:99999", "http://a:b", "http://[::1", "https:///x"])
def test_anything_but_http_with_a_host_is_refused(url: str) -> None:
    with pytest.raises(NotHTTP):
        split_base_url(url)


@pytest.mark.parametrize("url", ["http://user@a", "http://:pw@a", "http://a/?key=1", "http://a/#top"])
def test_parts_that_paths_cannot_follow_are_refused(url: str) -> None:
    with pytest.raises(NotABase):
        split_base_url(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:key@a.example.com:8443/x/y?key=1#frag", "https://a.example.com:8443/x/y"),
        ("https://a@b@c/x", "https://c/x"),
        ("/relative?key=1", ""),
        ("http://[::1", ""),
    ],
)
def test_only_scheme_host_and_path_of_a_url_are_shown(url: str, shown: str) -> None:
    assert redacted_url(url) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:key@a.example.com:8443/x/y?key=1#frag", "https://a.example.com:8443"),
        ("https://a.example.com?key=1", "https://a.example.com"),
        ("http://[2001:db8::1]:80/key", "http://[2001:db8::1]:80"),
        ("http://[::1", ""),
    ],
)
def test_the_path_can_be_left_out(url: str, shown: str) -> None:
    assert redacted_url(url, with_path=False) == shown
