-- The first shape of the store. Tables are described, column by column, in db/schema.ts.
CREATE TABLE leases (
  network TEXT NOT NULL,
  address BLOB NOT NULL,
  family INTEGER NOT NULL CHECK (family IN (4, 6)),
  prefix_length INTEGER NOT NULL,
  gateway BLOB,
  container_id TEXT NOT NULL,
  ifname TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  pod_namespace TEXT,
  pod_name TEXT,
  pod_uid TEXT,
  netns TEXT NOT NULL,
  netns_inode TEXT,
  boot_id TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  released_at_ms INTEGER,
  PRIMARY KEY (network, address)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX leases_owner ON leases (network, container_id, ifname, family, ordinal)
  WHERE released_at_ms IS NULL;

CREATE INDEX leases_released ON leases (network, released_at_ms);

CREATE TABLE runs (
  network TEXT NOT NULL,
  family INTEGER NOT NULL,
  first BLOB NOT NULL,
  last BLOB NOT NULL,
  PRIMARY KEY (network, family, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursors (
  network TEXT NOT NULL,
  pool TEXT NOT NULL,
  last BLOB NOT NULL,
  PRIMARY KEY (network, pool)
) STRICT, WITHOUT ROWID;

CREATE TABLE attachments (
  network TEXT NOT NULL,
  container_id TEXT NOT NULL,
  ifname TEXT NOT NULL,
  plugin TEXT NOT NULL,
  pod_namespace TEXT,
  pod_name TEXT,
  netns TEXT NOT NULL,
  netns_inode TEXT,
  boot_id TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  PRIMARY KEY (network, container_id, ifname, plugin)
) STRICT, WITHOUT ROWID;

CREATE TABLE objects (
  network TEXT NOT NULL,
  container_id TEXT NOT NULL,
  ifname TEXT NOT NULL,
  plugin TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (network, container_id, ifname, plugin, kind, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX objects_name ON objects (kind, name);

CREATE TABLE heartbeat (
  id INTEGER PRIMARY KEY,
  boot_id TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;

-- What a large store looks like, for the planner: without figures it takes the primary key's first column for as good
-- as the whole owner, and an ADD into 65,000 leases costs half as much again as one into none.
ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('leases', 'leases', '60000 30000 1'),
  ('leases', 'leases_owner', '60000 30000 2 2 1 1'),
  -- almost none is released: those that are held are not to be sought by this index
  ('leases', 'leases_released', '60000 30000 30000');
