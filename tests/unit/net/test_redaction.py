"""Secrets that were sent are cut out of what comes back."""

from junctor.net.redaction import redact, secret_words


def test_values_and_their_words_are_cut_out_the_longest_first() -> None:
    secrets = secret_words(["Bearer sk-0123456789", "short", "sk-0123456789-and-more"])
    assert redact("sk-0123456789-and-more, sk-0123456789 and short", secrets) == "***, *** and short"


def test_short_values_stay_because_they_are_words_of_any_text() -> None:
    assert secret_words(["v1", "true"]) == ()
