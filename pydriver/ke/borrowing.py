# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The borrowing of a processor by a passive thread that needs one."""

import contextlib
from collections.abc import Callable, Iterator
from itertools import count
from threading import get_ident

from pydriver.errors import LinkStopped
from pydriver.ke.callbacks import Callbacks
from pydriver.ke.probes import Probe
from pydriver.ke.processor import Processor
from pydriver.link import ProcessorLink
from pydriver.trace import Recorder

__all__ = ("Borrowing",)


class Borrowing(Callbacks):
    """The part of the kernel that has the processors, and lends them to passive threads.

    :ivar processors: the processors, by number
    """

    processors: list[Processor]

    def __init__(
        self, freeze: Callable[[], None], recorder: Recorder, probe: Probe | None = None
    ) -> None:
        super().__init__(freeze, recorder, probe)
        self._homes = count()

    def borrow(self) -> Processor:
        """Makes a passive thread the owner of a processor, at PASSIVE_LEVEL."""
        current = self.current
        processor = current.home
        if processor is None:
            processor = self.processors[next(self._homes) % len(self.processors)]
            current.home = processor
        # Before acquire(): an interrupt can be served on this thread from there on.
        current.processor = processor
        try:
            processor.link.acquire()
        except BaseException as error:
            current.processor = None
            if isinstance(error, LinkStopped) and self.failure is not None:
                self.raise_failure()  # the link only knows that it has ended
            raise
        processor.owner = get_ident()
        return processor

    def give_back(self, processor: Processor) -> None:
        """Undoes :meth:`borrow`; all interrupts that came meanwhile have been served."""
        try:
            processor.link.release()
        finally:
            self.current.processor = None

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[ProcessorLink]:
        """The link of the current processor, or of one borrowed for the duration of the block.

        The block must not wait for other threads that need the processor: it would wait for ever.
        """
        current = self.current
        processor = current.processor
        if processor is not None:
            yield processor.link
            return
        processor = self.borrow()
        current.keeps = True
        try:
            yield processor.link
        finally:
            current.keeps = False
            self.give_back(processor)
