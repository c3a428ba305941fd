"""Topic names, our own and those made of names from elsewhere."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime.topics import MAX_TOPIC_LENGTH, foreign_name, foreign_topic, topic, user_topic

#: Any text, and above all the characters that escapes are made of.
NAMES = st.text() | st.text("_h025faé.A ") | st.text("_h5fa", max_size=6)
PREFIXES = st.sampled_from(["changes", "changes.public", "client", "c" * 64])


def test_parts_are_joined_with_dots() -> None:
    assert topic("conversation", 42, "typing") == "conversation.42.typing"
    assert user_topic(7) == "user.7"


@pytest.mark.parametrize("part", ["", "Ana", "a b", "é", "a/b", ".", "x" * 100])
def test_name_that_cannot_be_a_topic_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match="is no topic"):
        topic("user", part)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("orders", "changes.orders"),
        ("order_items", "changes.order__items"),
        ("public.Orders", "changes.public_2e_4frders"),
        ("été", "changes._c3_a9t_c3_a9"),
        ("", "changes._"),
        ("_", "changes.__"),
        ("x" * 91, "changes." + "x" * 91),
        ("x" * 92, "changes._hmuiz3x5bh74fx7khovajqgxl425w5uvo"),
    ],
)
def test_foreign_names_are_written_like_this_for_good(name: str, written: str) -> None:
    """Positions and rows of the log hold topics: another spelling would be another topic."""
    assert foreign_topic("changes", name) == written


@given(prefix=PREFIXES, name=NAMES)
@example(prefix="c" * 64, name="\U0001f600" * 50)
@example(prefix="client", name="half of \ud83d, as JSON can bring it")
def test_any_name_has_a_topic_and_is_found_in_it_where_it_fits(prefix: str, name: str) -> None:
    made = foreign_topic(prefix, name)

    assert made == topic(made)
    assert made.rpartition(".")[0] == prefix
    known = foreign_name(made)
    assert known in (name, None)
    # At most three characters for each byte of UTF-8.
    if len(prefix) + 1 + 3 * len(name.encode("utf-8", "surrogatepass")) <= MAX_TOPIC_LENGTH:
        assert known == name or not name


@given(first=st.tuples(PREFIXES, NAMES), second=st.tuples(PREFIXES, NAMES))
@example(first=("client", "_"), second=("client", ""))
@example(first=("client", "_5f"), second=("client", "__"))
@example(first=("client", "x" * 500), second=("client", "x" * 499 + "y"))
@example(first=("client", "h" + "a" * 32), second=("client", "x" * 500))
def test_different_names_have_different_topics(first: tuple[str, str], second: tuple[str, str]) -> None:
    assert (foreign_topic(*first) == foreign_topic(*second)) == (first == second)


@given(last=st.text("_h0123456789abcdefgz", min_size=1, max_size=40))
@example(last="_61")
@example(last="_c3")
@example(last="a_")
@example(last="_g")
def test_topic_that_no_name_has_is_refused(last: str) -> None:
    """A topic is read only as it is written, so that one topic never stands for two names."""
    try:
        name = foreign_name(f"client.{last}")
    except ValueError:
        return
    assert name is None or foreign_topic("client", name) == f"client.{last}"


def test_prefix_that_leaves_no_room_is_refused() -> None:
    assert len(foreign_topic("c" * 64, "x" * 500)) == MAX_TOPIC_LENGTH
    with pytest.raises(ValueError, match="is no topic"):
        foreign_topic("c" * 65, "x" * 500)
