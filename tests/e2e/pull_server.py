"""A hub, a registry and a web server on loopback that behave as badly as a test tells them to.

Every file is one entry: its bytes and how it is served. What was asked is kept, headers included.
"""
import hashlib
import http.server
import json
import threading

CHUNK = 16384


class File:
    """One file and its faults. faults: a list of functions, each used for one GET of it (the last
    one stays); an entry None serves it rightly."""

    def __init__(self, data, etag='"v1"', ranges=True, linked=False, sha256=None, faults=(),
                 headers=None, last_modified=None):
        self.data = data
        self.etag = etag
        self.ranges = ranges
        self.linked = linked  # say X-Linked-Etag and X-Linked-Size
        self.sha256 = sha256 or hashlib.sha256(data).hexdigest()
        self.faults = list(faults)
        self.headers = headers or {}
        self.last_modified = last_modified


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        owner = self.server.owner
        with owner.lock:
            owner.asked.append((self.path, dict(self.headers)))
            entry = owner.entries.get(self.path.split("?")[0])
            fault = None
            if isinstance(entry, File) and entry.faults:
                fault = entry.faults.pop(0) if len(entry.faults) > 1 else entry.faults[0]
        try:
            if entry is None:
                self.say(404, b"no such file")
            elif callable(entry):
                entry(self)
            elif fault is not None:
                fault(self, entry)
            elif isinstance(entry, File):
                self.serve(entry)
            else:
                self.say(200, entry)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def say(self, status, body=b"", **headers):
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def start_of_range(self, file):
        """Where to begin; 0 for all of it."""
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if not asked or not file.ranges or condition not in (None, file.etag, file.last_modified):
            return 0
        return int(asked.removeprefix("bytes=").rstrip("-"))

    def head(self, file, start, n=None, **more):
        """n: the length that is stated."""
        n = len(file.data) - start if n is None else n
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(n))
        if start:
            total = len(file.data)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if file.etag:
            self.send_header("ETag", file.etag)
        if file.last_modified:
            self.send_header("Last-Modified", file.last_modified)
        if file.linked:
            self.send_header("X-Linked-Etag", f'"{file.sha256}"')
            self.send_header("X-Linked-Size", str(len(file.data)))
        for name, value in {**file.headers, **more}.items():
            self.send_header(name, value)
        self.end_headers()

    def serve(self, file, stop=None):
        """stop: how many bytes are sent before the connection is closed."""
        start = self.start_of_range(file)
        if start >= len(file.data):
            self.say(416, b"", Content_Range=f"bytes */{len(file.data)}")
            return
        self.head(file, start)
        self.wfile.write(file.data[start:] if stop is None else file.data[start:start + stop])
        if stop is not None:
            self.close_connection = True


# --- faults ---

def cut_after(n):
    return lambda handler, file: handler.serve(file, stop=n)


def answer(status, body=b"", **headers):
    return lambda handler, file: handler.say(status, body, **headers)


def redirect(url, status=302, **headers):
    return lambda handler, file: handler.say(status, b"", Location=url, **headers)


def stated_length(n):
    """More than there is, or less."""
    def fault(handler, file):
        handler.head(file, 0, n)
        handler.wfile.write(file.data[:n])
        handler.close_connection = True
    return fault


def without_length(handler, file):
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(file.data)
    handler.close_connection = True


def in_chunks(handler, file):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    if file.linked:
        handler.send_header("X-Linked-Etag", f'"{file.sha256}"')
        handler.send_header("X-Linked-Size", str(len(file.data)))
    handler.end_headers()
    for at in range(0, len(file.data), CHUNK):
        part = file.data[at:at + CHUNK]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
    handler.wfile.write(b"0\r\n\r\n")


def endless(begin=b"GGUF", **headers):
    """An answer that does not end: no length, in chunks."""
    def fault(handler, file=None):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        part = begin + bytes(CHUNK - len(begin))
        while not handler.server.owner.stopping:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
    return fault


def endless_headers(handler, file=None):
    handler.send_response(200)
    handler.flush_headers()
    while not handler.server.owner.stopping:
        handler.wfile.write(b"X-More: " + b"y" * 4000 + b"\r\n")


def stall_after(n, started=None):
    """Sends n bytes and then nothing, until the client leaves or the server stops."""
    def fault(handler, file):
        start = handler.start_of_range(file)
        handler.head(file, start)
        handler.wfile.write(file.data[start:start + n])
        handler.wfile.flush()
        if started is not None:
            started.set()
        handler.connection.settimeout(0.2)
        while not handler.server.owner.stopping:
            try:
                if not handler.connection.recv(1):
                    break
            except TimeoutError:
                continue
        handler.close_connection = True
    return fault


class Server:
    """entries: path to File, bytes, or a function of the handler. asked: (path, headers)."""

    def __init__(self, **entries):
        self.entries, self.asked, self.lock, self.stopping = {}, [], threading.Lock(), False
        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.owner = self
        self.httpd.daemon_threads = True
        self.port = self.httpd.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={
            "poll_interval": 0.05})
        self.thread.start()

    def close(self):
        self.stopping = True
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join()

    def put(self, path, file):
        self.entries[path] = file
        return file

    def put_hub(self, path, file, repo="own/repo"):
        return self.put(f"/{repo}/resolve/main/{path}", file)

    def put_tree(self, files, repo="own/repo", folder="", **more):
        """files: path to File: what the hub's list says of them."""
        items = [{"type": "file", "oid": "0" * 40, "size": len(f.data), "path": path,
                  "lfs": {"oid": f.sha256, "size": len(f.data), "pointerSize": 134}}
                 for path, f in files.items()]
        self.put(f"/api/models/{repo}/tree/main{folder}", json.dumps(items, **more).encode())

    def put_ollama(self, name, tag, file, layers=None):
        layer = {"mediaType": "application/vnd.ollama.image.model", "size": len(file.data),
                 "digest": f"sha256:{file.sha256}"}
        other = {"mediaType": "application/vnd.ollama.image.license", "size": 3,
                 "digest": "sha256:" + "0" * 64}
        manifest = {"schemaVersion": 2, "layers": [other, layer] if layers is None else layers}
        self.put(f"/v2/{name}/manifests/{tag}", json.dumps(manifest).encode())
        self.put(f"/v2/{name}/blobs/sha256:{file.sha256}", file)

    def paths(self, word="/resolve/"):
        return [path for path, _ in self.asked if word in path]
