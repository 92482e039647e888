CREATE TABLE exchange (
  id UUID NOT NULL PRIMARY KEY,
  at TIMESTAMPTZ NOT NULL,
  operation TEXT NOT NULL,
  key TEXT NOT NULL,
  user_id TEXT,
  session TEXT,
  request_id TEXT NOT NULL,
  parent TEXT,
  model TEXT NOT NULL,
  target TEXT NOT NULL,
  route TEXT,
  is_stream BIGINT NOT NULL,
  status BIGINT NOT NULL,
  ending TEXT NOT NULL,
  error TEXT,
  uncached BIGINT NOT NULL,
  write_5m BIGINT NOT NULL,
  write_1h BIGINT NOT NULL,
  read BIGINT NOT NULL,
  output BIGINT NOT NULL,
  cost_nano BIGINT,
  cost_state TEXT NOT NULL,
  unpriced_tokens BIGINT NOT NULL,
  ttft_ms BIGINT,
  ms BIGINT NOT NULL,
  attempts BIGINT NOT NULL
);
CREATE INDEX exchange_at ON exchange (at);
CREATE INDEX exchange_key ON exchange (key, at);
CREATE INDEX exchange_session ON exchange (session) WHERE session IS NOT NULL;
CREATE TABLE attempt (
  exchange UUID NOT NULL REFERENCES exchange (id) ON DELETE CASCADE,
  n BIGINT NOT NULL,
  turn BIGINT NOT NULL,
  model TEXT NOT NULL,
  target TEXT NOT NULL,
  status BIGINT,
  outcome TEXT,
  error TEXT,
  begun_ms BIGINT NOT NULL,
  ttft_ms BIGINT,
  ms BIGINT,
  uncached BIGINT NOT NULL,
  write_5m BIGINT NOT NULL,
  write_1h BIGINT NOT NULL,
  read BIGINT NOT NULL,
  output BIGINT NOT NULL,
  cost_nano BIGINT NOT NULL,
  unpriced_tokens BIGINT NOT NULL,
  PRIMARY KEY (exchange, n)
);
CREATE TABLE stage (
  exchange UUID NOT NULL REFERENCES exchange (id) ON DELETE CASCADE,
  n BIGINT NOT NULL,
  name TEXT NOT NULL,
  hook TEXT NOT NULL,
  runs BIGINT NOT NULL,
  us BIGINT NOT NULL,
  outcome TEXT NOT NULL,
  PRIMARY KEY (exchange, n)
);
CREATE TABLE tool_call (
  exchange UUID NOT NULL REFERENCES exchange (id) ON DELETE CASCADE,
  n BIGINT NOT NULL,
  turn BIGINT NOT NULL,
  tool TEXT NOT NULL,
  is_error BIGINT NOT NULL,
  ms BIGINT NOT NULL,
  PRIMARY KEY (exchange, n)
);
CREATE TABLE tag (
  exchange UUID NOT NULL REFERENCES exchange (id) ON DELETE CASCADE,
  tag TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (exchange, tag)
);
CREATE TABLE quarter (
  at TIMESTAMPTZ NOT NULL,
  key TEXT NOT NULL,
  model TEXT NOT NULL,
  target TEXT NOT NULL,
  requests BIGINT NOT NULL,
  errors BIGINT NOT NULL,
  uncached BIGINT NOT NULL,
  write_5m BIGINT NOT NULL,
  write_1h BIGINT NOT NULL,
  read BIGINT NOT NULL,
  output BIGINT NOT NULL,
  cost_nano BIGINT NOT NULL,
  unpriced BIGINT NOT NULL,
  unpriced_tokens BIGINT NOT NULL,
  ms BIGINT NOT NULL,
  PRIMARY KEY (at, key, model, target)
);
