"""A loopback server that speaks as much of the Hub's protocol as reading and publishing need, with faults on demand.

with HubServer() as hub:
    hub.faults.append(Fault("POST", r"/commit/", status=503))
    subprocess.run(..., env=hub.environment(token="hf_write"))
"""

import base64
import hashlib
import json
import re
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKENS = {"hf_write_secret": {"read", "write"}, "hf_read_secret": {"read"}}
_REPOSITORY = r"(?P<kind>models|datasets|spaces)/(?P<repo>[\w.-]+/[\w.-]+)"


@dataclass
class Fault:
    """What happens to the next `times` requests whose method and path match, after `after` were let through.

    `status` answers with an error; `hang` waits that many seconds; `drop` closes the connection, `late` only after
    the request was carried out.
    """

    method: str
    path: str
    times: int = 1
    after: int = 0
    status: int | None = None
    hang: float = 0.0
    drop: bool = False
    late: bool = False


@dataclass
class Repository:
    """Commits, each a dictionary of contents by path, oldest first; tags by name."""

    private: bool
    commits: list[tuple[str, dict[str, bytes], str]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], message: str) -> str:
        """Add a commit and return its id."""
        seed = f"{len(self.commits)} {message} {sorted(files)}".encode()
        oid = hashlib.sha1(seed).hexdigest()
        self.commits.append((oid, files, message))
        return oid

    @property
    def head(self) -> str:
        """The id of the last commit."""
        return self.commits[-1][0]

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Id and files of a branch, tag or commit."""
        wanted = self.head if revision == "main" else self.tags.get(revision, revision)
        return next(((oid, files) for oid, files, _ in self.commits if oid == wanted), None)


class HubServer:
    """Runs in a thread; `repositories`, `faults` and `requests` are for the test to fill and to look at."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.lock = threading.Lock()
        handler = type("Bound", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that was killed, or gave up waiting
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def environment(self, home: Any, token: str | None = None) -> dict[str, str]:
        """What a process needs to speak with this server and no other; `home` holds its cache."""
        values = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        return values | {"NO_PROXY": "127.0.0.1"} | ({"HF_TOKEN": token} if token else {})

    def fault(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets, if any."""
        with self.lock:
            for fault in self.faults:
                if fault.method == method and re.search(fault.path, path):
                    if fault.after:
                        fault.after -= 1
                    elif fault.times:
                        fault.times -= 1
                        return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _serve(self) -> None:
        path, _, _ = self.path.partition("?")
        path = urllib.parse.unquote(path)
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(length)
        self.hub.requests.append(f"{self.command} {path}")
        fault = self.hub.fault(self.command, path)
        if fault and fault.hang:
            time.sleep(fault.hang)
        if fault and fault.status:
            # a careless server, or proxy, that tells what it was sent
            return self._answer(fault.status, {"error": f"fault: {self.headers.get('Authorization')}"})
        if fault and fault.drop and not fault.late:
            return self._drop()
        with self.hub.lock:
            status, answer, headers = self._route(path, body)
        if fault and fault.drop:
            return self._drop()
        return self._answer(status, answer, headers)

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(2)

    def _answer(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _rights(self) -> set[str] | None:
        """What the token allows; none without a token, None if it isn't known."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        return TOKENS.get(token) if token else set()

    def _route(self, path: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        rights = self._rights()
        if rights is None:
            message = "Invalid credentials in Authorization header"
            return 401, {"error": message}, {"X-Error-Message": message}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}, {}
        if path == "/api/repos/create":
            return self._create(json.loads(body), rights)
        if match := re.fullmatch(r"/lfs/([0-9a-f]{64})(/verify)?", path):
            return self._blob(match[1], body if self.command == "PUT" else None)
        if match := re.fullmatch(rf"/api/{_REPOSITORY}(?P<rest>/.*)?", path):
            return self._api(match, body, rights)
        if match := re.fullmatch(r"/(?:spaces/|datasets/)?([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(body), rights)
        if match := re.fullmatch(r"/(?:spaces/|datasets/)?([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(match[1], match[2], match[3], rights)
        return 404, {"error": f"no such address: {path}"}, {}

    def _create(self, wanted: dict[str, Any], rights: set[str]) -> tuple[int, Any, dict[str, str]]:
        if "write" not in rights:
            return (403 if rights else 401), {"error": "no right to create"}, {}
        name = f"{wanted.get('organization') or 'someone'}/{wanted['name']}"
        if name in self.hub.repositories:
            return 409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"}, {}
        private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        repository = self.hub.repositories[name] = Repository(private)
        repository.commit({".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        return 200, {"url": f"{self.hub.url}/{name}", "name": name}, {}

    def _blob(self, oid: str, content: bytes | None) -> tuple[int, Any, dict[str, str]]:
        if content is not None:
            if hashlib.sha256(content).hexdigest() != oid:
                return 400, {"error": "content has another hash"}, {}
            self.hub.blobs[oid] = content
        return (200 if oid in self.hub.blobs else 404), {}, {}

    def _batch(self, wanted: dict[str, Any], rights: set[str]) -> tuple[int, Any, dict[str, str]]:
        if "write" not in rights:
            return 403, {"error": "read only"}, {}
        objects = []
        for item in wanted["objects"]:
            entry: dict[str, Any] = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.blobs:
                address = f"{self.hub.url}/lfs/{item['oid']}"
                entry["actions"] = {"upload": {"href": address}, "verify": {"href": f"{address}/verify"}}
            objects.append(entry)
        return 200, {"transfer": "basic", "objects": objects}, {}

    def _seen(self, name: str, rights: set[str]) -> Repository | None:
        repository = self.hub.repositories.get(name)
        return None if repository is None or (repository.private and not rights) else repository

    def _api(self, match: re.Match[str], body: bytes, rights: set[str]) -> tuple[int, Any, dict[str, str]]:
        repository, rest = self._seen(match["repo"], rights), match["rest"] or ""
        if repository is None:
            return (404 if rights else 401), {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        action, _, argument = rest.removeprefix("/").partition("/")
        if self.command == "GET":
            if action == "refs":
                branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head}
                tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": oid} for n, oid in repository.tags.items()]
                return 200, {"branches": [branch], "converts": [], "tags": tags}, {}
            found = repository.at(argument.partition("/")[0] or "main")
            if found is None:
                return 404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"}
            oid, files = found
            if action == "tree":
                return 200, [_entry(path, content) for path, content in sorted(files.items())], {}
            siblings = [{"rfilename": path} for path in sorted(files)]
            name = match["repo"]
            return 200, {"id": name, "sha": oid, "private": repository.private, "siblings": siblings, "tags": []}, {}
        if "write" not in rights:
            return 403, {"error": "read only"}, {}
        if action == "preupload":
            there = repository.at("main")[1]  # type: ignore[index]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if _large(file["path"]) else "regular",
                    "shouldIgnore": False,
                    "oid": _entry(file["path"], there[file["path"]])["oid"] if file["path"] in there else None,
                }
                for file in json.loads(body)["files"]
            ]
            return 200, {"files": modes}, {}
        if action == "tag":
            wanted = json.loads(body)
            if wanted["tag"] in repository.tags:
                return 409, {"error": "Tag already exists"}, {}
            repository.tags[wanted["tag"]] = repository.at(argument)[0]  # type: ignore[index]
            return 200, {}, {}
        if action == "commit":
            return self._commit(match["repo"], repository, body)
        return 404, {"error": f"no such action: {action}"}, {}

    def _commit(self, name: str, repository: Repository, body: bytes) -> tuple[int, Any, dict[str, str]]:
        lines = [json.loads(line) for line in body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, repository.head):
            return 412, {"error": "A commit has happened since. Please refresh and try again."}, {}
        files = dict(repository.at("main")[1])  # type: ignore[index]
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    return 400, {"error": "the pointer leads to no uploaded file"}, {}
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        oid = repository.commit(files, header["summary"])
        return 200, {"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid, "hookOutput": ""}, {}

    def _resolve(self, name: str, revision: str, path: str, rights: set[str]) -> tuple[int, Any, dict[str, str]]:
        repository = self._seen(name, rights)
        found = repository.at(revision) if repository else None
        if found is None:
            return (404 if rights else 401), {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        oid, files = found
        if path not in files:
            return 404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": oid}
        return 200, files[path], {"ETag": f'"{_entry(path, files[path])["oid"]}"', "X-Repo-Commit": oid}


def _large(path: str) -> bool:
    return path.endswith((".safetensors", ".onnx"))


def _entry(path: str, content: bytes) -> dict[str, Any]:
    """A file as the tree lists it: the git hash, and for large ones the SHA-256 beside it."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob}
    if _large(path):
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
    return entry
