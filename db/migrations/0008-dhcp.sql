-- Leases that DHCP servers gave to containers, kept by the daemon that renews them. A row is written before the server is
-- asked to confirm an address, so that whatever it confirms can be given back, and goes once that was done.
CREATE TABLE dhcp_leases (
  network TEXT NOT NULL,
  container_id TEXT NOT NULL,
  ifname TEXT NOT NULL,
  pod_namespace TEXT,
  pod_name TEXT,
  netns TEXT NOT NULL,
  netns_inode TEXT,
  boot_id TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  -- of the container's interface, and of whoever the server's answers came from
  hardware_address BLOB NOT NULL,
  server_hardware_address BLOB NOT NULL,
  -- what goes with every message, packed as in a message
  options BLOB NOT NULL,
  address BLOB NOT NULL,
  server BLOB NOT NULL,
  -- the server's DHCPACK; null as long as it has not confirmed the address
  acknowledgement BLOB,
  -- milliseconds since the boot; null for what never ends
  renew_at_uptime_ms INTEGER,
  rebind_at_uptime_ms INTEGER,
  expires_at_uptime_ms INTEGER,
  -- why the container has the address no more; empty as long as it has it
  lost TEXT NOT NULL,
  PRIMARY KEY (network, container_id, ifname)
) STRICT, WITHOUT ROWID;
