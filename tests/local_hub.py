"""A hub in this process, in memory: the part of the Hugging Face hub's protocol that pushing and fetching need."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


def sha(files):
    """A commit's name, which changes with its files."""
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()


class Hub:
    """Repositories as dictionaries of files; ``requests`` has the method and path of all that was asked."""

    def __init__(self):
        self.repos, self.blobs, self.created, self.requests = {}, {}, [], []

    def answer(self, method, path, body, endpoint):
        """Status, headers and content."""
        parts = unquote(path).strip("/").split("/")
        if path == "/api/repos/create":
            asked = json.loads(body)
            self.created.append(asked)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            return self._json({"url": f"{endpoint}/{name}", "name": name})
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if parts[-1] == "batch":
            return self._json(self._batch(json.loads(body), endpoint))
        if parts[0] == "blobs":
            self.blobs[parts[1]] = body
            return 200, {}, b""
        if parts[0] == "api" and "preupload" in parts:
            files = [
                {"path": file["path"], "uploadMode": self._mode(file["path"]), "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self._json({"files": files})
        if parts[0] == "api" and "commit" in parts:
            self._commit("/".join(parts[1:4]), body)
            found = sha(self.repos["/".join(parts[1:4])])
            where = "/".join(parts[2:4] if parts[1] == "models" else parts[1:4])
            return self._json({"commitUrl": f"{endpoint}/{where}/commit/{found}", "commitOid": found, "success": True})
        if parts[0] == "api" and "paths-info" in parts:
            return self._json(self._entries("/".join(parts[1:4]), json.loads(body)["paths"]))
        if parts[0] == "api" and ("tree" in parts or "revision" in parts or len(parts) == 4):
            files = self.repos.get("/".join(parts[1:4]), {})
            if "tree" not in parts:
                return self._json({"id": "x/y", "sha": sha(files), "siblings": [{"rfilename": name} for name in files]})
            return self._json([{"type": "file", "path": n, "size": len(c), "oid": "0" * 40} for n, c in files.items()])
        return self._file(parts)

    def _entries(self, repo, paths):
        """Which of the paths are files, with what is known of them."""
        files = self.repos.get(repo, {})
        return [{"type": "file", "path": p, "size": len(files[p]), "oid": "0" * 40} for p in paths if p in files]

    def _mode(self, name):
        return "lfs" if name.endswith((".safetensors", ".arrow")) else "regular"

    def _batch(self, asked, endpoint):
        objects = [
            {**one, "actions": {"upload": {"href": f"{endpoint}/blobs/{one['oid']}"}}} for one in asked["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def _commit(self, repo, body):
        files = self.repos.setdefault(repo, {})
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
                assert hashlib.sha256(files[value["path"]]).hexdigest() == value["oid"]

    def _file(self, parts):
        kind = parts.pop(0) if parts[0] == "datasets" else "models"
        repo, name = "/".join([kind, *parts[:2]]), "/".join(parts[4:])
        content = self.repos.get(repo, {}).get(name)
        if content is None:
            code = "EntryNotFound" if repo in self.repos else "RepoNotFound"
            return 404, {"X-Error-Code": code}, b""
        tag = hashlib.sha256(content).hexdigest()
        return 200, {"X-Repo-Commit": sha(self.repos[repo]), "ETag": f'"{tag}"'}, content

    def _json(self, value):
        return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


@contextmanager
def running(hub):
    """Its address, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            hub.requests.append((self.command, path))
            status, headers, content = hub.answer(self.command, path, body, endpoint)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = _do

        def log_message(self, *what):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
