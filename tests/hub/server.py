"""A hub of one machine: the endpoints that huggingface_hub's client uses to create, fill and read model repositories, and faults.

Standard library only. Repositories live in memory, one commit after the other, on 127.0.0.1. Point `HF_ENDPOINT` at `url` before
huggingface_hub is imported, that is in a process of its own (tests/hub/client.py), with `HF_HUB_DISABLE_XET=1`: large files then go
the classic way (LFS: batch, upload, verify). What a fault does stands in faults.py.

What this hub does not have, and no test here covers: the Xet protocol, by which the client uploads where hf_xet is installed and the
hub knows it (test_xet.py checks that without it a push fails whole and downloads work); who may do what, beyond private repositories
that need some token; gated repositories, pull requests, quotas and rate limits; files that the hub rewrites, and how it shows cards.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from hub.cards import card_errors
from hub.faults import Dropped, Fault, matching

OWNER = "tester"
TOKEN = "hf_SecretOfTheTester"
LARGE = (".safetensors", ".png", ".model")
"""What goes through LFS, of whatever size."""


@dataclass
class Repository:
    """Branches by name, each with a commit; commits by id, each with all its files; what was uploaded for later commits."""

    private: bool
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, bytes], message: str | None = None) -> str:
        """Add a commit to a branch and return its id."""
        content = "".join(f"{name}:{_sha1(files[name])}\n" for name in sorted(files))
        sha = hashlib.sha1(f"{len(self.commits)} {content}".encode()).hexdigest()
        self.commits[sha], self.branches[branch] = dict(files), sha
        if message is not None:
            self.messages.append(message)
        return sha

    def sha(self, revision: str) -> str | None:
        """The commit that a branch, or a commit's own id, names."""
        found = self.branches.get(revision, revision)
        return found if found in self.commits else None


class Hub:
    """The server and its repositories; a context manager.

    Attributes:
        repos: `Repository` by id.
        requests: `METHOD path` of everything that was asked, in order.
        sent: headers and bodies of everything that was asked, as bytes.
        faults: what to do wrong, and how often.
        cards: contents that the client had checked.
    """

    def __init__(self):
        self.repos: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.cards: list[str] = []
        self.faults: list[Fault] = []
        self.lock = threading.RLock()
        hub = self

        class Handler(_Handler):
            store = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def add(self, repo: str, files: dict[str, bytes], private: bool = False) -> str:
        """Make a repository with these files, or put them in the place of all it has; returns the commit."""
        found = self.repos.setdefault(repo, Repository(private))
        return found.commit("main", files)

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """The files of a revision."""
        sha = self.repos[repo].sha(revision)
        return self.repos[repo].commits[sha] if sha else {}

    def fail(self, kind: str, path: str, **options: Any) -> Fault:
        """Do something wrong with the next requests of this path; see `Fault`."""
        self.faults.append(Fault(kind, path, **options))
        return self.faults[-1]

    def asked(self, pattern: str) -> list[str]:
        """The requests that a pattern matches."""
        return [request for request in self.requests if re.search(pattern, request)]


class _Handler(BaseHTTPRequestHandler):
    store: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Keep the tests' output quiet."""

    def _serve(self):
        path = unquote(urlsplit(self.path).path)
        with self.store.lock:
            self.store.requests.append(f"{self.command} {path}")
            self.fault = matching(self.store.faults, f"{self.command} {path}")
        try:
            body = self._body()
            if self.fault is not None:
                self.fault.before(self)
            with self.store.lock:
                self._route(path, body)
        except (Dropped, ConnectionError):
            self.close_connection = True

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def reply(self, content, status: int = 200, headers=None):
        """Answer with bytes, or anything that JSON writes."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if self.fault is None else self.fault.body(self, body))

    def refuse(self, status: int, code: str, text: str = ""):
        """Answer with an error as the hub words it."""
        self.reply({"error": text or code}, status, {"X-Error-Code": code, "X-Error-Message": text or code})

    def _route(self, path: str, body: bytes):
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/tests/fault":
            return self.reply({"number": len(self.store.faults), "at": str(self.store.fail(**json.loads(body)))})
        if path.startswith("/tests/files/"):
            repo = path.removeprefix("/tests/files/")
            return self.reply({name: _sha1(content) for name, content in self.store.files(repo).items()})
        if path == "/tests/clear":
            self.store.faults.clear()
            return self.reply({})
        if path == "/tests/requests":
            asked, self.store.requests[:] = list(self.store.requests), []
            return self.reply(asked)
        if path == "/api/validate-yaml":
            self.store.cards.append(json.loads(body)["content"])
            errors = [{"message": message} for message in card_errors(self.store.cards[-1])]
            return self.reply({"errors": errors, "warnings": []}, 400 if errors else 200)
        if path == "/api/whoami-v2":
            return self.reply({"type": "user", "name": OWNER, "orgs": []})
        for pattern, act in (
            (r"/api/models/([^/]+/[^/]+)/(preupload|commit|branch)/(.+)", self._change),
            (r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/(.*))?)?", self._describe),
            (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._send),
            (r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", self._batch),
            (r"/lfs/([^/]+/[^/]+)/(upload|verify)/([0-9a-f]{64})", self._large),
        ):
            if found := re.fullmatch(pattern, path):
                repo = self.store.repos.get(found[1])
                if repo is None or (repo.private and "Authorization" not in self.headers and "lfs" not in path):
                    return self.refuse(404 if repo is None else 401, "RepoNotFound")
                return act(repo, found, body)
        return self.refuse(404, "RepoNotFound")

    def _create(self, wanted: dict[str, Any]):
        repo = f"{wanted.get('organization') or OWNER}/{wanted['name']}"
        status = 409 if repo in self.store.repos else 200
        if status == 200:
            hidden = wanted.get("private") or wanted.get("visibility") == "private"
            self.store.repos[repo] = Repository(bool(hidden))
            self.store.repos[repo].commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"})
        return self.reply({"url": f"{self.store.url}/{repo}"}, status)

    def _change(self, repo: Repository, found: re.Match[str], body: bytes):
        name, act, revision = found[1], found[2], found[3]
        if act == "branch":
            if revision in repo.branches:
                return self.refuse(409, "BranchExists", "Reference already exists")
            repo.branches[revision] = repo.branches["main"]
            return self.reply({})
        sha = repo.sha(revision)
        if sha is None:
            return self.refuse(404, "RevisionNotFound")
        if act == "preupload":
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = {path: "lfs" if path.endswith(LARGE) else "regular" for path in paths}
            return self.reply(
                {"files": [{"path": p, "uploadMode": mode, "shouldIgnore": False} for p, mode in modes.items()]}
            )
        files, message = dict(repo.commits[sha]), ""
        lines = [json.loads(line) for line in body.splitlines() if line]
        for number, item in enumerate(lines):
            if self.fault is not None and self.fault.kind == "half a commit" and number >= len(lines) // 2:
                return self.refuse(400, "BadRequest", "the second half of the commit was refused")
            value = item["value"]
            if item["key"] == "header":
                message = value["summary"]
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                if value["oid"] not in repo.large:
                    return self.refuse(400, "BadRequest", f"{value['path']} was never uploaded")
                files[value["path"]] = repo.large[value["oid"]]
            elif item["key"] == "deletedFile":
                files.pop(value["path"])
            else:
                return self.refuse(400, "BadRequest", f"unknown act {item['key']}")
        sha = repo.commit(revision, files, message)
        return self.reply({"commitOid": sha, "commitUrl": f"{self.store.url}/{name}/commit/{sha}"})

    def _batch(self, repo: Repository, found: re.Match[str], body: bytes):
        answers = []
        for wanted in json.loads(body)["objects"]:
            address = f"{self.store.url}/lfs/{found[1]}"
            actions = {act: {"href": f"{address}/{act}/{wanted['oid']}"} for act in ("upload", "verify")}
            answers.append(wanted | ({} if wanted["oid"] in repo.large else {"actions": actions}))
        return self.reply({"transfer": "basic", "objects": answers})

    def _large(self, repo: Repository, found: re.Match[str], body: bytes):
        if found[2] == "upload":
            content = body if self.fault is None else self.fault.body(self, body)
            if hashlib.sha256(content).hexdigest() == found[3]:
                repo.large[found[3]] = content
                return self.reply(b"")
            return self.refuse(400, "BadRequest", "the checksum of the upload is wrong")
        known = found[3] in repo.large and len(repo.large[found[3]]) == json.loads(body)["size"]
        return self.reply({}) if known else self.refuse(422, "BadRequest", "the uploaded file is not what was promised")

    def _describe(self, repo: Repository, found: re.Match[str], body: bytes):
        sha = repo.sha(found[3] or "main")
        if sha is None:
            return self.refuse(404, "RevisionNotFound")
        files = repo.commits[sha]
        if found[2] == "tree":
            folder = f"{found[4]}/" if found[4] else ""
            inside = {path: content for path, content in files.items() if path.startswith(folder)}
            return self.reply([_entry(path, content) for path, content in inside.items()])
        siblings = [{"rfilename": path, "size": len(content)} for path, content in files.items()]
        return self.reply(
            {"id": found[1], "sha": sha, "siblings": siblings, "tags": [], "private": repo.private, "downloads": 0}
        )

    def _send(self, repo: Repository, found: re.Match[str], body: bytes):
        sha = repo.sha(found[2])
        if sha is None:
            return self.refuse(404, "RevisionNotFound")
        if found[3] not in repo.commits[sha]:
            return self.reply({"error": "EntryNotFound"}, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
        content = repo.commits[sha][found[3]]
        large = found[3].endswith(LARGE)
        etag = hashlib.sha256(content).hexdigest() if large else _sha1(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        if large:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        if part := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(part[1]), min(int(part[2] or len(content) - 1), len(content) - 1)
            if first >= len(content):
                return self.reply(b"", 416, {"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return self.reply(content[first : last + 1], 206, headers)
        return self.reply(content, 200, headers)


for _verb in ("GET", "HEAD", "POST", "PUT", "DELETE"):
    setattr(_Handler, f"do_{_verb}", _Handler._serve)


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _sha1(content)}
    if path.endswith(LARGE):
        oid = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 134}
    return entry


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
