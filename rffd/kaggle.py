"""Downloading a dataset from Kaggle through kagglehub, pinned to a version; what fails says what to do."""

from dataclasses import dataclass
from pathlib import Path

from rffd.errors import RffdError
from rffd.params import require

BY_HAND = "or download the zip in a browser and set data.source=archive data.path=<the zip>"
SIGN_IN = (
    "set KAGGLE_API_TOKEN, or put kaggle.json into ~/.kaggle (both from kaggle.com/settings, section API), "
    "and accept the dataset's terms on its page"
)


@dataclass(frozen=True, kw_only=True)
class KaggleParams:
    """Which dataset: `dataset` is owner/name as in its address, `version` the number on its page."""

    dataset: str
    version: int

    def __post_init__(self) -> None:
        parts = self.dataset.split("/")
        require(len(parts) == 2 and all(parts), "data.kaggle.dataset", self.dataset, "owner/name")
        require(self.version > 0, "data.kaggle.version", self.version, "1 or more")


def download(params: KaggleParams) -> Path:
    """Download and unpack the dataset into kagglehub's cache, unless it is there; return the folder."""
    handle = f"{params.dataset}/versions/{params.version}"
    try:
        import kagglehub
        from kagglehub.exceptions import CredentialError, DataCorruptionError, UnauthenticatedError
        from requests import HTTPError, RequestException
    except ImportError as error:
        raise RffdError(
            f"data.source=kaggle needs the package {error.name}: "
            f"pip install -e '.[kaggle]' -c constraints.txt, {BY_HAND}"
        ) from error
    try:
        return Path(kagglehub.dataset_download(handle))
    except HTTPError as error:
        raise RffdError(_refusal(getattr(error.response, "status_code", 0), params, handle)) from error
    except (CredentialError, UnauthenticatedError) as error:
        raise RffdError(f"Kaggle wants to know who asks: {SIGN_IN}, {BY_HAND}") from error
    except RequestException as error:
        raise RffdError(
            f"Kaggle can't be reached, or the connection broke ({_host(error)}): check the network or proxy and run "
            f"the same command again (it resumes), {BY_HAND}"
        ) from error
    except DataCorruptionError as error:
        raise RffdError(f"Kaggle's {handle} arrived damaged: run the same command again, {BY_HAND}") from error
    except Exception as error:  # a broken kaggle.json or archive, a full disk ...: kagglehub raises what it likes
        raise RffdError(
            f"Kaggle's {handle}: {' '.join(str(error).split()) or type(error).__name__}, {BY_HAND}"
        ) from error


def _refusal(status: int, params: KaggleParams, handle: str) -> str:
    if status in (401, 403):
        return f"Kaggle refuses {handle} ({status}): {SIGN_IN}, {BY_HAND}"
    if status == 404:
        return f"Kaggle has no {handle} (404): check data.kaggle.dataset and data.kaggle.version"
    if status == 429:
        return f"Kaggle limits downloads (429): try again later, {BY_HAND}"
    return f"Kaggle answers {status} for {handle}: try again later, {BY_HAND}"


def _host(error: Exception) -> str:
    request = getattr(error, "request", None)
    return request.url.split("/")[2] if request is not None and request.url else type(error).__name__
