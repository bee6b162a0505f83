"""What `import edgewise` offers."""

import edgewise


def test_there_are_at_most_15_public_names() -> None:
    assert len(edgewise.__all__) <= 15


def test_every_public_name_can_be_had() -> None:
    for name in edgewise.__all__:
        assert getattr(edgewise, name) is not None
