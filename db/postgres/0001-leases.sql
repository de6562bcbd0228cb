-- What many nodes share: which addresses are held and by whom, as in the node's own store (../migrations), with the node of
-- each row. Whoever writes a row is its node, by the setting of his transaction; nobody says it in a query.
CREATE TABLE leases (
  network TEXT NOT NULL,
  address BYTEA NOT NULL,
  family INTEGER NOT NULL CHECK (family IN (4, 6)),
  prefix_length INTEGER NOT NULL,
  gateway BYTEA,
  container_id TEXT NOT NULL,
  ifname TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  pod_namespace TEXT,
  pod_name TEXT,
  pod_uid TEXT,
  netns TEXT NOT NULL,
  netns_inode TEXT,
  boot_id TEXT NOT NULL,
  created_at_ms BIGINT NOT NULL,
  released_at_ms BIGINT,
  node TEXT NOT NULL DEFAULT current_setting('warren.node'),
  PRIMARY KEY (network, address)
);

CREATE UNIQUE INDEX leases_owner ON leases (network, node, container_id, ifname, family, ordinal)
  WHERE released_at_ms IS NULL;

CREATE INDEX leases_released ON leases (network, released_at_ms) WHERE released_at_ms IS NOT NULL;

CREATE TABLE runs (
  network TEXT NOT NULL,
  family INTEGER NOT NULL,
  first BYTEA NOT NULL,
  last BYTEA NOT NULL,
  PRIMARY KEY (network, family, first)
);

CREATE TABLE cursors (
  network TEXT NOT NULL,
  pool TEXT NOT NULL,
  last BYTEA NOT NULL,
  PRIMARY KEY (network, pool)
);

-- A row a node: the last STATUS that found the database writable.
CREATE TABLE heartbeat (
  node TEXT PRIMARY KEY DEFAULT current_setting('warren.node'),
  boot_id TEXT NOT NULL,
  at_ms BIGINT NOT NULL
);
