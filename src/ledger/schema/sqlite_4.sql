CREATE TABLE audit (
  id BLOB NOT NULL PRIMARY KEY,
  at INTEGER NOT NULL,
  credential TEXT NOT NULL,
  address TEXT NOT NULL,
  method TEXT NOT NULL,
  route TEXT NOT NULL,
  object TEXT NOT NULL,
  status INTEGER NOT NULL,
  detail TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_at ON audit (at);
CREATE INDEX exchange_request ON exchange (request_id);
CREATE INDEX exchange_upstream_request ON exchange (upstream_request_id) WHERE upstream_request_id IS NOT NULL;
CREATE TABLE note (
  exchange BLOB NOT NULL REFERENCES exchange (id) ON DELETE CASCADE,
  n INTEGER NOT NULL,
  kind TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  name TEXT NOT NULL,
  detail TEXT,
  PRIMARY KEY (exchange, n)
) STRICT, WITHOUT ROWID;
