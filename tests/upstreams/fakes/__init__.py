"""Fake upstreams: each speaks one provider's dialect, judges the requests that it receives, and plays scenarios."""
