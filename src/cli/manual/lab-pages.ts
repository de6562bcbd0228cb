// The manual pages of the labs.
import { type ManualPage, USAGE } from "./page.ts";

const LAB_CODES = [
  ["0", "The story was played through, and everything in it came true."],
  ["1", "A step did not give what it should, or the machine does not let one make namespaces."],
  USAGE,
] as const;

/** By the words of the command. */
export const LAB_PAGES: Readonly<Record<string, ManualPage>> = {
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
      "With --store postgres the nodes find each other in a PostgreSQL server that is made for the lab and ends with it, with a daemon on each: one comes and goes, and one boots while the server is away. The programs initdb and postgres have to be on the machine; they need not run.",
    ],
    exitCodes: [
      LAB_CODES[0],
      ["1", `${LAB_CODES[1][1].slice(0, -1)}, or has no programs of the PostgreSQL server.`],
      USAGE,
    ],
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
  "lab shell": {
    synopsis: ["warren lab shell [-- CMD [ARGUMENT ...]]"],
    exitCodes: [["N", "That of the shell or of the command."], USAGE],
  },
};
