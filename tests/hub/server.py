"""A hub of one machine: the endpoints that huggingface_hub's client uses to create, fill and read model repositories.

Standard library only. Repositories live in memory, one commit after the other, on 127.0.0.1. Point `HF_ENDPOINT` at `url` before
huggingface_hub is imported, that is in a process of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

OWNER = "tester"


class Hub:
    """The server and its repositories: `repos[repo_id][path] -> bytes`; use it as a context manager."""

    def __init__(self):
        self.repos: dict[str, dict[str, bytes]] = {}
        self.messages: list[str] = []
        self.cards: list[str] = []
        hub = self

        class Handler(_Handler):
            store = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def sha(self, repo: str) -> str:
        """The commit of a repository: a hash of its files."""
        files = self.repos[repo]
        return hashlib.sha1(b"".join(name.encode() + files[name] for name in sorted(files))).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    store: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Keep the tests' output quiet."""

    def _reply(self, content, status: int = 200, headers=None):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _missing(self, what: str):
        self._reply({"error": what}, 404, {"X-Error-Code": what})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self):
        """Create a repository, announce an upload, commit, or check a card's header."""
        path, body = unquote(urlsplit(self.path).path), self._body()
        if path == "/api/repos/create":
            wanted = json.loads(body)
            repo = f"{wanted.get('organization') or OWNER}/{wanted['name']}"
            status = 409 if repo in self.store.repos else 200
            self.store.repos.setdefault(repo, {})
            return self._reply({"url": f"{self.store.url}/{repo}"}, status)
        if path == "/api/validate-yaml":
            self.store.cards.append(json.loads(body)["content"])
            return self._reply({"errors": [], "warnings": []})
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/(.+)", path)
        if not found or found[1] not in self.store.repos:
            return self._missing("RepoNotFound")
        if found[2] == "preupload":
            names = [file["path"] for file in json.loads(body)["files"]]
            kept = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
            return self._reply({"files": kept})
        for line in filter(None, body.splitlines()):
            item = json.loads(line)
            if item["key"] == "header":
                self.store.messages.append(item["value"]["summary"])
            elif item["key"] == "file":
                self.store.repos[found[1]][item["value"]["path"]] = base64.b64decode(item["value"]["content"])
        sha = self.store.sha(found[1])
        return self._reply({"commitOid": sha, "commitUrl": f"{self.store.url}/{found[1]}/commit/{sha}"})

    def do_HEAD(self):
        """As GET, without the body."""
        self.do_GET()

    def do_GET(self):
        """Describe a repository, list its files, or send one."""
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/.+|/tree/.+)?", path):
            if found[1] not in self.store.repos:
                return self._missing("RepoNotFound")
            files = self.store.repos[found[1]]
            if (found[2] or "").startswith("/tree/"):
                return self._reply(
                    [{"type": "file", "path": p, "size": len(b), "oid": _oid(b)} for p, b in files.items()]
                )
            siblings = [{"rfilename": name} for name in files]
            return self._reply({"id": found[1], "sha": self.store.sha(found[1]), "siblings": siblings, "tags": []})
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            files = self.store.repos.get(found[1])
            if files is None:
                return self._missing("RepoNotFound")
            if found[3] not in files:
                return self._missing("EntryNotFound")
            content = files[found[3]]
            return self._reply(content, 200, {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": self.store.sha(found[1])})
        return self._missing("RepoNotFound")


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
