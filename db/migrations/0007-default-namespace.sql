-- A pod of the Kubernetes namespace default is one of which nobody says a namespace: pods of the former are written down as
-- those of the latter are. Where both have a pod of one name, what is written of the former stays until its DEL, and of two
-- announcements the former's is left.
UPDATE OR REPLACE pair_announcements SET pod_namespace = '' WHERE pod_namespace = 'default';
UPDATE OR IGNORE pair_pods SET pod_namespace = '' WHERE pod_namespace = 'default';
UPDATE OR IGNORE pair_links SET pod_namespace = '' WHERE pod_namespace = 'default';
UPDATE OR IGNORE pair_ends SET pod_namespace = '' WHERE pod_namespace = 'default';
