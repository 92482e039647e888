"""Checks AWS Signature Version 4 of a received request."""

import hashlib
import hmac
import re
from urllib.parse import quote, unquote

from .limits import Refused

ACCESS, SECRET, SESSION = "AKIAFAKEUPSTREAM", "fake-upstream-secret", "fake-upstream-session"
BEARER = "bedrock-api-key-ZmFrZQ=="
SHAPE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)


def wrong(message):
    return Refused(message, 403, type="InvalidSignatureException")


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def verify(request, region, service="bedrock"):
    """Raises AWS's refusal if the request is not signed with the fake's secret."""
    header = request.headers.get("authorization", "")
    if header == f"Bearer {BEARER}":
        return "bearer"
    found = SHAPE.fullmatch(header)
    if not found:
        raise Refused("Missing Authentication Token", 403, type="MissingAuthenticationTokenException")
    access, day, zone, name, signed, signature = found.groups()
    if access != ACCESS:
        raise Refused("The security token included in the request is invalid.", 403, type="UnrecognizedClientException")
    if (zone, name) != (region, service):
        raise wrong(f"Credential should be scoped to a valid region and to service {service}: found {zone}, {name}")
    names = signed.split(";")
    if "host" not in names or "x-amz-date" not in names:
        raise wrong("'Host' and 'X-Amz-Date' must be 'SignedHeaders' in the AWS Authorization.")
    session = request.headers.get("x-amz-security-token")
    if session is not None and (session != SESSION or "x-amz-security-token" not in names):
        raise Refused("The security token included in the request is invalid.", 403, type="UnrecognizedClientException")
    if "connection" in names:
        raise wrong("'connection' must not be signed: proxies change it")
    if names != sorted(names):
        raise wrong("SignedHeaders must be sorted")
    date = request.headers["x-amz-date"]
    path, _, query = request.raw_path.partition("?")
    canonical = "\n".join(
        [
            request.method,
            # every character of the path on the wire is encoded once more
            quote(path, safe="/-_.~"),
            "&".join(
                sorted(
                    "=".join(quote(unquote(half), safe="-_.~") for half in (pair + "=").split("=")[:2])
                    for pair in query.split("&")
                    if pair
                )
            ),
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names),
            "",
            signed,
            hashlib.sha256(request.raw).hexdigest(),
        ]
    )
    text = "\n".join(
        [
            "AWS4-HMAC-SHA256",
            date,
            f"{day}/{region}/{service}/aws4_request",
            hashlib.sha256(canonical.encode()).hexdigest(),
        ]
    )
    key = ("AWS4" + SECRET).encode()
    for part in (day, region, service, "aws4_request"):
        key = sign(key, part)
    if not hmac.compare_digest(sign(key, text).hex(), signature):
        raise wrong(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."
        )
    return "sigv4"
