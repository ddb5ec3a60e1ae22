"""Talking to the Hugging Face Hub: bounded waiting, errors as one line, and a token that nobody gets to see."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from rffd.errors import RffdError

TIMEOUT = 60.0  # seconds without an answer
TRIES = 4  # of a call that the Hub could not serve
WAIT = 2.0  # seconds before the second try, doubled before each further one
FILES = ["*.json", "*.safetensors", "*.md", "onnx/*", "SHA256SUMS"]
T = TypeVar("T")


class HubError(RffdError):
    """The Hub refused or could not be reached; `again` says whether the same call may succeed later."""

    def __init__(self, message: str, *, again: bool = False):
        self.again = again
        super().__init__(message)


@contextlib.contextmanager
def speaking_with(repository: str) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a `HubError` of one line that holds no token."""
    import httpx2
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
    from huggingface_hub.utils import disable_progress_bars

    get_session().timeout = httpx2.Timeout(TIMEOUT)  # it comes without one
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    except (OfflineModeIsEnabled, HFValidationError) as error:
        raise HubError(_clean(f"{repository}: {error}")) from None
    except RffdError:
        raise
    except Exception as error:  # the client's, its HTTP library's, or a stumble over an answer of another shape
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, httpx2.HTTPError):
            cause = cause.__cause__
        response = getattr(cause, "response", None)
        if response is not None:
            raise _refused(repository, response.status_code, str(cause)) from None
        if isinstance(cause, httpx2.TimeoutException):
            raise HubError(
                f"{constants.ENDPOINT}: no answer within {TIMEOUT:g} s; try again later", again=True
            ) from None
        if isinstance(cause, httpx2.TransportError):
            reason = _clean(str(cause) or type(cause).__name__)
            raise HubError(f"{constants.ENDPOINT} can't be reached ({reason})", again=True) from None
        known = isinstance(error, OSError | RuntimeError)
        reason = str(error) if known else f"the Hub's answer can't be read ({type(error).__name__}: {error})"
        raise HubError(_clean(f"{repository}: {reason}")) from None


def _refused(repository: str, status: int, message: str) -> HubError:
    reasons = {
        401: "the Hub doesn't accept the token, or none was given (401); set HF_TOKEN or run `hf auth login`",
        403: "the token doesn't allow this (403); use one that may write to it",
        404: "no such repository or revision, or not visible to this token (404)",
        408: "the Hub took too long (408); try again later",
        409: "changed by somebody else meanwhile (409); run the command again to see how",
        412: "changed by somebody else meanwhile (412); run the command again to see how",
        429: "the Hub asks for patience (429); try again in a few minutes",
    }
    reason = reasons.get(status) or (
        f"the Hub has trouble of its own ({status}); try again later" if status >= 500 else f"refused: {message}"
    )
    return HubError(_clean(f"{repository}: {reason}"), again=status in (408, 429) or status >= 500)


def _clean(message: str) -> str:
    """One line, shortened, without the token, whoever put it there."""
    from huggingface_hub import get_token

    with contextlib.suppress(Exception):
        if token := get_token():
            message = message.replace(token, "***")
    message = " ".join(message.split())
    return message if len(message) <= 300 else message[:299] + "…"


def patiently(call: Callable[[], T]) -> T:
    """Make a call that may be repeated without harm, a few times if the Hub is overloaded or silent."""
    for attempt in range(TRIES):
        try:
            return call()
        except HubError as error:
            if not error.again or attempt == TRIES - 1:
                raise
            time.sleep(WAIT * 2**attempt)
    raise AssertionError("unreachable")


def download_model(repository: str, revision: str = "") -> Path:
    """The folder of a published model, downloaded once into the Hub's own cache; only the files a package has."""

    def call() -> str:
        from huggingface_hub import snapshot_download

        with speaking_with(repository):
            return snapshot_download(repository, revision=revision or None, allow_patterns=FILES)

    folder = Path(patiently(call))
    if not (folder / "config.json").is_file():
        raise RffdError(f"{repository}: holds no packaged model (no config.json)")
    return folder
