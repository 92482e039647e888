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
