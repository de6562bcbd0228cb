// What the manual says of the commands beyond their declarations. A command without an entry has a page all the same.

/** The written part of a manual page. */
export interface ManualPage {
  /** Calls, where the declaration does not tell all: arguments that may be repeated, or stand behind a `--`. */
  readonly synopsis?: readonly string[];
  readonly description?: readonly string[];
  readonly environment?: readonly (readonly [name: string, meaning: string])[];
  readonly files?: readonly (readonly [path: string, meaning: string])[];
  readonly exitCodes?: readonly (readonly [code: string, meaning: string])[];
  readonly examples?: readonly (readonly [call: string, what: string])[];
  readonly seeAlso?: readonly string[];
}

const PLACES = [
  ["NETCONFPATH", "The folder of network configs, instead of /etc/cni/net.d."],
  ["CNI_PATH", "Folders of plugins with colons between them, instead of /opt/cni/bin."],
] as const;

const PARAMETERS = [
  ...PLACES,
  ["CNI_IFNAME", "The interface's name in the container, instead of eth0."],
  ["CNI_ARGS", "Pairs for the plugins: KEY=VALUE;KEY=VALUE."],
  ["CAP_ARGS", 'A JSON object of values by capability, such as {"portMappings": [...]}.'],
] as const;

const USAGE = [
  "2",
  "The command line can't be meant; a line on standard error says what would be right.",
] as const;

const LAB_CODES = [
  ["0", "The story was played through, and everything in it came true."],
  ["1", "A step did not give what it should, or the machine does not let one make namespaces."],
  USAGE,
] as const;

const MESH_FILES = [
  ["/etc/warren/mesh.json", "The configuration."],
  ["/var/lib/cni/warren/mesh.key", "The private key of this node, made by the first up (keyFile)."],
  ["/etc/cni/net.d/10-warren-mesh.conflist", "By which runtimes attach pods (conflist)."],
] as const;

/** The pages by the words that lead to the command, "" for warren itself. */
export const MANUAL_PAGES: Readonly<Record<string, ManualPage>> = {
  "": {
    synopsis: [
      "warren COMMAND [OPTION ...] [ARGUMENT ...]",
      "warren help [COMMAND ...]",
      "warren COMMAND --help",
    ],
    description: [
      "Warren gives containers on one machine their network. This is the operator's tool: it drives the plugins as a container runtime does, and shows what they have made and written down.",
      "The same executable is the plugins, where it is called by the name of one: see warren install.",
    ],
    environment: [
      ...PARAMETERS,
      ["NO_COLOR", "No colours, also on a terminal."],
      ["WARREN_NLDEBUG", "1 prints every netlink message on standard error."],
    ],
    files: [
      ["/etc/cni/net.d", "The configs of networks."],
      ["/opt/cni/bin", "The plugins."],
      ["/var/lib/cni/warren/warren.db", "The store: who holds which address, and what was made for whom."],
      ["/var/lib/cni/results", "What runtimes remember of attachments, in libcni's format."],
    ],
    examples: [
      ["warren status", "The whole node at a glance."],
      ["warren add pods web", "Attach the namespace /var/run/netns/web to the network pods."],
      ["warren map", "Draw what is tied to what."],
      ["warren conf doctor", "What is wrong in the configs."],
      ["warren completion bash", "The script for the completion of words in bash."],
    ],
    seeAlso: ["warren help COMMAND", "https://www.cni.dev"],
  },
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
  status: {
    description: [
      "With a network: calls STATUS of its plugins and says in one line whether an ADD would work now, or why not.",
      "Without one: the whole node. Networks with their attachments and whether they are ready; pools with what of them is used, stale, resting, reserved and free; the last errors; the stores; what the kernel has of what plugins need.",
    ],
    environment: PLACES,
    exitCodes: [
      [
        "0",
        "The network is ready; or nothing on the node is wrong. With --prometheus always, if it could be printed.",
      ],
      ["1", "The network is not ready; or a config is broken, a network not ready, or a store unreadable."],
      USAGE,
    ],
    examples: [
      ["warren status", "The node at a glance."],
      ["warren status pods", "Is pods ready?"],
      ["warren status --prometheus", "Metrics for a textfile collector."],
    ],
    seeAlso: ["warren map", "warren leases", "warren conf doctor", "docs/node.md"],
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
  links: {
    description: [
      "Lists the links that the plugin warren-pair is asked for: both pods with the link's name in each, whether it is a pair on this node or a vxlan to another, and whether it waits for a pod, is up, or is broken and how. The containers of this node are looked into.",
      "Pods that asked for a link which nobody has named yet are listed, too.",
    ],
    examples: [
      ["warren links", "All networks."],
      ["warren links lab --json", "One, for a program."],
    ],
    seeAlso: ["warren announce", "warren pair", "docs/pair.md"],
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
  leases: {
    description: [
      "Lists who holds which address, since when, and whether the container's network namespace is still there.",
    ],
    examples: [["warren leases pods --leaked", "Addresses of containers that are gone."]],
    seeAlso: ["warren show", "warren gc", "warren status"],
  },
  show: {
    examples: [
      ["warren show 3f2a9c", "The beginning of the id is enough where it means one container."],
      ["warren show web", "The pod web, or what warren add attached by that NETNS."],
    ],
    seeAlso: ["warren leases", "warren events", "warren map"],
  },
  map: {
    description: [
      "Draws the host's interfaces with the pods that are tied to them, their addresses, routes, limits and ports, the host's routes and masquerading. It is what the kernel has now; whose it is, is what the stores say.",
    ],
    environment: [PLACES[0]],
    examples: [
      ["warren map", "A tree for the terminal."],
      ["warren map --svg node.svg", "A picture."],
      ["warren map --dot | dot -Tpng -o node.png", "By Graphviz."],
    ],
    seeAlso: ["warren status", "warren show", "docs/node.md"],
  },
  ui: {
    description: [
      "Serves a page about this node and prints its address, which has a token in it: networks, pools as heat maps, calls as they end, the map, the kernel. It listens on 127.0.0.1 only, answers nobody without the token, and changes nothing; it does not even ask networks for their STATUS.",
      "The page needs nothing from elsewhere, follows the browser's light or dark, can be used by keyboard, and without JavaScript loads itself anew every ten seconds.",
    ],
    environment: PLACES,
    examples: [
      ["warren ui", "On any port that is free."],
      ["warren ui --port 8088", "On this one, for a tunnel: ssh -L 8088:127.0.0.1:8088 HOST."],
    ],
    seeAlso: ["warren status", "warren map", "warren events", "docs/node.md"],
  },
  snoop: {
    description: [
      "Shows every call of every plugin as it happens: who called, with which variables, what went in, what came out, how it ended, how long it took, and for calls that failed a line that makes them again. Calls of delegates stand within the call that they are part of.",
      "As a rule it makes a folder with a recorder for each plugin, which a runtime must have in front of its plugin folders; when the command ends, the folder is gone, and runtimes find the plugins themselves. With --kernel no runtime needs to be told: the kernel tells which programs are executed and how they end, but nobody what goes through their standard streams. That takes root on the machine itself.",
      "Secrets are masked unless --raw is given.",
    ],
    environment: [PLACES[1], ["NO_COLOR", "No colours, also on a terminal."]],
    files: [
      [
        "DIR/warren-snoop",
        "The recorders, and what they have recorded: for root alone, and gone at the end.",
      ],
    ],
    exitCodes: [
      ["0", "It was ended by Ctrl-C."],
      ["1", "The folder can't be made, or the kernel tells nobody here; a line on standard error says why."],
      ["128 + N", "It was ended by the signal N."],
      USAGE,
    ],
    examples: [
      ["warren snoop", "Put /run/warren-snoop in front of CNI_PATH, and see."],
      ["warren snoop --kernel", "See, and touch nothing."],
      ["warren snoop --failed --network pods", "What goes wrong in pods?"],
      ["warren snoop --json >calls.jsonl", "To look at, or to make again, later."],
    ],
    seeAlso: ["warren replay", "warren events", "docs/snoop.md"],
  },
  netwatch: {
    synopsis: ["warren netwatch [OPTION ...] [-- CMD [ARGUMENT ...]]"],
    description: [
      "Shows what changes in the network as it happens: links, addresses, routes, neighbours, queueing disciplines and filters, and nf_tables with the program that changed them. With a command it ends a moment after that, so that one sees what a call does; without one it goes on until Ctrl-C.",
      "It hears the network namespace that it runs in and every other one that this has a number for. Those under /var/run/netns are given a number, and are shown by their names. A sign tells what happened: + added, ~ changed, with what it was, - removed.",
    ],
    environment: [["NO_COLOR", "No colours, also on a terminal."]],
    exitCodes: [
      ["N", "That of the command; 128 and the signal's number if a signal ended it."],
      ["0", "Without a command: it was ended by Ctrl-C."],
      ["126, 127", "The command can't be executed; it is not found."],
      USAGE,
    ],
    examples: [
      ["warren netwatch -- warren add pods web", "What does an ADD do?"],
      ["warren netwatch --only link,address", "Interfaces and their addresses, as they come and go."],
      ["warren netwatch --json", "One object a line."],
    ],
    seeAlso: ["warren map", "warren snoop", "docs/netwatch.md"],
  },
  replay: {
    description: [
      "Makes a call again that warren-trace or warren snoop has recorded: the same plugin with the same variables and the same bytes on standard input. What it answers is printed as it comes, and the exit code is the plugin's. Where secrets were masked in the record, the plugin gets the mask, and a warning says so.",
    ],
    exitCodes: [
      ["N", "The plugin's own exit code."],
      ["1", "There is no such record, or its plugin can't be run."],
      USAGE,
    ],
    examples: [
      ["warren replay calls.jsonl --list", "Which calls are there?"],
      ["warren replay calls.jsonl --index 3", "The third one again."],
      ["warren replay calls.jsonl --print", "The last one, as a line for a shell."],
    ],
    seeAlso: ["warren snoop", "docs/trace.md"],
  },
  events: {
    description: [
      "Lists the calls of Warren's own plugins that the journal in the store holds, the last 10,000: which verb for whom, how long it took, how it ended. With --follow it stays and tells each call as it ends.",
    ],
    exitCodes: [
      ["0", "They were printed; with --follow, it was ended by Ctrl-C."],
      ["1", "There is no store, or it can't be read."],
      USAGE,
    ],
    examples: [
      ["warren events pods --failed", "What went wrong in pods?"],
      ["warren events --follow --json", "One object a line, as calls end."],
    ],
    seeAlso: ["warren show", "warren snoop", "docs/events.md"],
  },
  cache: {
    description: [
      "Lists the attachments that runtimes remember in libcni's cache, with whether the container's namespace is still there; with a container, everything that is remembered of it.",
    ],
    examples: [
      ["warren cache", "What do runtimes believe to be attached?"],
      ["warren cache 3f2a9c --json", "One container, in full."],
    ],
    seeAlso: ["warren leases", "warren reveal"],
  },
  reveal: {
    description: [
      "Compares the addresses that a runtime was told of a container with those that its interfaces have. The container is named by its id, the beginning of it, or the namespace's name.",
    ],
    examples: [["warren reveal web", "Is web's address the one that everybody believes?"]],
    seeAlso: ["warren cache", "docs/rewrite.md"],
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
  conf: {
    description: [
      "Looks at the folder of network configs as runtimes do, examines it, and changes it in single steps that can be taken back.",
    ],
    environment: PLACES,
    seeAlso: ["docs/conf.md"],
  },
  "conf list": {
    environment: [PLACES[0]],
    examples: [["warren conf list --max-conf-num 0", "As a containerd sees it that takes all files."]],
    seeAlso: ["warren conf show", "warren conf doctor"],
  },
  "conf show": {
    environment: PLACES,
    examples: [["warren conf show pods --json", "With the config that each plugin gets."]],
    seeAlso: ["warren conf list"],
  },
  node: {
    description: [
      "A mesh is one network of many nodes: each has a block of addresses for its pods, and a tunnel to all others. These commands make, show and remove this node's part of it, as its configuration says.",
    ],
    files: MESH_FILES,
    seeAlso: ["docs/mesh.md", "warren lab mesh"],
  },
  "node up": {
    description: [
      "Makes what is missing of this node's part, repairs what is wrong, and touches nothing else: interfaces that are right keep their numbers, and peers that are right their sessions. Then the network is tried out, and only when it carries packets the conflist is written. Where that fails a conflist that is there is parked under a name that no runtime reads.",
      "It prints a line for each thing that it made, repaired or changed.",
    ],
    files: MESH_FILES,
    exitCodes: [
      ["0", "Everything of this node is there; of other nodes that lack something a warning says what."],
      [
        "1",
        "Something could not be made, or the network does not carry packets. What is made by then stays.",
      ],
      USAGE,
    ],
    examples: [["warren node up --config ./mesh.json", "With a configuration of its own place."]],
    seeAlso: ["warren node show", "warren node down", "docs/mesh.md"],
  },
  "node down": {
    description: [
      "Removes the conflist, the namespace of the tunnel with what is in it, the bridge, routes and rules, and a tunnel that was taken out of its namespace; gives forwarding back as it was found, unless another bridge lives by it; and leaves the key. Pods that are still attached lose their network: DEL them before.",
    ],
    files: MESH_FILES,
    examples: [["warren node down --config ./mesh.json", "Of a mesh with a configuration elsewhere."]],
    seeAlso: ["warren node up", "docs/mesh.md"],
  },
  "node show": {
    description: [
      "Changes nothing. Each thing that is missing or wrong is a line; of each other node there is where it is reached, its blocks, whether the tunnel knows it, and with wireguard when the two last shook hands and how much went to and fro.",
    ],
    files: MESH_FILES,
    exitCodes: [
      ["0", "Everything of this node is there, and every other node is known to the tunnel."],
      ["1", "Something is missing or wrong."],
      USAGE,
    ],
    examples: [["warren node show --json", "For programs."]],
    seeAlso: ["warren node up", "docs/mesh.md"],
  },
  "node sync": {
    description: [
      "Tells the tunnel of nodes that are new, that have changed, or that are gone. What is right is not touched.",
    ],
    files: MESH_FILES,
    examples: [["warren node sync", "After the configuration has another peer."]],
    seeAlso: ["warren node up", "docs/mesh.md"],
  },
  "node list": {
    description: [
      "Lists the nodes of the mesh that are in the store: whose which block is, where each is reached, and when it was last heard of. One of which nothing was heard for two minutes is silent: its daemon does not run, or does not reach the store. One that has left has its block for the time of grace.",
    ],
    files: [MESH_FILES[0]],
    examples: [["warren node list --json", "With keys, hardware addresses and times."]],
    seeAlso: ["warren node show", "warren node remove", "docs/mesh.md"],
  },
  "node remove": {
    description: [
      "Takes a node out of the mesh that can't do so itself any more: the others drop it as a peer, and after the time of grace its block is another's. What is on that node stays there. A node whose daemon runs comes back by itself.",
    ],
    files: [MESH_FILES[0]],
    examples: [["warren node remove rack7", "A machine that was thrown away."]],
    seeAlso: ["warren node list", "warren node down", "docs/mesh.md"],
  },
  "node run": {
    description: [
      "Does what up does, and stays: follows the other nodes as they come and go, looks every 30 seconds whether everything is there and repairs what is not, and says in the store that this node is alive. While the store is away everything stays as it is and the store is asked again, at first after half a second, at last every half minute.",
      "SIGTERM and SIGINT end it, and leave everything running. SIGUSR2 has it look at everything at once. A service manager is told when the mesh is up, and that it lives (NOTIFY_SOCKET).",
    ],
    files: [...MESH_FILES, ["/var/lib/cni/warren/mesh-NETWORK.lock", "Who keeps the mesh of this node."]],
    exitCodes: [
      ["0", "A signal has ended it."],
      ["1", "It could not begin: what up would not do either, or another daemon runs."],
      USAGE,
    ],
    examples: [["warren node run --config ./mesh.json", "Until Ctrl-C."]],
    seeAlso: ["warren node up", "warren node list", "docs/mesh.md"],
  },
  "conf doctor": {
    description: [
      "Says which file a runtime takes and why, and everything that is wrong in the folder, with file, line and column: JSON, keys that nobody knows with the nearest one that somebody does, values that a plugin refuses, plugins that are not there, versions, capabilities, subnets that overlap, bridges that networks share.",
    ],
    environment: PLACES,
    exitCodes: [
      ["0", "Nothing is broken; there may be warnings."],
      ["1", "Something is broken, or containerd would take nothing."],
      USAGE,
    ],
    examples: [["warren conf doctor ./net.d", "Before the folder is installed."]],
    seeAlso: ["warren conf list", "warren status", "docs/conf.md"],
  },
  "conf watch": {
    description: [
      "Prints a line about what containerd would take out of the folder now, and another one whenever that becomes something else: another file, another text in it, or nothing because a file broke. It ends when it is interrupted.",
      "With --add it keeps a plugin in the list: it is put in, and again within a second whenever somebody else has written the file without it. Somebody who undoes that at once, again and again, is given more and more time, up to a minute, and a line says so. With --overlay the list is left alone, and 00-warren-overlay.conflist is made of it and the plugin, for as long as there is the list and the watcher.",
    ],
    environment: [PLACES[0]],
    files: [
      ["00-warren-overlay.conflist", "The list with the plugin, in the folder of configs (--overlay)."],
      [
        "FILE of --marker",
        "There exactly while the plugin is in place; it holds a version and the list's path as JSON.",
      ],
    ],
    exitCodes: [
      ["0", "It was ended by Ctrl-C."],
      ["1", "The plugin's file can't be read, or is none; the marker can't be written."],
      ["128 + N", "It was ended by the signal N."],
      USAGE,
    ],
    examples: [
      ["warren conf watch --json", "One JSON object a line."],
      [
        "warren conf watch --add firewall.json --marker /run/firewall-v2",
        "Keep it there, and say when it is.",
      ],
      ["warren conf watch --add firewall.json --overlay", "Without a change to the list itself."],
    ],
    seeAlso: ["warren conf add", "warren conf list", "docs/conf.md"],
  },
  "conf add": {
    description: [
      "Puts a plugin into a list, so that it is the only one of its type there afterwards. Nothing else in the file changes, not even a blank, and a runtime that reads meanwhile finds the old list or the new one.",
    ],
    environment: [PLACES[0]],
    examples: [
      ["warren conf add firewall.json", "From a file, into the list that containerd takes."],
      [
        'warren conf add \'{"type": "warren-tuning", "mtu": 1400}\' --after warren-bridge',
        "Where it is to stand.",
      ],
    ],
    seeAlso: ["warren conf remove", "warren conf undo"],
  },
  "conf remove": {
    environment: [PLACES[0]],
    examples: [["warren conf remove warren-tuning --network pods", "Out of the list of pods."]],
    seeAlso: ["warren conf add", "warren conf undo"],
  },
  "conf undo": {
    description: [
      "Puts back the text that the file had before the last edit by add, remove, fuse --write or split --write; called again, the one before that, up to ten. It refuses if somebody else has changed the file since.",
    ],
    environment: [PLACES[0]],
    files: [
      ["FILE.before-NUMBER-DIGEST", "The text before an edit, named after the text that the edit wrote."],
    ],
    seeAlso: ["warren conf add", "warren conf remove"],
  },
  lab: {
    description: [
      "Each demonstration plays on a private network inside this machine: namespaces of its own that vanish when it ends, however it ends. It runs by itself, explains every step, and fails at the first that does not give what it should. It needs root, or user namespaces for everybody.",
    ],
    seeAlso: ["warren help lab shell"],
  },
  "lab status-gc": {
    description: [
      "STATUS while the store is out of reach and when it is back; four pods with and without a wish for an address; packets between them; GC with everybody on its list and with one missing; DEL; and a look at what is left.",
      "With --store postgres the store is a PostgreSQL server that is made for the lab and ends with it: in memory, on a unix socket in the sandbox, by a user without rights. The programs initdb and postgres have to be on the machine (the package postgresql); they need not run.",
    ],
    exitCodes: [
      LAB_CODES[0],
      ["1", `${LAB_CODES[1][1].slice(0, -1)}, or has no programs of the PostgreSQL server.`],
      USAGE,
    ],
    seeAlso: ["warren status", "warren gc", "docs/postgres.md"],
  },
  "lab trace": {
    description: [
      "A bridge, a logger and a limit in one list: what a runtime says to each plugin in an ADD and in a DEL, word by word, and one recorded call made again.",
    ],
    exitCodes: LAB_CODES,
    seeAlso: ["warren replay", "warren snoop", "docs/trace.md"],
  },
  "lab fake-ip": {
    description: [
      "A plugin behind the bridge reports an address that it made up: what the runtime believes, what the pod has, and what packets go by.",
    ],
    exitCodes: LAB_CODES,
    seeAlso: ["warren reveal", "docs/rewrite.md"],
  },
  "lab latency": {
    description: [
      "Draws how long echoes of a pod take, makes its network late and uneven with warren impair, and draws it again. On a kernel without netem it shows how that is said, and that nothing was changed; it then ends well, too.",
    ],
    exitCodes: LAB_CODES,
    seeAlso: ["warren impair", "docs/netem.md"],
  },
  "lab mesh": {
    description: [
      "Three nodes, each a namespace, and a network of all their pods: by wireguard where the kernel has it, by vxlan elsewhere. Every frame between two nodes is counted while pods talk; a node comes and goes; the namespace of a tunnel is deleted and made again; and in the end nothing is left.",
    ],
    exitCodes: LAB_CODES,
    seeAlso: ["warren node", "warren lab poc", "docs/mesh.md"],
  },
  "lab poc": {
    description: [
      "The smallest mesh: this machine is a node with two pods, 10.11.12.101 and .102, and a remote end has 10.11.77.77. Pod to pod, node to pod, pod to the remote end, pod to the Internet: four pings, and then interfaces, namespaces, rules, routes and forwarding are as they were.",
    ],
    exitCodes: LAB_CODES,
    seeAlso: ["warren node", "warren lab mesh", "docs/mesh.md"],
  },
  "lab wire": {
    synopsis: ["warren lab wire NETNS INTERFACE -- CMD ..."],
    description: [
      "Hears every frame that comes in and goes out by the interface while the command runs, and counts them by protocol, addresses and port. Who asks for the hardware address of a neighbour, and who tells of multicast, is counted together as neighbours.",
    ],
    exitCodes: [
      ["N", "What the command ended with; 128 + N for the signal N."],
      ["1", "There is no such namespace or interface."],
      USAGE,
    ],
    examples: [
      [
        "warren lab wire node1 eth0 -- warren lab ping 10.244.2.3 --from pod1",
        "What a tunnel makes of pings.",
      ],
    ],
    seeAlso: ["warren lab mesh", "warren netwatch"],
  },
  "lab quickack": {
    description: [
      "A client that writes twice before it reads, and two servers: at one of them every round takes 40 ms, at the other one, whose pod has the annotation enable-quickack, none does.",
    ],
    exitCodes: LAB_CODES,
    seeAlso: ["warren probe", "docs/quickack.md"],
  },
  "lab shaping": {
    description: [
      "A pod without limits and one whose annotations say how much it may receive and send: the course of TCP's throughput on both, and what becomes of UDP packets that are too many.",
    ],
    exitCodes: LAB_CODES,
    seeAlso: ["warren probe", "docs/bandwidth.md"],
  },
  "lab two-conflists": {
    description: [
      "Two configs in one folder: which of them a pod gets as a rule, both of them by --all, what one broken file does to the others, and why two networks of one name are refused.",
    ],
    exitCodes: LAB_CODES,
    seeAlso: ["warren run", "warren conf list", "warren conf doctor", "docs/conf.md"],
  },
  "lab multi-net": {
    description: [
      "Several networks for one container: what the runtime is told and what the container has, a container that asks for one more with an address and the default route, and an ADD of which all is taken back because one network refuses.",
    ],
    exitCodes: LAB_CODES,
    seeAlso: ["warren show", "docs/delegates.md"],
  },
  "lab pair": {
    description: [
      "Two pods whose labels ask for it get a private link, whoever of them comes first. Both interfaces are shown, five packets go each way, one of the pods is restarted and linked again, and a pod without labels is handed on.",
    ],
    seeAlso: ["warren links", "warren lab chain", "docs/pair.md"],
  },
  "lab chain": {
    description: [
      "Four pods in a row with three links between them: the two in the middle have two each, and route. Packets go from 1.1.1.1 at one end to 4.4.4.4 at the other.",
    ],
    seeAlso: ["warren lab pair", "docs/pair.md"],
  },
  "lab two-nodes": {
    description: [
      "Two namespaces play nodes with a wire between them and a store each. A link between a pod here and one there is a vxlan, of which each node hears by warren announce; packets that must not be broken show what its MTU really is.",
    ],
    seeAlso: ["warren announce", "warren lab pair", "docs/pair.md"],
  },
  "lab interfaces": {
    description: ["Lists the interfaces of a pod with kind, MTU and addresses, without any other tool."],
    examples: [["warren lab interfaces pod1", "The pod's namespace by its name."]],
    seeAlso: ["warren lab inventory", "warren map"],
  },
  "lab netns": {
    description: [
      "Makes namespaces where ip netns does, or deletes them; one that is there already stays as it is.",
    ],
    examples: [
      ["warren lab netns web db", "Two pods."],
      ["warren lab netns --delete web db", "And away with them."],
    ],
    seeAlso: ["warren add"],
  },
  "lab ping": {
    description: [
      "Sends ICMP echo requests, one after the other, and waits for the answer to each. Every one of them must be answered.",
    ],
    examples: [
      ["warren lab ping 10.88.0.1 --from web", "Does the gateway answer the pod web?"],
      ["warren lab ping 10.88.0.1 --from web --bytes 1472 --whole", "Do packets of 1500 bytes pass?"],
    ],
    seeAlso: ["warren map"],
  },
  "lab inventory": {
    description: [
      "What the kernel has, not what Warren remembers: so that a lab can show that nothing is left.",
    ],
    seeAlso: ["warren map"],
  },
  probe: {
    description: [
      "Measures the way from one network namespace to another: how long packets take there and back and how many are lost, the MTU, how much TCP gets through in each direction, how much of a steady stream of UDP packets arrives, and whether a connection stalls on which a client writes twice and then reads. Nothing has to be installed at either end: this process opens its sockets in both.",
      "To an address only round trips, loss and the MTU there can be measured, since nobody at the other end plays along.",
      "Every measurement is bounded: by --count, by --seconds, by --rate, and where no answer comes by --timeout-ms.",
    ],
    exitCodes: [
      ["0", "Everything was measured."],
      ["1", "Something could not be measured, or was not answered at all; the report says what and why."],
      USAGE,
    ],
    examples: [
      ["warren probe web db", "Everything, between /var/run/netns/web and /var/run/netns/db."],
      ["warren probe host web --only latency --count 100 --interval-ms 10", "How are round trips spread?"],
      ["warren probe web 192.0.2.1", "Does an address answer, and how long may packets to it be?"],
      ["warren probe web db --only tcp --seconds 5 --run-in 1 --json", "For a script."],
    ],
    seeAlso: ["warren map", "docs/probe.md"],
  },
  "lab shell": {
    synopsis: ["warren lab shell [-- CMD [ARGUMENT ...]]"],
    exitCodes: [["N", "That of the shell or of the command."], USAGE],
  },
  install: {
    description: [
      "Copies this executable into the folder and makes a link for each plugin. Each name changes by one rename, so that a plugin that runs meanwhile is not disturbed. Files that are not Warren's are not touched without --force.",
    ],
    examples: [
      ["warren install --reference-names", "Also as bridge, host-local and so on, for configs that exist."],
    ],
    seeAlso: ["warren uninstall"],
  },
  uninstall: { seeAlso: ["warren install"] },
  completion: {
    description: [
      "Prints a script by which the shell completes commands, flags, networks, containers and namespaces. What it offers it asks this executable for at that moment.",
    ],
    examples: [
      ["warren completion bash >/etc/bash_completion.d/warren", "For every bash on this machine."],
      [
        "warren completion zsh >/usr/local/share/zsh/site-functions/_warren",
        "For zsh, in a folder of its fpath.",
      ],
      ["warren completion fish >~/.config/fish/completions/warren.fish", "For fish."],
    ],
  },
};
