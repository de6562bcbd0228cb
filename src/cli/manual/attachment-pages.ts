// The manual pages of the commands that attach and detach containers, or change what is between them.
import { type ManualPage, PARAMETERS, PLACES, USAGE } from "./page.ts";

/** The pages by the words that lead to the command. */
export const ATTACHMENT_PAGES: Readonly<Record<string, ManualPage>> = {
  add: {
    description: [
      "Calls ADD of every plugin of the network, in order, and prints the result of the last one. If one fails, those before it are called with DEL, so that nothing is left.",
      "The attachment is remembered in libcni's cache, so that warren, cnitool and every other user of libcni can check and delete it.",
    ],
    environment: PARAMETERS,
    examples: [
      ["warren add pods web", "As eth0."],
      ["warren add pods web --ifname eth1", "As a second interface."],
      ["warren add pods podman:web --ifname eth1", "A container of podman, asked for by its name."],
      [
        'CAP_ARGS=\'{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}\' warren add pods web',
        "With a port of the host.",
      ],
    ],
    seeAlso: ["warren check", "warren del", "warren run"],
  },
  check: {
    description: [
      "Calls CHECK of every plugin of the network. A plugin of Warren compares links, addresses, routes, rules and leases with what its ADD made.",
    ],
    environment: PARAMETERS,
    examples: [["warren check pods web", "Is web still attached as it was?"]],
    seeAlso: ["warren add", "warren show"],
  },
  del: {
    description: [
      "Calls DEL of every plugin of the network, in reverse order. Parameters that are not given are those of the ADD. What is gone already is no failure.",
    ],
    environment: PARAMETERS,
    examples: [["warren del pods web", "Detach web, also if its namespace is gone."]],
    seeAlso: ["warren add", "warren gc"],
  },
  gc: {
    synopsis: ["warren gc [OPTION ...] NETWORK [NETNS[:IFNAME] | ID[:IFNAME] ...]"],
    description: [
      "Removes every attachment of the network that is not named: its links, rules, leases, and what runtimes remember of it. With nobody named, nobody stays. A name that means no known attachment is refused before anything is removed.",
    ],
    environment: PLACES,
    examples: [
      ["warren gc pods web db:eth1 --dry-run", "What would go, if web's eth0 and db's eth1 stayed?"],
      ["warren gc pods", "Remove all."],
    ],
    seeAlso: ["warren leases", "warren del"],
  },
  run: {
    synopsis: ["warren run [OPTION ...] [NETWORK ...] -- CMD [ARGUMENT ...]"],
    description: [
      "Makes a network namespace, attaches it to the networks as eth0, eth1, ..., runs the command in it, and takes everything away again when the command ends, also after Ctrl-C.",
      "Without a network it is the one that containerd would give a pod, the first file of the folder; with --all those of all files, in the order of their names. As with containerd, one broken file among them is the end of it, and so are two networks of one name.",
    ],
    environment: PARAMETERS,
    exitCodes: [
      ["N", "The command's own exit code; 128 and the signal's number if a signal ended it."],
      ["1", "The namespace or a network could not be had."],
      ["126, 127", "The command can't be executed; it is not found."],
      USAGE,
    ],
    examples: [
      ["warren run pods -- ip addr", "What would a container have?"],
      ["warren run --all -- ip addr", "And if every config counted?"],
    ],
    seeAlso: ["warren add", "warren conf list", "warren lab shell"],
  },
  pod: {
    description: [
      "Makes, enters, lists and removes throwaway pods: network namespaces with a hostname, labels and a resolv.conf of their own, on any networks. They need no container engine, and have the machine's files.",
    ],
    seeAlso: ["warren pod create", "warren run", "docs/pods.md"],
  },
  "pod create": {
    description: [
      "Makes a network namespace of that name, attaches it to the networks as eth0, eth1, ..., and says what it got. Labels, annotations, ports, limits and addresses are passed to plugins as a container runtime passes them. If a network fails, everything is taken back.",
      "A flag whose capability no plugin of the network declares is refused: it would have no effect.",
    ],
    environment: [...PLACES, ...PARAMETERS.slice(-2)],
    files: [["/var/lib/cni/warren-pods", "What pods consist of, written down before they are made."]],
    examples: [
      ["warren pod create web --net pods", "A pod on the network pods."],
      [
        "warren pod create web --net pods --port 8080:80 --label app=web",
        "With a port of the host and a label.",
      ],
      ["warren pod create router --net red --net blue:ip=10.2.0.1", "On two networks."],
    ],
    seeAlso: ["warren pod exec", "warren pod rm", "warren add", "docs/pods.md"],
  },
  "pod exec": {
    synopsis: ["warren pod exec [OPTION ...] POD -- CMD [ARGUMENT ...]"],
    description: [
      "Becomes the command in the pod: in its network, with its hostname and its /etc/resolv.conf. Everything else is the machine's. Mounts that the command makes are its own.",
    ],
    exitCodes: [
      ["N", "The command's own exit code."],
      ["1", "There is no such pod, or its namespace is gone."],
      ["126, 127", "The command can't be executed; it is not found."],
      USAGE,
    ],
    examples: [["warren pod exec web -- ip addr", "What has web?"]],
    seeAlso: ["warren pod create", "warren run"],
  },
  "pod list": {
    description: [
      "Lists pods with their networks, the addresses that these gave, their age, and what has become of them: alive, being made, half made (a killed create), netns gone, earlier boot, killed (of a run). A warren run at work is listed too.",
    ],
    examples: [["warren pod list --json", "With hostname, labels and annotations."]],
    seeAlso: ["warren pod create", "warren cache", "docs/pods.md"],
  },
  "pod rm": {
    synopsis: ["warren pod rm [OPTION ...] POD ...", "warren pod rm [OPTION ...] --all"],
    description: [
      "Calls DEL for every network of the pods in reverse order and removes their namespaces, whatever has become of them; what is gone already is no failure. A pod that another process is making is waited for. One whose DEL fails stays on record for another try.",
    ],
    environment: PLACES,
    examples: [["warren pod rm --all", "All pods; but no warren run that is at work."]],
    seeAlso: ["warren pod list", "warren gc"],
  },
  pair: {
    synopsis: [
      "warren pair -n NETNS,LINK[,ADDRESS ...] -n NETNS,LINK[,ADDRESS ...]",
      "warren pair -n NETNS,LINK[,ADDRESS ...] --vxlan PARENT,REMOTE,VNI",
      "warren pair -n NETNS,LINK[,ADDRESS ...] --vlan PARENT,ID",
      "warren pair -n NETNS,LINK[,ADDRESS ...] --macvlan PARENT,MODE",
      "warren pair --delete -n NETNS,LINK",
    ],
    description: [
      "Ties a link by hand, without a network, plugin or store: a pair between two namespaces, or a vxlan, vlan or macvlan inside one. Every end is born in its place under its final name. If anything fails, nothing is left. Addresses have their prefix length: 10.0.0.1/24.",
      "A link of that name which is there already is named, and is no success, also if it is the one that was asked for. With --delete a missing one is. The letters are koko's.",
    ],
    examples: [
      ["warren pair -n left,link1,10.0.0.1/24 -n right,link2,10.0.0.2/24", "Two namespaces."],
      ["warren pair -n podman:web,in1,fd00::1/64 -p 812,in2,fd00::2/64", "A container and a process."],
      ["warren pair -c tap0 -n web,tap0,mirror:both:eth0", "See here what goes by eth0 of web."],
      ["warren pair -n web,in1,10.1.0.1/30 --vxlan eth0,192.0.2.2,11", "To another node."],
      ["warren pair --delete -n left,link1", "Both ends go."],
    ],
    seeAlso: ["warren pod", "docs/direct-links.md"],
  },
  announce: {
    synopsis: [
      "warren announce [OPTION ...] NETWORK POD",
      "warren announce --remove NETWORK POD",
      "warren announce [--json] NETWORK",
    ],
    description: [
      "Says of a pod what its labels would say to the plugin warren-pair: before its container exists, or because it is on another node. A container that comes under that name has these labels beside its own. What can be linked with it is linked at once.",
      "Without a pod it lists what is announced. An announcement stays until --remove, and is replaced by another one of the same pod.",
      "A file has a label on each line, NAME=VALUE, with or without the prefix warren.pair or ratchet; flags count before it.",
    ],
    examples: [
      ["warren announce lab pair --parent-address 10.0.0.2", "The pod is on the node there."],
      [
        "warren announce lab web --primary --pair-name db --local-ip 10.1.0.1/30 --pair-ip 10.1.0.2/30 --local-ifname in1 --pair-ifname in2",
        "All about a link.",
      ],
      ["warren announce lab web --file web.labels", "The same from a file."],
    ],
    seeAlso: ["warren links", "docs/pair.md"],
  },
  impair: {
    synopsis: [
      "warren impair CONTAINER NAME=VALUE ... [--for TIME]",
      "warren impair CONTAINER --clear",
      "warren impair --list [CONTAINER]",
    ],
    description: [
      "Makes the network of a container that runs slow, lossy or worse, by the kernel's netem at its interface. The words are those of the plugin warren-netem: delay, jitter, loss, duplicate, corrupt, reorder, rate, limit and more, direction=egress, ingress or both, and peer=PREFIX for a rule about some peers only. A quoted semicolon parts rules.",
      "With --for the command waits, and takes it back when the time is over or a signal ends the wait. Nothing can take it back after kill -9: then --clear does. To take back means that what the network's own config or the pod's annotations want is so again. All of it is inside the container and ends with it.",
    ],
    exitCodes: [
      ["0", "It is so."],
      [
        "1",
        "It could not be done: the kernel has no netem, or somebody else has a queueing discipline there.",
      ],
      USAGE,
      ["130", "A wait was ended by Ctrl-C; it is taken back. Other signals give 128 and their number."],
    ],
    examples: [
      ["warren impair web delay=50ms jitter=5ms loss=1%", "What web sends comes late, and some of it never."],
      [
        "warren impair web delay=200ms peer=10.1.2.0/24 direction=both --for 30s",
        "Half a minute far from some peers.",
      ],
      ["warren impair web --clear", "All is well again."],
    ],
    seeAlso: ["warren lab latency", "docs/netem.md"],
  },
};
