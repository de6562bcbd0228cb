-- The databases that this node shares with others, so that the operator's commands find them without a network's config;
-- and the releases that one of them has yet to be told of. Tables are described, column by column, in db/schema.ts.
CREATE TABLE shared_stores (
  location TEXT PRIMARY KEY NOT NULL,
  settings TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE releases (
  location TEXT NOT NULL,
  network TEXT NOT NULL,
  container_id TEXT NOT NULL,
  ifname TEXT NOT NULL,
  cooldown_ms INTEGER NOT NULL,
  queued_at_ms INTEGER NOT NULL,
  PRIMARY KEY (location, network, container_id, ifname)
) STRICT, WITHOUT ROWID;
