CREATE VIEW every_attempt AS
SELECT exchange, n, turn, model, target, status, outcome, error, upstream_request_id, begun_ms, ttft_ms, ms,
  uncached, write_5m, write_1h, read, output, cost_nano, unpriced_tokens
FROM attempt;
