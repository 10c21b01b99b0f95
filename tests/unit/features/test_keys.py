"""Store keys can't be forged by values and keep an entity's views in one slot."""

from hypothesis import given
from hypothesis import strategies as st

from features.adapters.valkey_online import slot_of
from features.domain.keys import entity_tags, row_keys

TRICKY = st.text(st.sampled_from("{}|:=#1a7é\x00\r\n"), max_size=8)


@given(st.tuples(TRICKY, TRICKY, TRICKY), st.tuples(TRICKY, TRICKY, TRICKY))
def test_keys_differ_where_entities_do(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    def key(tenant: str, left: str, right: str) -> bytes:
        return row_keys(entity_tags(tenant, ["a", "b"], [[left], [right]]), "view")[0]

    assert (key(*one) == key(*other)) == (one == other)


@given(TRICKY, TRICKY)
def test_all_views_of_an_entity_share_a_slot(tenant: str, value: str) -> None:
    tags = entity_tags(tenant, ["tailnum"], [[value]])
    assert slot_of(row_keys(tags, "plane")[0]) == slot_of(row_keys(tags, "weather_9")[0])


def test_order_of_key_columns_does_not_matter() -> None:
    assert entity_tags("t", ["b", "a"], [[1], ["x"]]) == entity_tags("t", ["a", "b"], [["x"], [1]])


def test_numbers_and_texts_differ() -> None:
    assert entity_tags("t", ["a"], [[1]]) != entity_tags("t", ["a"], [["1"]])


def test_slots_are_those_of_redis() -> None:
    """Values of the Redis Cluster specification."""
    assert slot_of(b"123456789") == 0x31C3
    assert slot_of(b"{user1000}.following") == slot_of(b"{user1000}.followers") == slot_of(b"user1000")
    assert slot_of(b"foo{}{bar}") == 0x31C3 or slot_of(b"foo{}{bar}") != slot_of(b"bar")
