// `warren ui`: a small page about this node: pools as heat maps, calls as they end, the map. Only this machine reaches it,
// only who has the token sees it, and it changes nothing.
import * as v from "valibot";
import { CniError, describeError, ErrorCode } from "../../cni/error.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand, parseFlags } from "../command.ts";
import { storeFlags } from "../leases.ts";
import { networkFlags, settingsOf } from "../settings.ts";
import { servePage } from "./server.ts";

const portSchema = v.object({
  port: v.pipe(
    v.string(),
    v.check((text) => /^\d{1,5}$/.test(text) && Number(text) <= 65_535, "a number from 0 to 65535"),
    v.transform(Number),
  ),
});

export const command = operatorCommand({
  name: "ui",
  description: "Serve a page about this node, for this machine only, until interrupted",
  args: {
    port: {
      type: "string",
      valueHint: "PORT",
      default: "0",
      description: "The port; 0 for any that is free",
    },
    host: {
      type: "string",
      valueHint: "ADDRESS",
      default: "127.0.0.1",
      description:
        "The address to listen on; another one than the loopback's lets others in who have the token",
    },
    "cni-conf-dir": networkFlags["cni-conf-dir"],
    "cni-bin-dir": networkFlags["cni-bin-dir"],
    ...storeFlags,
    json: { type: "boolean", description: "Print the page's address as JSON" },
  },
  async run({ args }) {
    const { port } = parseFlags(portSchema, { port: args.port });
    const settings = settingsOf(args, process.env);
    const token = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("hex");
    const url = start({ settings, dataDir: args["data-dir"], host: args.host, port, token });
    writeStdout(args.json === true ? `${JSON.stringify({ url, token })}\n` : `Open ${url}\n`);
    // for as long as nobody ends it
    return new Promise<never>(() => undefined);
  },
});

function start(page: Parameters<typeof servePage>[0]): string {
  try {
    const server = servePage(page);
    const host = page.host.includes(":") ? `[${page.host}]` : page.host;
    return `http://${host}:${server.port}/?token=${page.token}`;
  } catch (error) {
    throw new CniError(
      ErrorCode.ioFailure,
      `can't listen on ${page.host}, port ${page.port}: ${describeError(error)}`,
      "name another --port, or none for any that is free",
      { cause: error },
    );
  }
}
