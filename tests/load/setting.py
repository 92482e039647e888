"""The gateway of the suites that break what it depends on: one upstream, one alias, prices of the suites' own."""

import json

import charges
from process import Gateway, keys


def home(options, place):
    """A folder for a gateway, with the table of prices."""
    place.mkdir(parents=True)
    (place / "prices.yaml").write_text(json.dumps(charges.prices_file()))
    options.share_cache(place)
    return place


def config(upstream, **more):
    provider = {"type": "anthropic", "base_url": f"{upstream.url}/first", "api_key": "sk-upstream"}
    models = {"large": {"targets": [{"provider": "first", "model": "book-large"}]}}
    own = {"providers": {"first": provider}, "models": models, "keys": keys("ci", "dev")}
    return own | {"prices_file": "prices.yaml", "log": {"level": "error"}} | more


def gateway(options, place, upstream, **more):
    return Gateway(options.binary, home(options, place), config(upstream, **more))
