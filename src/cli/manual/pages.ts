// What the manual says of the commands beyond their declarations. A command without an entry has a page all the same.
import { LAB_PAGES } from "./lab-pages.ts";
import { NODE_PAGES } from "./node-pages.ts";
import { type ManualPage, PARAMETERS, PLACES, USAGE } from "./page.ts";

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
  dhcp: {
    description: [
      "The plugin dhcp has addresses for containers from a DHCP server that their interfaces reach. An address has to be renewed as long as its container lives, which is the daemon's work.",
    ],
    seeAlso: ["docs/dhcp.md", "warren leases"],
  },
  "dhcp daemon": {
    description: [
      "Listens for the plugin, gets addresses, renews them, and gives back those of containers that are gone. Leases are in the store, so that the next daemon goes on with them; a signal ends this one and leaves all of them as they are. One daemon keeps the leases of a store.",
      "It takes the flags of the reference plugin's daemon, also with one dash, and is the same called as warren-dhcp daemon or, through a link named dhcp, dhcp daemon. A socket that systemd hands over counts before --socketpath.",
    ],
    environment: [
      ["LISTEN_FDS, LISTEN_PID", "The socket that systemd hands over."],
      ["NOTIFY_SOCKET", "Where systemd is told that the daemon is ready."],
    ],
    files: [
      ["/run/cni/dhcp.sock", "Where it listens (--socketpath)."],
      ["/var/lib/cni/warren", "The store (--data-dir)."],
    ],
    examples: [
      ["warren dhcp daemon --resendtimeout 30s", "An ADD that gets no address fails after half a minute."],
    ],
    seeAlso: ["warren dhcp leases", "docs/dhcp.md"],
  },
  "dhcp leases": {
    description: [
      "Lists who has which address of which DHCP server, when it is renewed, and when it would end. It reads the store and asks no daemon.",
    ],
    examples: [["warren dhcp leases lan --json", "Those of the network lan, for a program."]],
    seeAlso: ["warren leases", "warren show"],
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
  ...NODE_PAGES,
  ...LAB_PAGES,
};
