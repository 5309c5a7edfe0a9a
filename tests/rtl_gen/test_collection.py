"""Garbage collection is paused within a block, and left as it was found."""

import gc

import pytest

from rtl_gen.toolchain.collection import collection_paused


@pytest.mark.parametrize("enabled", [True, False])
def test_the_block_leaves_the_collector_as_it_was(enabled: bool) -> None:
    was = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with collection_paused():
            assert not gc.isenabled()
            with collection_paused():
                assert not gc.isenabled()
            assert not gc.isenabled()
        assert gc.isenabled() == enabled
        with pytest.raises(ValueError, match=r"^within$"), collection_paused():
            raise ValueError("within")
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if was else gc.disable)()
