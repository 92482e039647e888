"""The fake of Chat Completions, for each server that speaks it: /FLAVOR/v1/chat/completions."""

import re

from .chat_answers import ANSWERS
from .chat_errors import ERRORS
from .chat_judge import LESS, judge
from .chat_streams import STREAMS
from .dialogues import sample
from .limits import Refused
from .server import play
from .wire import whole

KEY = "sk-fake-upstream"
FLAVORS = tuple(LESS)
PLAIN = re.compile(rf"/({'|'.join(name for name in FLAVORS if name != 'azure')})(?:/v1)?/chat/completions")
AZURE = re.compile(r"/azure/openai/(?:(v1)|deployments/([^/]+))/chat/completions")
SCENARIOS = {**ANSWERS, **STREAMS, **ERRORS, "from-directed": sample("chat")}


def bearer(request):
    if request.headers.get("authorization") != f"Bearer {KEY}":
        raise Refused(
            "Incorrect API key provided: sk-wr**ng. You can find your API key at https://platform.openai.com/account/api-keys.",
            401,
            "invalid_api_key",
        )


def azure_key(request):
    if request.headers.get("api-key") != KEY:
        raise Refused("Access denied due to invalid subscription key or wrong API endpoint.", 401, "401")


def refusal(error):
    body = {"error": {"message": str(error), "type": error.type, "param": error.param, "code": error.code}}
    return whole(body, error.status)


class Chat:
    name = "chat"

    def __init__(self, schemas, _):
        self.schemas = schemas

    def takes(self, request):
        return request.path.endswith("/chat/completions") and (
            PLAIN.fullmatch(request.path) or AZURE.fullmatch(request.path)
        )

    def is_json(self, _):
        return True

    refusal = staticmethod(refusal)

    def answer(self, request):
        azure = AZURE.fullmatch(request.path)
        classic = azure and azure[2]
        request.flavor = "azure" if azure else PLAIN.fullmatch(request.path)[1]
        azure_key(request) if azure else bearer(request)
        if classic and not re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", request.query.get("api-version", "")):
            raise Refused("Resource not found", 404, "404")
        body = request.body
        request.form = "stream" if body.get("stream") else "whole"
        judge(body, request.flavor, self.schemas, "classic" if classic else None)
        return play(request, SCENARIOS, classic or body["model"])
