-- The nodes of each mesh, and the blocks of addresses that are theirs. The revision of a row is a number that is higher than that
-- of every change before it, so that whoever knows up to which one he has read reads only what is new. Those who listen to
-- warren_nodes are told of each change by the schema and the network: of a heartbeat, which changes nothing, they are not.
CREATE SEQUENCE node_revisions;

CREATE TABLE nodes (
  network TEXT NOT NULL,
  node TEXT NOT NULL,
  -- what all nodes of the network have to have in common, in words
  agreement TEXT NOT NULL,
  -- where others reach it; empty as long as it has not said so, and once it has left
  address BYTEA,
  port INTEGER,
  public_key TEXT,
  hardware_address TEXT,
  backend TEXT NOT NULL,
  joined_at_ms BIGINT NOT NULL,
  seen_at_ms BIGINT NOT NULL,
  left_at_ms BIGINT,
  -- from when on others may have the blocks of a node that has left
  reserved_until_ms BIGINT,
  revision BIGINT NOT NULL,
  PRIMARY KEY (network, node)
);

CREATE INDEX nodes_revision ON nodes (network, revision);

CREATE UNIQUE INDEX nodes_public_key ON nodes (network, public_key) WHERE public_key IS NOT NULL;

CREATE TABLE node_blocks (
  network TEXT NOT NULL,
  first BYTEA NOT NULL,
  prefix_length INTEGER NOT NULL,
  node TEXT NOT NULL,
  PRIMARY KEY (network, first),
  FOREIGN KEY (network, node) REFERENCES nodes (network, node) ON DELETE CASCADE
);

CREATE INDEX node_blocks_node ON node_blocks (network, node);

-- Whatever makes the change, an operator with a client of his own, too. What is inserted may turn into an update: only what has
-- become of it is told.
CREATE FUNCTION revise_node() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'INSERT' OR to_jsonb(NEW) - 'seen_at_ms' <> to_jsonb(OLD) - 'seen_at_ms' THEN
    NEW.revision := nextval('node_revisions');
  END IF;
  RETURN NEW;
END
$$;

CREATE TRIGGER nodes_revise BEFORE INSERT OR UPDATE ON nodes FOR EACH ROW EXECUTE FUNCTION revise_node();

CREATE FUNCTION tell_node() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('warren_nodes', TG_TABLE_SCHEMA || '/' || NEW.network);
  RETURN NULL;
END
$$;

CREATE TRIGGER nodes_tell_insert AFTER INSERT ON nodes FOR EACH ROW EXECUTE FUNCTION tell_node();

CREATE TRIGGER nodes_tell_update AFTER UPDATE ON nodes FOR EACH ROW WHEN (OLD.revision <> NEW.revision)
  EXECUTE FUNCTION tell_node();

-- The blocks of a node are told with it.
CREATE FUNCTION tell_block() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    UPDATE nodes SET revision = 0 WHERE network = OLD.network AND node = OLD.node;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    UPDATE nodes SET revision = 0 WHERE network = NEW.network AND node = NEW.node;
  END IF;
  RETURN NULL;
END
$$;

CREATE TRIGGER node_blocks_tell AFTER INSERT OR UPDATE OR DELETE ON node_blocks FOR EACH ROW EXECUTE FUNCTION tell_block();
