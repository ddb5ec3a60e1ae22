"""Putting a package on the Hub: a plan that can be read first, then one commit and one tag, then a check.

Every step may be repeated: what is there already is left alone, so an interrupted run is finished by the next.
"""

import hashlib
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rffd import hub
from rffd.errors import RffdError
from rffd.files import sha256
from rffd.hub import HubError, patiently, speaking_with
from rffd.manifest import content_hash, read_checksums
from rffd.revision import ARTIFACT, source_revision

KEPT = {".gitattributes"}  # the Hub's own


@dataclass(frozen=True)
class Remote:
    """What the repository holds: `head` is the last commit, None if there is no repository; `files` maps a path
    to (`sha256` or `git`, hash); `tags` map a name to its commit."""

    head: str | None
    private: bool | None
    files: dict[str, tuple[str, str]]
    tags: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """What publishing `folder` as `repository` would do."""

    folder: Path
    repository: str
    kind: str  # model | space
    private: bool
    tag: str | None
    revision: str
    checksums: dict[str, str]
    remote: Remote

    @property
    def changes(self) -> dict[str, str]:
        """`new`, `changed`, `same` or `deleted` by path."""
        found = {path: "deleted" for path in self.remote.files if path not in self.checksums and path not in KEPT}
        for path in self.checksums:
            there = self.remote.files.get(path)
            found[path] = "new" if there is None else "same" if _equal(self.folder / path, there) else "changed"
        return dict(sorted(found.items()))

    @property
    def commit_needed(self) -> bool:
        """Whether the repository's content differs from the package."""
        return any(change != "same" for change in self.changes.values())

    @property
    def tag_needed(self) -> bool:
        """Whether the tag is still to be set."""
        return self.tag is not None and self.tag not in self.remote.tags

    @property
    def message(self) -> str:
        """The commit's message: which content, made by which revision of the project."""
        name = f"{ARTIFACT} {self.tag}" if self.tag else ARTIFACT if self.kind == "model" else "page"
        return f"{name}: content {content_hash(self.checksums)[:16]}, source {self.revision}"


def make_plan(folder: Path, repository: str, *, private: bool, tag: str | None, kind: str = "model") -> Plan:
    """Check the folder's checksums and compare it with what the Hub holds; nothing is changed anywhere."""
    plan = Plan(
        folder=folder,
        repository=repository,
        kind=kind,
        private=private,
        tag=tag,
        revision=source_revision(),
        checksums=read_checksums(folder),
        remote=read_remote(repository, kind),
    )
    _check_tag(plan)
    return plan


def _check_tag(plan: Plan) -> None:
    stands_for = plan.remote.tags.get(plan.tag or "")
    if stands_for and (plan.commit_needed or stands_for != plan.remote.head):
        known = f"{plan.repository}: tag {plan.tag} is there already and stands for another content"
        raise RffdError(f"{known}; name a new one with --tag")


def listing(folder: Path) -> list[str]:
    """What would be uploaded, when there is nothing to compare it with."""
    return [f"  {(folder / path).stat().st_size:>12,} bytes  {path}" for path in sorted(read_checksums(folder))]


def describe(plan: Plan) -> list[str]:
    """The plan in words, a line each."""
    remote, changes = plan.remote, plan.changes
    if remote.head is None:
        seen = "private" if plan.private else "visible to everybody"
        first = f"{plan.repository}: to be created, {seen} (no repository of that name can be seen)"
    else:
        seen = "private" if remote.private else "visible to everybody"
        first = f"{plan.repository}: {seen}, at {remote.head[:12]}"
    signs = {"new": "+", "changed": "~", "same": "=", "deleted": "-"}
    lines = [first]
    for path, change in changes.items():
        size = f"{(plan.folder / path).stat().st_size:>12,} bytes" if change != "deleted" else " " * 18
        lines.append(f"  {signs[change]} {change:8} {size}  {path}")
    lines.append(f"commit: {plan.message}" if plan.commit_needed else "commit: none, the content is there already")
    if plan.kind == "space":
        return lines
    if plan.tag is None:
        lines.append(f"tag: none (name one with --tag v0.1.0, or `gto register {ARTIFACT} --version v0.1.0`)")
    else:
        lines.append(f"tag: {plan.tag}" if plan.tag_needed else f"tag: {plan.tag}, there already")
    return lines


def publish(plan: Plan) -> str:
    """Carry the plan out and return the page's address; safe to repeat, also after an interruption."""
    from huggingface_hub import HfApi

    api = HfApi()
    if plan.remote.head is None:
        patiently(lambda: _create(api, plan))
        plan = replace(plan, remote=read_remote(plan.repository, plan.kind))
        if plan.remote.head is None:
            raise RffdError(f"{plan.repository}: created, but can't be read; check what the token allows")
    plan = _commit(api, plan)
    head = plan.remote.head
    assert head is not None
    verify(plan, head)
    if plan.tag_needed:
        patiently(lambda: _tag(api, plan, head))
    return f"{api.endpoint}/{'spaces/' if plan.kind == 'space' else ''}{plan.repository}"


def _create(api: Any, plan: Plan) -> None:
    with speaking_with(plan.repository):
        sdk = "gradio" if plan.kind == "space" else None
        api.create_repo(plan.repository, private=plan.private, exist_ok=True, repo_type=plan.kind, space_sdk=sdk)


def _commit(api: Any, plan: Plan) -> Plan:
    """One commit on top of what the plan saw. An answer that got lost is found out by looking, not by repeating."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    head = plan.remote.head
    for attempt in range(hub.TRIES):
        if not plan.commit_needed:
            return plan
        operations: list[Any] = []
        for path, change in plan.changes.items():
            if change == "deleted":
                operations.append(CommitOperationDelete(path))
            elif change != "same":
                operations.append(CommitOperationAdd(path, plan.folder / path))
        try:
            with speaking_with(plan.repository):
                api.create_commit(
                    plan.repository,
                    operations,
                    commit_message=plan.message,
                    parent_commit=head,
                    repo_type=plan.kind,
                )
        except HubError as error:
            if not error.again or attempt == hub.TRIES - 1:
                raise
            time.sleep(hub.WAIT * 2**attempt)
        plan = replace(plan, remote=read_remote(plan.repository, plan.kind))
        if plan.commit_needed and plan.remote.head != head:
            raise HubError(f"{plan.repository}: changed by somebody else meanwhile; run the command again to see how")
    return plan


def _tag(api: Any, plan: Plan, head: str) -> None:
    with speaking_with(plan.repository):
        api.create_tag(plan.repository, tag=plan.tag, revision=head, tag_message=plan.message, exist_ok=True)


def verify(plan: Plan, revision: str) -> None:
    """Download every file of `revision` anew and compare its hash with the package's."""
    from huggingface_hub import hf_hub_download

    with tempfile.TemporaryDirectory(prefix="rffd-verify-") as folder:
        for path, digest in plan.checksums.items():

            def download(path: str = path) -> str:
                with speaking_with(plan.repository):
                    return hf_hub_download(
                        plan.repository, path, revision=revision, local_dir=folder, repo_type=plan.kind
                    )

            if sha256(Path(patiently(download))) != digest:
                raise RffdError(f"{plan.repository}: {path} came back with other content than was sent; publish again")
            (Path(folder) / path).unlink()


def read_remote(repository: str, kind: str = "model") -> Remote:
    """What the Hub holds under that name, as far as the token may see it."""
    from huggingface_hub import HfApi, RepoFile
    from huggingface_hub.errors import RepositoryNotFoundError

    def call() -> Remote:
        with speaking_with(repository):
            api = HfApi()
            try:
                info = api.repo_info(repository, timeout=hub.TIMEOUT, repo_type=kind)
            except RepositoryNotFoundError:
                return Remote(None, None, {}, {})
            files = {
                entry.path: ("sha256", entry.lfs.sha256) if entry.lfs else ("git", entry.blob_id)
                for entry in api.list_repo_tree(repository, recursive=True, revision=info.sha, repo_type=kind)
                if isinstance(entry, RepoFile)
            }
            tags = {tag.name: tag.target_commit for tag in api.list_repo_refs(repository, repo_type=kind).tags}
            return Remote(info.sha, info.private, files, tags)

    return patiently(call)


def _equal(path: Path, there: tuple[str, str]) -> bool:
    kind, digest = there
    if kind == "sha256":
        return sha256(path) == digest
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == digest
