ALTER TABLE exchange ADD COLUMN part INTEGER NOT NULL DEFAULT 0;
ALTER TABLE exchange ADD COLUMN only_attempt TEXT;
DROP INDEX exchange_at;
DROP INDEX exchange_key;
DROP INDEX exchange_session;
DROP INDEX exchange_request;
DROP INDEX exchange_upstream_request;
CREATE INDEX exchange_key ON exchange (key);
CREATE INDEX exchange_session ON exchange (part, session) WHERE session IS NOT NULL;
CREATE INDEX exchange_request ON exchange (part, request_id);
CREATE INDEX exchange_upstream_request ON exchange (part, upstream_request_id) WHERE upstream_request_id IS NOT NULL;
CREATE INDEX exchange_error ON exchange (id, status) WHERE status >= 400;
CREATE INDEX exchange_operation ON exchange (operation) WHERE operation <> 'messages';
CREATE VIEW every_attempt AS
SELECT exchange, n, turn, model, target, status, outcome, error, upstream_request_id, begun_ms, ttft_ms, ms,
  uncached, write_5m, write_1h, read, output, cost_nano, unpriced_tokens
FROM attempt
UNION ALL
SELECT id, 0, 1, model, target, status, 'success', NULL, upstream_request_id, only_attempt ->> 0, only_attempt ->> 1,
  only_attempt ->> 2, uncached, write_5m, write_1h, read, output, coalesce(cost_nano, 0), unpriced_tokens
FROM exchange WHERE only_attempt IS NOT NULL;
