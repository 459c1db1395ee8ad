"""What `gpudoctor bench` runs in the target interpreter: the standard library and its torch, no more."""
