"""The upload of a folder to the Hugging Face Hub, by huggingface_hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweep.errors import Fault, UserError, disk_failure, first_line

_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"


def access_faults() -> Iterator[Fault]:
    """Return why nothing can be uploaded from here: no token, or a hub that is switched off."""
    from huggingface_hub import constants, get_token

    if constants.is_offline_mode():
        yield Fault("HF_HUB_OFFLINE", "is set, so that nothing can be uploaded; unset it")
    if get_token() is None:
        yield Fault("--to", f"is hub, but there is no token of the Hugging Face Hub, so nothing is uploaded; {_LOG_IN}")


def name_fault(name: str) -> str:
    """Return the rule of the hub that the name of a repository breaks; empty if it breaks none."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        return first_line(error)
    return ""


def check_repository(name: str, *, replace: bool) -> None:
    """Raise UserError where the repository holds files that may not be replaced, or the hub cannot
    be asked."""
    from huggingface_hub import HfApi

    api = HfApi()
    with refusals(name):
        there = api.list_repo_files(name) if api.repo_exists(name) else []
    files = [file for file in there if file != ".gitattributes"]
    if files and not replace:
        rule = f"is hub {name}, which holds {len(files)} files already"
        raise UserError.of("--to", f"{rule}; name a new one, or add --replace, which keeps them in its history alone")


def upload(folder: Path, name: str, *, public: bool, message: str) -> str:
    """Upload the files of a folder in place of all others, and return the address of the
    repository. One that does not exist is made, private unless `public`; the visibility of one
    that does stays.

    Raises UserError where the hub refuses it.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    with refusals(name):
        api.create_repo(name, private=not public, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message=message, delete_patterns="*")
    return f"{api.endpoint}/{name}"


@contextmanager
def refusals(name: str) -> Iterator[None]:
    """Raise what the hub or the network says as UserError; an error of a disk stays as it is."""

    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from huggingface_hub.errors import HTTPError as NetworkError  # type: ignore[attr-defined]

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        said = error.server_message or first_line(error)
        advice = f"; {_LOG_IN}" if status in (401, 403) else ""
        raise UserError.of("--to", f"is hub {name}, but the hub refused it ({status}): {said}{advice}") from None
    except (NetworkError, OfflineModeIsEnabled, OSError) as error:
        if disk_failure(error) is not None:
            raise
        raise UserError.of("--to", f"is hub {name}, but the hub cannot be reached: {first_line(error)}") from None
    except RuntimeError as error:  # of a large file, whose cause is one of the above
        if disk_failure(error) is not None:
            raise
        cause = first_line(error.__cause__ or error)
        raise UserError.of("--to", f"is hub {name}, but a file could not be uploaded: {cause}") from error
