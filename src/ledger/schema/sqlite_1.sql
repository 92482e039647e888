CREATE TABLE exchange (
  id BLOB NOT NULL PRIMARY KEY,
  at INTEGER NOT NULL,
  operation TEXT NOT NULL,
  key TEXT NOT NULL,
  user_id TEXT,
  session TEXT,
  request_id TEXT NOT NULL,
  parent TEXT,
  model TEXT NOT NULL,
  target TEXT NOT NULL,
  route TEXT,
  is_stream INTEGER NOT NULL,
  status INTEGER NOT NULL,
  ending TEXT NOT NULL,
  error TEXT,
  uncached INTEGER NOT NULL,
  write_5m INTEGER NOT NULL,
  write_1h INTEGER NOT NULL,
  read INTEGER NOT NULL,
  output INTEGER NOT NULL,
  cost_nano INTEGER,
  cost_state TEXT NOT NULL,
  unpriced_tokens INTEGER NOT NULL,
  ttft_ms INTEGER,
  ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX exchange_at ON exchange (at);
CREATE INDEX exchange_key ON exchange (key, at);
CREATE INDEX exchange_session ON exchange (session) WHERE session IS NOT NULL;
CREATE TABLE attempt (
  exchange BLOB NOT NULL REFERENCES exchange (id) ON DELETE CASCADE,
  n INTEGER NOT NULL,
  turn INTEGER NOT NULL,
  model TEXT NOT NULL,
  target TEXT NOT NULL,
  status INTEGER,
  outcome TEXT,
  error TEXT,
  begun_ms INTEGER NOT NULL,
  ttft_ms INTEGER,
  ms INTEGER,
  uncached INTEGER NOT NULL,
  write_5m INTEGER NOT NULL,
  write_1h INTEGER NOT NULL,
  read INTEGER NOT NULL,
  output INTEGER NOT NULL,
  cost_nano INTEGER NOT NULL,
  unpriced_tokens INTEGER NOT NULL,
  PRIMARY KEY (exchange, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE stage (
  exchange BLOB NOT NULL REFERENCES exchange (id) ON DELETE CASCADE,
  n INTEGER NOT NULL,
  name TEXT NOT NULL,
  hook TEXT NOT NULL,
  runs INTEGER NOT NULL,
  us INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  PRIMARY KEY (exchange, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE tool_call (
  exchange BLOB NOT NULL REFERENCES exchange (id) ON DELETE CASCADE,
  n INTEGER NOT NULL,
  turn INTEGER NOT NULL,
  tool TEXT NOT NULL,
  is_error INTEGER NOT NULL,
  ms INTEGER NOT NULL,
  PRIMARY KEY (exchange, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE tag (
  exchange BLOB NOT NULL REFERENCES exchange (id) ON DELETE CASCADE,
  tag TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (exchange, tag)
) STRICT, WITHOUT ROWID;
CREATE TABLE quarter (
  at INTEGER NOT NULL,
  key TEXT NOT NULL,
  model TEXT NOT NULL,
  target TEXT NOT NULL,
  requests INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  uncached INTEGER NOT NULL,
  write_5m INTEGER NOT NULL,
  write_1h INTEGER NOT NULL,
  read INTEGER NOT NULL,
  output INTEGER NOT NULL,
  cost_nano INTEGER NOT NULL,
  unpriced INTEGER NOT NULL,
  unpriced_tokens INTEGER NOT NULL,
  ms INTEGER NOT NULL,
  PRIMARY KEY (at, key, model, target)
) STRICT, WITHOUT ROWID;
