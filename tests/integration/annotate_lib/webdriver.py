"""A browser under chromedriver, over the WebDriver protocol with the standard library alone."""

import base64
import http.client
import json
import os
import subprocess
import time

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class WebDriverError(Exception):
    pass


class Browser:
    def __init__(self, chromium, chromedriver, scratch, width=1280, height=800, dark=False):
        os.makedirs(scratch, exist_ok=True)
        environment = dict(os.environ, HOME=scratch, XDG_CONFIG_HOME=scratch, XDG_CACHE_HOME=scratch)
        self.log = open(os.path.join(scratch, "chromedriver.log"), "w", encoding="utf-8")
        self.process = subprocess.Popen([chromedriver, "--port=0"], stdout=subprocess.PIPE, stderr=self.log,
                                        env=environment, text=True)
        self.port, self.session = self._port(), None
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update", "--disable-sync",
                   "--disable-extensions", f"--user-data-dir={scratch}/profile", f"--window-size={width},{height}"]
        if dark:
            options.append("--force-dark-mode")
        capabilities = {"browserName": "chrome", "goog:chromeOptions": {"binary": chromium, "args": options},
                        "goog:loggingPrefs": {"browser": "ALL"}}
        reply = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self.session = reply["sessionId"]
        if dark:
            self.command("goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {
                "features": [{"name": "prefers-color-scheme", "value": "dark"}]}})

    def _port(self):
        for line in self.process.stdout:
            if "started successfully on port" in line:
                return int(line.rsplit("port", 1)[1].strip(" .\n"))
        raise WebDriverError("chromedriver did not start")

    def _ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        value = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(value, dict) and "error" in value:
            raise WebDriverError(f"{path}: {value['error']}: {value['message'][:500]}")
        return value

    def command(self, path, body=None, method="POST"):
        return self._ask(method, f"/session/{self.session}/{path}",
                         body if body is not None or method != "POST" else {})

    def close(self):
        try:
            if self.session:
                self._ask("DELETE", f"/session/{self.session}")
        finally:
            self.process.terminate()
            self.process.wait(30)
            self.process.stdout.close()
            self.log.close()

    # --- what one does in a browser ---

    def open(self, url):
        self.command("url", {"url": url})

    def run(self, script, *arguments):
        return self.command("execute/sync", {"script": script, "args": list(arguments)})

    def run_until(self, script, *arguments):
        """A script that calls its last argument with its value, some time: nothing is asked meanwhile."""
        return self.command("execute/async", {"script": script, "args": list(arguments)})

    def until(self, script, what, seconds=60):
        """Wait until an expression is true, and return its value."""
        end = time.monotonic() + seconds
        while True:
            value = self.run(f"return ({script});")
            if value:
                return value
            if time.monotonic() > end:
                raise WebDriverError(f"waited in vain: {what}; the page says: "
                                     + str(self.run("return document.getElementById('message').textContent;")))
            time.sleep(0.02)

    def pointer(self, *steps, button=0):
        """steps: (x, y) of the window; pressed at the first, released at the last."""
        actions = [{"type": "pointerMove", "duration": 0, "x": round(steps[0][0]), "y": round(steps[0][1])},
                   {"type": "pointerDown", "button": button}]
        actions += [{"type": "pointerMove", "duration": 20, "x": round(x), "y": round(y)} for x, y in steps[1:]]
        actions.append({"type": "pointerUp", "button": button})
        self.command("actions", {"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"},
                                              "actions": actions}]})

    def keys(self, text):
        actions = []
        for key in text:
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.command("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def click(self, selector):
        element = self.command("element", {"using": "css selector", "value": selector})[ELEMENT]
        self.command(f"element/{element}/click")

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.command("screenshot", method="GET")))

    def console(self):
        """What the page wrote since the last time, but for failed requests, which browsers report by themselves."""
        return self.command("se/log", {"type": "browser"})
