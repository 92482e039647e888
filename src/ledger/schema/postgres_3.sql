CREATE TABLE client_key (
  id TEXT NOT NULL PRIMARY KEY,
  digest TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL UNIQUE,
  hint TEXT NOT NULL,
  created TEXT NOT NULL,
  settings TEXT NOT NULL,
  version BIGINT NOT NULL
);
CREATE TABLE key_generation (generation BIGINT NOT NULL);
INSERT INTO key_generation VALUES (1);
