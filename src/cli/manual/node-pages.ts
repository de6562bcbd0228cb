// The manual pages of what is about the node: its part of a mesh, and its folder of network configs.
import { type ManualPage, PLACES, USAGE } from "./page.ts";

const MESH_FILES = [
  ["/etc/warren/mesh.json", "The configuration."],
  ["/var/lib/cni/warren/mesh.key", "The private key of this node, made by the first up (keyFile)."],
  [
    "/var/lib/cni/warren/remembered-mesh-NETWORK.json",
    "How the pieces are called, and what the store said last of blocks and nodes (dataDir).",
  ],
  ["/etc/cni/net.d/10-warren-mesh.conflist", "By which runtimes attach pods (conflist)."],
] as const;

/** By the words of the command. */
export const NODE_PAGES: Readonly<Record<string, ManualPage>> = {
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
      "While the store is away the mesh is made of what this node remembers, with a warning.",
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
      "Removes the conflist, the namespace of the tunnel with what is in it, the bridge, routes and rules, and a tunnel that was taken out of its namespace; gives forwarding back as it was found, unless a bridge or another network of Warren's lives by it; and leaves the key. What was made under other names than the configuration has by now goes with it. Pods that are still attached lose their network: DEL them before.",
    ],
    files: MESH_FILES,
    examples: [["warren node down --config ./mesh.json", "Of a mesh with a configuration elsewhere."]],
    seeAlso: ["warren node up", "docs/mesh.md"],
  },
  "node show": {
    description: [
      "Changes nothing. Each thing that is missing or wrong is a line; of each other node there is where it is reached, its blocks, whether the tunnel knows it, and with wireguard when the two last shook hands and how much went to and fro. While the store is away it shows what this node remembers, and says so.",
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
  "node rotate": {
    description: [
      "Puts a new private key into the key file, by one rename, gives it to the tunnel, and has the store tell the other nodes, who drop the old one. Where a daemon runs it does that. Nothing is changed while the store is away. Between the moment in which this node has the key and that in which another one does, packets between the two are lost: about as long as any change takes to be known, less than two seconds.",
      "It prints the new public key. Without a store that is for the configurations of the others, and until it is there this node is cut off.",
    ],
    files: MESH_FILES,
    exitCodes: [
      ["0", "The new key is in place, and the store has it."],
      ["1", "Nothing was changed, or the store does not have the new key yet, as the message says."],
      USAGE,
    ],
    examples: [["warren node rotate", "After a disk with the old key was given away."]],
    seeAlso: ["warren node show", "warren node run", "docs/mesh.md"],
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
      "Does what up does, and stays: follows the other nodes as they come and go, looks every 30 seconds whether everything is there and repairs what is not, and says in the store that this node is alive. While the store is away everything stays as it is, a node that has just booted makes its part of what it remembers, and the store is asked again, at first after half a second, at last every half minute.",
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
};
