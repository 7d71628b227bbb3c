"""The page in a headless Chromium: what a person does with mouse and keys, and what they see."""
import base64
import json
import time

import browser
from service import LIMIT, ROOT

AXE = ROOT / "build" / "test-page" / "node_modules" / "axe-core" / "axe.min.js"
KEYS = {
    "Enter": 13, "Escape": 27, "Tab": 9, " ": 32, "ArrowLeft": 37, "ArrowUp": 38,
    "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35, "Backspace": 8,
}  # fmt: skip
MODIFIERS = {"alt": 1, "ctrl": 2, "meta": 4, "shift": 8}


class Page(browser.Browser):
    def __init__(self):
        super().__init__(LIMIT)
        self.requests, self.complaints, self.downloads, self.origin = [], [], [], None
        for domain in ("Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def read(self):
        message = super().read()
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"])
        elif method == "Browser.downloadProgress":
            self.downloads.append(params["state"])
        elif method == "Log.entryAdded" and params["entry"]["source"] == "security":
            self.complaints.append(params["entry"]["text"])
        return message

    def forget(self):
        """A browser that has seen nothing yet."""
        self.call("Page.navigate", url="about:blank")
        if self.origin:
            self.call("Storage.clearDataForOrigin", origin=self.origin, storageTypes="all")
        self.call("Emulation.setEmulatedMedia", features=[])
        self.requests, self.complaints, self.errors = [], [], []

    def visit(self, service, width=1280, height=800, ready=True):
        self.origin = f"http://{service.host}"
        self.open(f"{self.origin}/", width, height)
        if ready:
            self.wait("document.getElementById('model').textContent !== ''")

    def size(self, width, height=800):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip

    def theme(self, name):
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.call("Emulation.setEmulatedMedia", features=features)

    # --- looking ---

    def run(self, expression):
        """The value of an expression that may be a promise."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, condition, what=None):
        end = time.monotonic() + LIMIT
        while not self.value(f"!!({condition})"):
            assert time.monotonic() < end, f"not within {LIMIT} s: {what or condition}"
            time.sleep(0.01)

    def at(self, id):
        return f"document.getElementById({json.dumps(id)})"

    def text(self, selector):
        """The text that is seen in what the selector finds; "" where there is none."""
        found = f"document.querySelector({json.dumps(selector)})"
        return self.value(f"{found} ? {found}.innerText : ''")

    def texts(self, selector):
        return self.value(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.innerText)"
        )

    def count(self, selector):
        return self.value(f"document.querySelectorAll({json.dumps(selector)}).length")

    def seen(self, id):
        return self.value(f"{self.at(id)}.getClientRects().length > 0")

    def focused(self):
        """The id of the element that has the focus, or its text."""
        return self.value("document.activeElement.id || document.activeElement.innerText")

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    # --- doing ---

    def push(self, id):
        self.click(self.at(id))

    def press(self, key, *modifiers, times=1):
        mask = sum(MODIFIERS[one] for one in modifiers)
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        code = KEYS.get(key) or ord(key.upper())
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                more = {"text": text} if text and kind == "keyDown" and mask in (0, 8) else {}
                self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                          windowsVirtualKeyCode=code, modifiers=mask, **more)  # fmt: skip

    def write(self, text):
        self.call("Input.insertText", text=text)

    def fill(self, id, text):
        self.value(f"{self.at(id)}.focus(); {self.at(id)}.select()")
        self.press("Backspace")
        self.write(text)

    def ask(self, text):
        """Sends a message of the chat."""
        self.fill("question", text)
        self.press("Enter")

    def wait_for_answer(self):
        self.wait(
            f"!{self.at('send')}.hidden && document.querySelector('.message.assistant .foot')",
            "an answer, complete",
        )

    def generate(self, text):
        """Continues a prompt, to its end."""
        self.push("tab-prompt")
        self.fill("prompt", text)
        self.press("Enter", "ctrl")
        self.wait_for_tokens()

    def wait_for_tokens(self):
        self.wait(
            f"!{self.at('generate')}.hidden && {self.at('tokens')}.childElementCount > 0",
            "a continuation, complete",
        )

    def choose_file(self, id, path):
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=f"#{id}")["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def download(self, id, folder):
        """Pushes a button that gives a file; returns the file."""
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder),
                  eventsEnabled=True)  # fmt: skip
        self.downloads = []
        self.push(id)
        end = time.monotonic() + LIMIT
        while "completed" not in self.downloads:
            assert time.monotonic() < end, f"no file within {LIMIT} s: {self.downloads}"
            self.read()
        return next(iter(folder.glob("*.json")))

    # --- judging ---

    def violations(self):
        """axe-core's findings, one line for each."""
        if not self.value("!!window.axe"):
            self.value(AXE.read_text())
        found = self.run("axe.run(document, {resultTypes: ['violations']})")["violations"]
        return [
            f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for one in found
            for node in one["nodes"]
        ]

    def overflow(self):
        """Elements that are wider than the page, or are cut off by a box that does not scroll."""
        return self.value(
            """(() => {
              const out = [];
              if (document.documentElement.scrollWidth > innerWidth) out.push('the page');
              const shows = e => e.checkVisibility() && !e.closest('.unseen, [hidden]');
              const scrolls = e => e && e !== document.body &&
                (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
              for (const e of document.querySelectorAll('body *')) {
                if (!shows(e)) continue;
                const r = e.getBoundingClientRect(), style = getComputedStyle(e);
                if ((r.right > innerWidth + 0.5 || r.left < -0.5) && !scrolls(e.parentElement))
                  out.push(`${e.tagName}#${e.id}.${e.className}: ${r.left}..${r.right}`);
                if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0
                    && style.overflowX === 'auto' && !e.matches('pre, .scroll, textarea'))
                  out.push(`${e.tagName}#${e.id}.${e.className} scrolls sideways`);
              }
              return out;
            })()"""
        )
