CREATE TABLE audit (
  id UUID NOT NULL PRIMARY KEY,
  at TIMESTAMPTZ NOT NULL,
  credential TEXT NOT NULL,
  address TEXT NOT NULL,
  method TEXT NOT NULL,
  route TEXT NOT NULL,
  object TEXT NOT NULL,
  status BIGINT NOT NULL,
  detail TEXT
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX exchange_request ON exchange (request_id);
CREATE INDEX exchange_upstream_request ON exchange (upstream_request_id) WHERE upstream_request_id IS NOT NULL;
CREATE TABLE note (
  exchange UUID NOT NULL REFERENCES exchange (id) ON DELETE CASCADE,
  n BIGINT NOT NULL,
  kind TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  name TEXT NOT NULL,
  detail TEXT,
  PRIMARY KEY (exchange, n)
);
