"""gpudoctor: what is wrong with a GPU machine, in plain words, with the evidence and the fix."""

__version__ = "1.0.0rc1"
