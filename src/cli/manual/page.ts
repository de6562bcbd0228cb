// What a manual page is made of beyond the declaration of its command, and what many pages say alike.

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

/** The variables that say where things are. */
export const PLACES = [
  ["NETCONFPATH", "The folder of network configs, instead of /etc/cni/net.d."],
  ["CNI_PATH", "Folders of plugins with colons between them, instead of /opt/cni/bin."],
] as const;

/** The variables that say what a call is about. */
export const PARAMETERS = [
  ...PLACES,
  ["CNI_IFNAME", "The interface's name in the container, instead of eth0."],
  ["CNI_ARGS", "Pairs for the plugins: KEY=VALUE;KEY=VALUE."],
  ["CAP_ARGS", 'A JSON object of values by capability, such as {"portMappings": [...]}.'],
] as const;

/** The exit code of a command line that can't be meant. */
export const USAGE = [
  "2",
  "The command line can't be meant; a line on standard error says what would be right.",
] as const;
