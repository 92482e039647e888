"""The SDK for Tidegate plugins in Python: server tools, hooks, and the functions of the gateway.

    from tidegate import Plugin, Problem

    plugin = Plugin("dice", "0.1.0")

    @plugin.tool("dice", "Throws a die.", {"sides": {"type": "integer", "minimum": 1}}, required=["sides"])
    def dice(input, options):
        return str(host.clock() % input["sides"] + 1)

    WitWorld = plugin.world()

Each call gets a fresh instance of the whole interpreter: nothing is kept from one call to the next. An exception
ends only its own call. The model (for a tool) or the operator (for a hook) reads a `Problem`. Any other exception is
a problem with the code `internal`, and its traceback is in the gateway's log.

Outside of WebAssembly a `MockHost` replaces the gateway, so that `python3 -m unittest` works.
"""

import json
import sys
import traceback
from dataclasses import dataclass, field

try:
    from componentize_py_types import Err
    from wit_world.imports import host as _border
    from wit_world.imports import types as _types
except ImportError:
    _border = _types = None

    class Err(Exception):
        """Replaces the border's own exception outside of WebAssembly."""

        def __init__(self, value):
            super().__init__(value)
            self.value = value


class Problem(Exception):
    """The error of a plugin. Its text leaves the plugin, so it must not contain secrets."""

    def __init__(self, message, code="invalid_input", retryable=False):
        super().__init__(message)
        self.message, self.code, self.retryable = message, code, retryable


@dataclass
class Response:
    """The response of a server. A 404 is a response too."""

    status: int
    body: bytes = b""
    headers: list = field(default_factory=list)
    url: str = ""
    truncated: bool = False

    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)

    def header(self, name):
        """Returns the first header of that name, in upper or lower case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def location(self):
        """Returns the destination of a redirect that was not followed, often relative to `url`; else `None`."""
        return self.header("location") if self.status in (301, 302, 303, 307, 308) else None


class host:
    """The functions of the gateway that a plugin may call."""

    @staticmethod
    def log(message, level="info"):
        """Writes a line to the gateway's log: `error`, `warn`, `info`, `debug` or `trace`."""
        _border.log(getattr(_border.Level, level.upper()), message)

    @staticmethod
    def clock():
        """Returns the nanoseconds since 1970."""
        return _border.clock()

    @staticmethod
    def context():
        """Returns the facts of the exchange: `request_id`, `key`, `tags`, `model`, `session`, `headers`, `with`."""
        return json.loads(_border.context())

    @staticmethod
    def fetch(url, method="GET", headers=None, body=None, max_bytes=None, timeout_ms=None, redirects=None):
        """Fetches through the egress guard. The plugin has to request the host, and the operator has to allow it.

        `redirects` is the number of followed redirects (5 if left out). The next redirect is returned as the
        response, with its `location()`.
        """
        pairs = list((headers or {}).items())
        request = _border.HttpRequest(method, url, pairs, body, max_bytes, timeout_ms, redirects)
        got = _asked(lambda: _border.fetch(request))
        return Response(got.status, got.body, got.headers, got.url, got.truncated)

    @staticmethod
    def model_call(request):
        """Calls a model through the gateway: takes a Messages request and returns the message that answers it."""
        return json.loads(_asked(lambda: _border.model_call(json.dumps(request))))

    @staticmethod
    def kv_get(key):
        """Returns the bytes of a key of the plugin's own store, or `None`."""
        return _border.kv_get(key)

    @staticmethod
    def kv_set(key, value, ttl_seconds=None):
        """Keeps bytes for some seconds, or until the gateway stops."""
        _asked(lambda: _border.kv_set(key, value, ttl_seconds))

    @staticmethod
    def kv_remove(key):
        """Removes a value. Returns false if there was none."""
        return _border.kv_remove(key)

    @staticmethod
    def publish(media_type, content):
        """Keeps a file for a while at an unguessable address, and returns that address."""
        return _asked(lambda: _border.publish(media_type, content))


def _asked(ask):
    try:
        return ask()
    except Err as error:
        problem = error.value
        raise Problem(problem.message, problem.code, problem.retryable) from None


class Document:
    """A request or a message that the gateway holds, read and written by JSON pointer (`/messages/-1/role`)."""

    def __init__(self, handle):
        self._handle = handle

    def get(self, pointer, default=None):
        text = self._handle.get(pointer)
        return default if text is None else json.loads(text)

    def set(self, pointer, value):
        try:
            self._handle.set(pointer, json.dumps(value))
        except Err as error:
            raise Problem(error.value, "cannot_set") from None

    def remove(self, pointer):
        """Removes a value. Returns false if there was none."""
        return self._handle.remove(pointer)

    def bytes(self):
        """Returns the whole text, which then crosses the border."""
        return self._handle.bytes()


def route(model):
    """A hook's decision: another model (alias)."""
    return ("route", model)


def respond(message):
    """A hook's decision: a whole message of the Messages API instead of calling the upstream."""
    return ("respond", message)


def deny(status, message):
    """A hook's decision: reject the request with a status from 400 to 599."""
    return ("deny", status, message)


def pass_over(why):
    """A decision before an attempt: skip this target, for a reason. The gateway tries the next one."""
    return ("pass_over", why)


class Plugin:
    """A plugin, one per project. `wants` are its requested capabilities: `hosts`, `models`, `kv_bytes`, `publish`."""

    def __init__(self, name, version, wants=None, config_schema=None):
        self.name, self.version = name, version
        self.wants, self.config_schema = wants or {}, config_schema or {"type": "object"}
        self._tools, self._hooks, self._check, self._busy = {}, {}, None, None

    def tool(self, name, description, properties, required=(), options=None):
        """A server tool, declared as `gateway:NAME`: a function of its input and of its declaration's options.

        It returns a text, a list of content blocks, or anything else that is JSON.
        """
        manifest = {
            "name": name,
            "description": description,
            "input_schema": {"type": "object", "properties": properties, "required": list(required)},
            "options_schema": {"type": "object", "properties": options or {}, "additionalProperties": False},
        }

        def register(function):
            self._tools[name] = (manifest, function)
            return function

        return register

    def on_request(self, function):
        """Called once for each request, when the caller is known: a function of the request. `None` continues."""
        return self._hook("on-request", function)

    def on_upstream_request(self, function):
        """Called before each attempt: a function of the request and the target."""
        return self._hook("on-upstream-request", function)

    def on_unsupported(self, function):
        """The same, but only if the target does not support all of the request (`target["unsupported"]`)."""
        return self._hook("on-unsupported", function)

    def on_response(self, function):
        """Called when the message is complete: a function of the message. A streamed one has already been sent."""
        return self._hook("on-response", function)

    def check(self, function):
        """A function of the config that raises a `Problem` if the config cannot work. The plugin is then not loaded."""
        self._check = function
        return function

    def hooks(self, function):
        """A function of the config and of the stage's parameters: returns the hooks that have work with them.

        It returns their names in a list (`["on_request"]`). The others are not called, and cost nothing. If it raises
        a `Problem`, the plugin or the stage does not go live.
        """
        self._busy = function
        return function

    def _hook(self, name, function):
        self._hooks[name] = function
        return function

    @property
    def config(self):
        """The operator's settings under `plugins.config.NAME`."""
        return json.loads(_border.config())

    def manifest(self):
        config = self.config
        hooks = list(self._hooks)
        # `null` while the plugin is built
        if config is not None:
            try:
                if self._check is not None:
                    self._check(config)
                if self._busy is not None:
                    named = self._busy(config, json.loads(_border.context()).get("with", {}))
                    hooks = [name.replace("_", "-") for name in named]
            except Problem as problem:
                raise Problem(problem.message, "invalid_config") from None
        return {
            "name": self.name,
            "version": self.version,
            "hooks": hooks,
            "tools": [manifest for manifest, _ in self._tools.values()],
            "wants": {"hosts": [], "models": [], "kv_bytes": 0, "publish": False, **self.wants},
            "config_schema": self.config_schema,
        }

    def call_tool(self, name, input, options):
        if name not in self._tools:
            raise Problem(f"there is no tool `{name}`", "unknown_tool")
        manifest, function = self._tools[name]
        for needed in manifest["input_schema"]["required"]:
            if needed not in input:
                raise Problem(f"the input does not fit: `{needed}` is missing")
        result = function(input, options)
        return result if isinstance(result, (str, list)) else json.dumps(result, ensure_ascii=False)

    def run_hook(self, name, *given):
        hook = self._hooks.get(name)
        return ("next",) if hook is None else hook(*given) or ("next",)

    def world(self):
        """Returns the exports of the component. The app's module has to name it `WitWorld`."""
        plugin = self

        class World:
            def describe(self):
                return _guarded(lambda: json.dumps(plugin.manifest()))

            def call_tool(self, name, input, options):
                run = lambda: plugin.call_tool(name, json.loads(input), json.loads(options))  # noqa: E731
                return _guarded(lambda: json.dumps(run(), ensure_ascii=False))

            def on_request(self, request):
                return _guarded(lambda: _action(plugin.run_hook("on-request", Document(request))))

            def on_upstream_request(self, request, target):
                given = Document(request), json.loads(target)
                name = "on-upstream-request" if "on-upstream-request" in plugin._hooks else "on-unsupported"
                return _guarded(lambda: _action(plugin.run_hook(name, *given)))

            def on_response(self, message):
                return _guarded(lambda: _action(plugin.run_hook("on-response", Document(message))))

        return World


def _guarded(run):
    # the component is a snapshot of an interpreter after its imports: without a new seed, each call would get the
    # same random numbers
    if "random" in sys.modules:
        sys.modules["random"].seed()
    try:
        return run()
    except Problem as problem:
        raise Err(_types.Problem(problem.code, problem.message, problem.retryable)) from None
    except Err:
        raise
    except Exception as error:
        _border.log(_border.Level.ERROR, traceback.format_exc())
        said = f"{type(error).__name__}: {error}"
        raise Err(_types.Problem("internal", said, False)) from None


def _action(decided):
    match decided:
        case ("next",):
            return _types.Action_Next()
        case ("route", model):
            return _types.Action_Route(model)
        case ("respond", message):
            return _types.Action_Respond(json.dumps(message))
        case ("deny", status, message):
            return _types.Action_Deny(_types.Denial(status, message))
        case ("pass_over", why):
            return _types.Action_PassOver(why)
    raise Problem("a hook returns nothing, `route(…)`, `respond(…)`, `deny(…)` or `pass_over(…)`", "internal")


class MockHost:
    """Replaces the gateway in tests: `MockHost(clock=7).call_tool(plugin, "dice", {"sides": 6})`."""

    class Level:
        ERROR, WARN, INFO, DEBUG, TRACE = "error", "warn", "info", "debug", "trace"

    def __init__(self, config=None, context=None, clock=0, on_fetch=None, on_model_call=None):
        self.facts = config or {}, context or {}, clock
        self.on_fetch, self.on_model_call = on_fetch, on_model_call
        self.logs, self.kept, self.published = [], {}, []

    def manifest(self, plugin):
        return self._run(plugin.manifest)

    def call_tool(self, plugin, name, input, options=None):
        """Returns the result's content; raises the `Problem` that the model would read."""
        return self._run(lambda: plugin.call_tool(name, input, options or {}))

    def on_request(self, plugin, body):
        """Returns the hook's decision; its edits are in `body`, a dict."""
        return self._run(lambda: plugin.run_hook("on-request", Document(_Tree(body))))

    def on_upstream_request(self, plugin, body, target):
        return self._run(lambda: plugin.run_hook("on-upstream-request", Document(_Tree(body)), target))

    def on_response(self, plugin, message):
        return self._run(lambda: plugin.run_hook("on-response", Document(_Tree(message))))

    def _run(self, what):
        global _border
        before, _border = _border, self
        try:
            return what()
        finally:
            _border = before

    # the functions of the border

    HttpRequest = staticmethod(lambda *given: given)

    def log(self, level, message):
        self.logs.append((level, message))

    def config(self):
        return json.dumps(self.facts[0])

    def context(self):
        return json.dumps(self.facts[1])

    def clock(self):
        return self.facts[2]

    def fetch(self, request):
        method, url, *_, redirects = request
        if self.on_fetch is None:
            raise Problem(f"nothing answers `{url}`: give `on_fetch`", "unreachable")
        # only tests need it
        from urllib.parse import urljoin

        most = 5 if redirects is None else min(redirects, 5)
        for followed in range(most + 1):
            answer = self.on_fetch(method, url)
            answer.url = answer.url or url
            location = answer.location()
            if location is None or (followed == most and redirects is not None):
                return answer
            if (answer.status == 303 and method != "HEAD") or (answer.status in (301, 302) and method == "POST"):
                method = "GET"
            url = urljoin(url, location)
        raise Problem("more than 5 redirects: ask for where they lead", "too_many_redirects")

    def model_call(self, request):
        if self.on_model_call is None:
            raise Problem("no model answers: give `on_model_call`", "not_granted")
        return json.dumps(self.on_model_call(json.loads(request)))

    def kv_get(self, key):
        return self.kept.get(key)

    def kv_set(self, key, value, ttl_seconds):
        self.kept[key] = value

    def kv_remove(self, key):
        return self.kept.pop(key, None) is not None

    def publish(self, media_type, content):
        self.published.append((media_type, content))
        return f"https://gateway.test/files/{len(self.published)}"


class _Tree:
    """A document of tests."""

    def __init__(self, root):
        self.root = root

    def _at(self, tokens):
        value = self.root
        for token in tokens:
            value = value[int(token)] if isinstance(value, list) else value[token]
        return value

    @staticmethod
    def _tokens(pointer):
        return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]

    def get(self, pointer):
        try:
            return json.dumps(self._at(self._tokens(pointer)))
        except (KeyError, IndexError, ValueError, TypeError):
            return None

    def set(self, pointer, text):
        *way, last = self._tokens(pointer)
        try:
            parent = self._at(way)
            if isinstance(parent, list):
                parent[slice(len(parent), None) if last == "-" else slice(int(last), int(last) + 1 or None)] = [
                    json.loads(text)
                ]
            else:
                parent[last] = json.loads(text)
        except (KeyError, IndexError, ValueError, TypeError):
            raise Err(f"nothing can be set at `{pointer}`") from None

    def remove(self, pointer):
        *way, last = self._tokens(pointer)
        try:
            parent = self._at(way)
            del parent[int(last) if isinstance(parent, list) else last]
            return True
        except (KeyError, IndexError, ValueError, TypeError):
            return False

    def bytes(self):
        return json.dumps(self.root).encode()
