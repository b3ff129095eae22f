import time

import pytest

from junctor.net.globs import Globs


@pytest.mark.parametrize(
    ("glob", "text"),
    [
        ("io.github.acme/weather", "io.github.acme/weather"),
        ("io.github.acme/*", "io.github.acme/weather"),
        ("io.github.acme/*", "io.github.acme/"),
        ("*", ""),
        ("*weather*", "io.github.acme/weather-pro"),
        ("io.*/weather", "io.github.acme/weather"),
        ("*a*b*c", "a-b-a-c-b-c"),
        ("?o.github.acme/*", "io.github.acme/weather"),
        ("*?", "x"),
        ("**", "anything"),
        ("a*\n", "a\n\n"),
    ],
)
def test_a_star_is_any_text_and_a_question_mark_one_character(glob: str, text: str) -> None:
    assert Globs([glob]).matches(text)


@pytest.mark.parametrize(
    ("glob", "text"),
    [
        ("io.github.acme/weather", "io.github.acme/weather-pro"),
        ("io.github.acme/*", "com.io.github.acme/weather"),
        ("io.github.acme/*", "io.github.Acme/weather"),
        ("io.github.acme/*", "io-github.acme/weather"),
        ("weather", "weather\n"),
        ("?", ""),
        ("a*a", "a"),
        ("*ab*ab", "ab"),
        ("[a-z]", "b"),
        ("a|b", "b"),
        ("\\*", "*"),
        ("", "x"),
    ],
)
def test_everything_else_stands_for_itself_and_the_whole_text_counts(glob: str, text: str) -> None:
    assert not Globs([glob]).matches(text)


def test_one_of_several_globs_is_enough() -> None:
    globs = Globs(["io.github.acme/*", "*/weather", "exact"])
    assert [globs.matches(text) for text in ("io.github.acme/x", "com.example/weather", "exact", "exact/", "none")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_no_globs_match_nothing() -> None:
    assert not Globs([]).matches("")


@pytest.mark.parametrize(("host", "matches"), [("MCP.Example.COM", True), ("mcp.eXample.com", True), ("mcp.example.org", False)])
def test_hosts_are_compared_without_regard_to_case(host: str, matches: bool) -> None:
    assert Globs(["*.Example.com"], ignore_case=True).matches(host) is matches


def test_letters_that_only_unicode_takes_for_the_same_are_others() -> None:
    assert not Globs(["kube.example.com"], ignore_case=True).matches("\N{KELVIN SIGN}ube.example.com")


@pytest.mark.parametrize("glob", ["*a" * 40 + "*b", "?*" * 40 + "b", "*" * 200 + "b"])
def test_a_name_made_to_be_slow_is_not(glob: str) -> None:
    assert not Globs([glob]).matches("a" * 5000)


def test_globs_that_nobody_asks_cost_nothing() -> None:
    """A megabyte of them takes seconds to compile: not in the loop that reads resources, but in the thread that reads a registry."""
    many = ["*a" * 128 for _ in range(200)]
    began = time.thread_time()
    for _ in range(100):
        made = Globs(many)
    made_all = time.thread_time() - began
    began = time.thread_time()
    assert made.matches("a" * 128)
    assert made_all < time.thread_time() - began
