// What the manual says of the commands beyond their declarations: of warren itself and its installation here, of the others
// beside this. A command without an entry has a page all the same.
import { ATTACHMENT_PAGES } from "./attachment-pages.ts";
import { LAB_PAGES } from "./lab-pages.ts";
import { NODE_PAGES } from "./node-pages.ts";
import { type ManualPage, PARAMETERS } from "./page.ts";
import { VIEW_PAGES } from "./view-pages.ts";

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
  ...ATTACHMENT_PAGES,
  ...VIEW_PAGES,
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
