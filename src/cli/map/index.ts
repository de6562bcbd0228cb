// `warren map`: the node drawn: bridges and pairs, pods with addresses and routes, masquerading, port maps, limits,
// impairments. As a tree in the terminal, as a picture (--svg FILE), for Graphviz (--dot), or as JSON.
import { writeFileSync } from "node:fs";
import { CniError, describeError, ErrorCode } from "../../cni/error.ts";
import { log } from "../../log.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand, UsageError } from "../command.ts";
import { storeFlags } from "../leases.ts";
import { takeInventory } from "../node/survey.ts";
import { networkFlags, settingsOf } from "../settings.ts";
import { mapDot } from "./dot.ts";
import { mapNode } from "./node-map.ts";
import { mapSvg } from "./svg.ts";
import { mapText } from "./text.ts";

export const command = operatorCommand({
  name: "map",
  description: "Draw the node: interfaces, pods, addresses, routes, NAT, ports, limits, impairments",
  args: {
    svg: {
      type: "string",
      valueHint: "FILE",
      description: "Write a picture into this file, - for standard output",
    },
    dot: { type: "boolean", description: "Print a graph for Graphviz" },
    "cni-conf-dir": networkFlags["cni-conf-dir"],
    ...storeFlags,
    json: { type: "boolean", description: "Answer with JSON" },
  },
  async run({ args }) {
    const forms = [args.svg !== undefined, args.dot === true, args.json === true].filter((one) => one);
    if (forms.length > 1) throw new UsageError("--svg, --dot and --json exclude each other");
    const { stores } = await takeInventory(settingsOf(args, process.env), [args["data-dir"]]);
    const map = mapNode(stores, (line) => log.warn(line));
    if (args.svg !== undefined && args.svg !== "-") writePicture(args.svg, mapSvg(map));
    else if (args.svg === "-") writeStdout(mapSvg(map));
    else if (args.dot === true) writeStdout(mapDot(map));
    else if (args.json === true) writeStdout(`${JSON.stringify(map, numbers, 4)}\n`);
    else writeStdout(mapText(map));
    return 0;
  },
});

function numbers(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? JSON.rawJSON(value.toString()) : value;
}

function writePicture(file: string, picture: string): void {
  try {
    writeFileSync(file, picture);
  } catch (error) {
    throw new CniError(ErrorCode.ioFailure, `can't write ${file}: ${describeError(error)}`, "", {
      cause: error,
    });
  }
}
