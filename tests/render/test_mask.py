from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.present.mask import Identity, mask

ANA = Identity(("ana",), "/home/ana", "node17")


def test_the_home_folder_becomes_a_tilde():
    assert mask("/home/ana/venv/bin/python", ANA) == "~/venv/bin/python"
    assert mask("PATH=/home/ana:/bin", ANA) == "PATH=~:/bin"


def test_homes_of_others_lose_their_names():
    assert mask("/home/ben/x /Users/cho/y", ANA) == "/home/<user>/x /Users/<user>/y"
    assert mask("/home/anabel/x", ANA) == "/home/<user>/x"


def test_the_user_and_the_host_are_replaced_as_whole_words():
    assert mask("/scratch/ana/run on node17", ANA) == "/scratch/<user>/run on <host>"
    assert mask("banana analysis ana_2", ANA) == "banana analysis ana_2"


def test_a_name_that_is_a_common_word_is_left():
    root = Identity(("root",), "/root", "localhost")
    assert mask("root:root /root/x localhost", root) == "root:root ~/x localhost"


def test_the_home_of_root_of_the_file_system_masks_nothing():
    assert mask("/usr/lib", Identity((), "/", "")) == "/usr/lib"


@given(st.text(max_size=200))
def test_the_home_folder_never_survives(text):
    assert "/home/ana/" not in mask(f"{text} /home/ana/secret", ANA).replace(text, "")
