-- Private links between two pods. Tables are described, column by column, in db/schema.ts.
CREATE TABLE pair_announcements (
  network TEXT NOT NULL,
  pod_namespace TEXT NOT NULL,
  pod_name TEXT NOT NULL,
  labels TEXT NOT NULL,
  announced_at_ms INTEGER NOT NULL,
  PRIMARY KEY (network, pod_namespace, pod_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE pair_pods (
  network TEXT NOT NULL,
  pod_namespace TEXT NOT NULL,
  pod_name TEXT NOT NULL,
  container_id TEXT NOT NULL,
  ifname TEXT NOT NULL,
  parent_address TEXT NOT NULL,
  routes TEXT NOT NULL,
  PRIMARY KEY (network, pod_namespace, pod_name)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX pair_pods_owner ON pair_pods (network, container_id, ifname);

CREATE TABLE pair_links (
  network TEXT NOT NULL,
  pod_namespace TEXT NOT NULL,
  primary_name TEXT NOT NULL,
  primary_ifname TEXT NOT NULL,
  primary_addresses TEXT NOT NULL,
  primary_mirror TEXT NOT NULL,
  primary_parent_address TEXT NOT NULL,
  pair_name TEXT NOT NULL,
  pair_ifname TEXT NOT NULL,
  pair_addresses TEXT NOT NULL,
  pair_mirror TEXT NOT NULL,
  pair_parent_address TEXT NOT NULL,
  vni INTEGER,
  said_vni INTEGER,
  mtu INTEGER,
  announced INTEGER NOT NULL,
  said_by_primary TEXT NOT NULL,
  said_by_pair TEXT NOT NULL,
  PRIMARY KEY (network, pod_namespace, primary_name, primary_ifname)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX pair_links_pair ON pair_links (network, pod_namespace, pair_name, pair_ifname);

CREATE UNIQUE INDEX pair_links_vni ON pair_links (vni) WHERE vni IS NOT NULL;

CREATE TABLE pair_ends (
  network TEXT NOT NULL,
  pod_namespace TEXT NOT NULL,
  primary_name TEXT NOT NULL,
  primary_ifname TEXT NOT NULL,
  side TEXT NOT NULL,
  kind TEXT NOT NULL,
  container_id TEXT NOT NULL,
  ifname TEXT NOT NULL,
  netns TEXT NOT NULL,
  netns_inode TEXT,
  boot_id TEXT NOT NULL,
  name TEXT NOT NULL,
  mirror TEXT NOT NULL,
  other_container_id TEXT NOT NULL,
  other_ifname TEXT NOT NULL,
  vni INTEGER,
  remote TEXT NOT NULL,
  PRIMARY KEY (network, pod_namespace, primary_name, primary_ifname, side)
) STRICT, WITHOUT ROWID;

CREATE INDEX pair_ends_owner ON pair_ends (network, container_id, ifname);
