// The manual pages of the commands that show what is there, and what happens.
import { type ManualPage, PLACES, USAGE } from "./page.ts";

/** The pages by the words that lead to the command. */
export const VIEW_PAGES: Readonly<Record<string, ManualPage>> = {
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
};
