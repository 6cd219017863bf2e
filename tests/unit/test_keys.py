from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outhaul.errors import RowError
from outhaul.keys import MAX_KEY_BYTES, check_key

#: Short alphabet, so that bad segments and long keys come up by themselves.
keys = st.text(st.sampled_from("./\\ab é😀\n\u2028\x85\ud800"), max_size=12) | st.text(
    max_size=1100
)


def accepted(key: str) -> bool:
    """Whether a key passes; one that does must come back unchanged."""
    try:
        return check_key(key) == key
    except RowError:
        return False


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "translations/file.pptx",
        "é😀/文件.txt",
        " a b ",
        "x+y%41.txt",
        "q?#&=.txt",
        "%2e%2e/a",
        "...",
        ".hidden/..two/three..",
        "a\\b",
        "a/\\b",
        "line\u2028separator",
        "paragraph\u2029separator",
        "rtl\u202eoverride",
        "a" * MAX_KEY_BYTES,
        "é" * 511 + "a",
    ],
)
def test_keys_that_both_stores_take(key: str) -> None:
    """A key within the rule is passed on unchanged: never trimmed, normalised or escaped."""

    assert check_key(key) is key


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("", "0 bytes"),
        ("a" * (MAX_KEY_BYTES + 1), "1024 bytes"),
        ("é" * 512, "1024 bytes"),
        ("/a/b.png", "starts with /"),
        ("\\a", "starts with /"),
        ("/", "starts with /"),
        ("a//b", "segment"),
        ("a/", "segment"),
        (".", "segment"),
        ("..", "segment"),
        ("a/./b", "segment"),
        ("a/../../b", "segment"),
        ("../x", "segment"),
        ("a.txt\n2026-01-01 INFO upload 999 done s3", "control"),
        ("a\x1b[2Jb", "control"),
        ("nul\0", "control"),
        ("delete\x7f", "control"),
        ("next\x85line", "control"),
        ("lone\ud800surrogate", "UTF-8"),
        ("file-\udcff.bin", "UTF-8"),
    ],
)
def test_keys_that_no_store_may_have(key: str, fault: str) -> None:
    """A key that one store would refuse, rename or misread is refused before any store is asked."""

    with pytest.raises(RowError, match=fault) as caught:
        check_key(key)

    assert caught.value.code == "INVALID_KEY"
    assert "choose another key" in caught.value.message


@given(keys)
@example("a/..")
@example("\u2028")
def test_an_accepted_key_is_safe_everywhere(key: str) -> None:
    """An accepted key is 1 to 1,023 bytes of UTF-8, without control characters or odd segments."""

    if accepted(key):
        assert 1 <= len(key.encode("utf-8")) <= 1023
        assert not key.startswith(("/", "\\"))
        assert not any(unicodedata.category(char) == "Cc" for char in key)
        assert not {"", ".", ".."} & set(key.split("/"))


@given(
    st.lists(
        st.text(
            st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/\\"),
            min_size=1,
            max_size=40,
        ).filter(lambda segment: segment not in {".", ".."}),
        min_size=1,
        max_size=6,
    ).map("/".join)
)
def test_nothing_else_is_refused(key: str) -> None:
    """Any language, any punctuation: what the rule does not name passes."""

    assert accepted(key)
