"""The admission webhook's HTTP: two paths that judge, and health and metrics beside them."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from functools import lru_cache

from trustkit.asgi.logs import Receive, Scope, Send
from trustkit.client.enforce import Verdict
from trustkit.core.familiar import familiar
from trustkit.core.names import ImageRef
from trustkit.errors import Malformed, NotFound, TimedOut, TooLarge, TrustkitError, UsageError
from trustkit.gateway.exchange import ClientGone, Exchange, Pace
from trustkit.hooks.admission import Answer, Finding, Phase, Result, answer, undecided
from trustkit.hooks.admission_metrics import AdmissionMetrics
from trustkit.hooks.admission_review import MAX_BODY, Image, Review, Unreadable, parse, read

log = logging.getLogger("trustkit.admission")

SECONDS = 8.0
"""How long a review may take, below the ten that the API server is told."""
MARGIN = 0.8
"""The part of the API server's own limit that a review may take, where that is shorter."""
SMALL = 256 * 1024
"""Bytes up to which a body is parsed at once; a larger one takes a turn and a thread."""
LARGE_AT_ONCE = 4
ASKED_AT_ONCE = 32
"""Images of one review that are asked about at a time."""
JSON = ("content-type", "application/json")
TEXT = ("content-type", "text/plain; version=0.0.4; charset=utf-8")
_PATHS = {b"/mutate": Phase.MUTATE, b"/validate": Phase.VALIDATE}
_TIMEOUT = re.compile(rb"(?:^|&)timeout=([0-9]{1,3})s(?:$|&)")

MAX_NAME = 600
"""Characters of a name that may be one; no longer ones are remembered."""
_read_often = lru_cache(4096)(familiar)

Asking = Callable[[ImageRef], "Future[Verdict]"]


class AdmissionApplication:
    """The ASGI application.

    A review that can be read as one is answered with 200 and its uid, whatever happens afterwards: what can't be
    judged in time, or at all, is denied.  What is no review gets 400, 408 or 413.

    Args:
        ask: the verdict on an image, to come.
        exempt: namespaces in which nothing is judged.
        detect: refuse nothing and change nothing; warn.
        troubles: what keeps images from being judged, in a sentence each.
        seconds: how long a review may take.
    """

    def __init__(
        self,
        ask: Asking,
        metrics: AdmissionMetrics,
        *,
        exempt: Collection[str] = (),
        detect: bool = False,
        troubles: Callable[[], Iterable[str]] = tuple,
        seconds: float = SECONDS,
    ) -> None:
        self._ask, self._metrics, self._troubles = ask, metrics, troubles
        self._exempt, self._detect, self._seconds = frozenset(exempt), detect, seconds
        self._turns = asyncio.Semaphore(LARGE_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI 3.0."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send, pace=Pace(idle=self._seconds, grace=1.0))
        phase = _PATHS.get(exchange.path)
        try:
            if phase is not None:
                await self._review(exchange, phase)
            else:
                await self._other(exchange)
        except ClientGone:
            return
        except TrustkitError as error:
            await _refuse(exchange, error)

    async def _other(self, exchange: Exchange) -> None:
        if exchange.method not in ("GET", "HEAD"):
            raise NotFound("Reviews are taken at POST /mutate and POST /validate.")
        if exchange.path == b"/healthz":
            await exchange.reply(200, [JSON], b'{"status":"ok"}')
        elif exchange.path == b"/readyz":
            problems = list(self._troubles())
            body = {"status": "not ready" if problems else "ok", "problems": problems}
            await exchange.reply(503 if problems else 200, [JSON], json.dumps(body).encode())
        elif exchange.path == b"/metrics":
            await exchange.reply(200, [TEXT], self._metrics.render())
        else:
            raise NotFound("Reviews are taken at POST /mutate and POST /validate.")

    async def _review(self, exchange: Exchange, phase: Phase) -> None:
        now = asyncio.get_running_loop().time
        began = now()
        try:
            done = await self._answer(exchange, phase, began + self._budget(exchange))
        except (TrustkitError, ClientGone):
            self._metrics.reviewed(phase, Result.UNREADABLE, now() - began)
            raise
        self._metrics.reviewed(phase, done.result, now() - began)
        await exchange.reply(200, [JSON], done.body)

    async def _answer(self, exchange: Exchange, phase: Phase, deadline: float) -> Answer:
        if exchange.method != "POST":
            raise UsageError("A review is a POST.")
        if exchange.media_type != "application/json" or exchange.headers.get("content-encoding"):
            raise Malformed("A review is application/json, with no content encoding.")
        try:
            async with asyncio.timeout_at(deadline):
                review = await self._read(exchange)
        except TimeoutError as error:
            raise TimedOut("The review came too slowly.") from error
        except (TrustkitError, ClientGone) as error:
            if not isinstance(error, Unreadable):
                raise
            log.warning("refused at /%s: %s", phase, ascii(error.message)[1:-1])
            reason = f"{error.message} {error.hint}"
            return undecided(error.uid, reason, result=Result.UNREADABLE, detect=self._detect)
        except Exception as error:
            log.exception("a review at /%s can't be read", phase)
            raise Malformed("The review can't be read; the webhook's log says more.") from error
        try:
            findings = await self._findings(review, deadline)
            done = answer(review, findings, phase=phase, detect=self._detect)
        except Exception:
            log.exception("internal error at /%s", phase)
            reason = f"{review.subject} can't be judged: an internal error, of which the webhook's log says more."
            return undecided(review.uid, reason, result=Result.FAILED, detect=self._detect)
        for line in done.refused:
            verb = "detected" if done.result is Result.DETECTED else "refused"
            log.warning("%s at /%s: %s: %s", verb, phase, review.subject, ascii(line)[1:-1])
        return done

    async def _read(self, exchange: Exchange) -> Review:
        length = exchange.content_length
        if length is not None and length <= SMALL:
            return read(parse(await exchange.body(SMALL)), self._exempt)
        if length is not None and length > MAX_BODY:
            raise TooLarge(f"The review has {length} bytes; the limit is {MAX_BODY}.")
        async with self._turns:
            body = await exchange.body(MAX_BODY)
            return await asyncio.to_thread(lambda: read(parse(body), self._exempt))

    async def _findings(self, review: Review, deadline: float) -> dict[Image, Finding]:
        """A verdict for each image; the same name is asked about once.

        Few are asked about at a time, and none any more when time is up: a review of a thousand tags isn't what
        others wait for.
        """
        findings: dict[str, Finding] = {}
        named: dict[str, ImageRef] = {}
        for text in dict.fromkeys(image.text for image in review.images):
            try:
                named[text] = _read_often(text) if len(text) <= MAX_NAME else familiar(text)
            except TrustkitError as error:
                findings[text] = error
        asked: dict[str, Future[Verdict]] = {}
        now = asyncio.get_running_loop().time
        for text, ref in named.items():
            if now() >= deadline:
                break
            asked[text] = self._ask(ref)
            if len(asked) % ASKED_AT_ONCE == 0:
                await _wait(asked.values(), deadline)
        await _wait(asked.values(), deadline)
        findings |= {text: _finding(asked.get(text)) for text in named}
        return {image: findings[image.text] for image in review.images}

    def _budget(self, exchange: Exchange) -> float:
        """Seconds for this review; the API server says its own limit in the query."""
        told = _TIMEOUT.search(exchange.query)
        return min(self._seconds, int(told[1]) * MARGIN) if told else self._seconds


async def _wait(asked: Iterable[Future[Verdict]], deadline: float) -> None:
    """Returns when all are done, or it is time."""
    futures = [future for future in asked if not future.done()]
    if not futures:
        return
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[None] = loop.create_future()
    left = len(futures)

    def one_less() -> None:
        nonlocal left
        left -= 1
        if not left and not waiting.done():
            waiting.set_result(None)

    def done(_: Future[Verdict]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(one_less)

    for future in futures:
        future.add_done_callback(done)
    await asyncio.wait([waiting], timeout=max(0.0, deadline - loop.time()))


def _finding(future: Future[Verdict] | None) -> Finding:
    if future is None or not future.done():
        return TimedOut(
            "There was no answer in time.", hint="See whether the trust service can be reached, then try again."
        )
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, TrustkitError):
        return error
    raise error


async def _refuse(exchange: Exchange, error: TrustkitError) -> None:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    if not exchange.replied:
        body = {"error": {"slug": error.slug, "message": error.message, "hint": error.hint}}
        closing = [("connection", "close")] if status in (408, 413) else []
        await exchange.reply(status, [JSON, *closing], json.dumps(body).encode())


_STATUS: tuple[tuple[type[TrustkitError], int], ...] = (
    (TooLarge, 413),
    (TimedOut, 408),
    (NotFound, 404),
    (TrustkitError, 400),
)
