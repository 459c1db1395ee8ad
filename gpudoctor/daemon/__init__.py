"""The daemon: keeps sampling and answers over HTTP."""
