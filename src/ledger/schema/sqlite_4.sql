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
