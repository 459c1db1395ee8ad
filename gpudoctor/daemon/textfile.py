"""Writes the metrics to a file for node_exporter's textfile collector."""

from __future__ import annotations

import contextlib
import logging
import threading
from pathlib import Path

from gpudoctor.daemon.ledger import Ledger
from gpudoctor.fileio import replace_file
from gpudoctor.render.metrics.view import View
from gpudoctor.render.prometheus import exposition

_LOG = logging.getLogger(__name__)


class Textfile:
    """Replaces `path` every interval, in a thread of its own: a slow disk must not stop the sampling.

    The file is removed at the end, since node_exporter would go on showing it for ever.
    """

    def __init__(self, path: Path, ledger: Ledger) -> None:
        self._path = path
        self._ledger = ledger
        self._stop = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="textfile", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and remove the file."""
        self._stop.set()
        self._thread.join(1.0)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def write(self) -> None:
        """Replace the file at once, so that nobody reads half of it.

        Raises:
            OSError: it cannot be written.
        """
        # node_exporter runs as a user of its own.
        replace_file(self._path, self._ledger.body("textfile", False, self._body), mode=0o644)

    def _body(self, view: View) -> bytes:
        # node_exporter has metrics of these names itself, and a second one of each is an error to it.
        ours = [metric for metric in self._ledger.table if not metric.name.startswith("process_")]
        return exposition(view, metrics=ours)

    def _run(self) -> None:
        while not self._stop.wait(self._ledger.interval_s):
            try:
                self.write()
            except OSError as error:
                if not self._failed:
                    _LOG.warning("cannot write %s: %s", self._path, error)
                self._failed = True
            else:
                self._failed = False
