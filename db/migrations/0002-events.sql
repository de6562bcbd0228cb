-- What was called and how it went: one row a call, in a ring. Tables are described, column by column, in db/schema.ts.
CREATE TABLE events (
  sequence INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  duration_us INTEGER NOT NULL,
  verb TEXT NOT NULL,
  plugin TEXT NOT NULL,
  network TEXT NOT NULL,
  container_id TEXT NOT NULL,
  ifname TEXT NOT NULL,
  netns TEXT NOT NULL,
  pod_namespace TEXT,
  pod_name TEXT,
  addresses TEXT NOT NULL,
  code INTEGER NOT NULL,
  message TEXT NOT NULL,
  trace_id TEXT,
  span_id TEXT,
  parent_span_id TEXT,
  trace_state TEXT,
  baggage TEXT
) STRICT;

CREATE INDEX events_status ON events (network, plugin) WHERE verb = 'STATUS';

-- The ring: whoever writes a row pushes out the one that was written 10,000 rows before, in the same statement.
CREATE TRIGGER events_ring AFTER INSERT ON events BEGIN
  DELETE FROM events WHERE sequence <= new.sequence - 10000;
END;

-- Runtimes ask for STATUS every few seconds for ever: of each network and plugin only the last answer is kept. After the
-- insertion, so that the new row's number is larger than any that was ever seen.
CREATE TRIGGER events_last_status AFTER INSERT ON events WHEN new.verb = 'STATUS' BEGIN
  DELETE FROM events
  WHERE verb = 'STATUS' AND network = new.network AND plugin = new.plugin AND sequence < new.sequence;
END;
