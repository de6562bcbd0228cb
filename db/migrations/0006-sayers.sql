-- Whose labels ask for a link: a container can be two pods of one network by two interfaces. Of links that are written down
-- the interface is that of the pod, or of the attachment where a DEL was killed and the pod is forgotten already.
ALTER TABLE pair_links ADD COLUMN said_by_primary_ifname TEXT NOT NULL DEFAULT '';
ALTER TABLE pair_links ADD COLUMN said_by_pair_ifname TEXT NOT NULL DEFAULT '';

UPDATE pair_links SET said_by_primary_ifname = coalesce(
  (SELECT ifname FROM pair_pods AS pod WHERE pod.network = pair_links.network
    AND pod.pod_namespace = pair_links.pod_namespace AND pod.pod_name = pair_links.primary_name
    AND pod.container_id = pair_links.said_by_primary),
  (SELECT min(ifname) FROM attachments AS one WHERE one.network = pair_links.network
    AND one.container_id = pair_links.said_by_primary AND one.plugin = 'pair'),
  ''
) WHERE said_by_primary <> '';

UPDATE pair_links SET said_by_pair_ifname = coalesce(
  (SELECT ifname FROM pair_pods AS pod WHERE pod.network = pair_links.network
    AND pod.pod_namespace = pair_links.pod_namespace AND pod.pod_name = pair_links.pair_name
    AND pod.container_id = pair_links.said_by_pair),
  (SELECT min(ifname) FROM attachments AS one WHERE one.network = pair_links.network
    AND one.container_id = pair_links.said_by_pair AND one.plugin = 'pair'),
  ''
) WHERE said_by_pair <> '';
