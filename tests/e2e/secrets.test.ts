// The password of a shared store, wherever it comes from: what is recorded, remembered, shown and said of calls that used it
// must not have it, and neither may what is said of a config that has it in itself, which is refused.
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MASK } from "../../src/record/redaction.ts";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { WARREN } from "../support/sandbox.ts";
import { TemporaryDirectory } from "../support/world.ts";

const SECRET = "hunter2-Tr0ub4dor";

/** How a config comes to the password, by mistake or as it should; none of them reaches a server. */
const WAYS: Readonly<Record<string, (folder: string) => object | string>> = {
  "from a file": (folder) => ({ passwordFile: join(folder, "password") }),
  "from the environment": () => ({ passwordVariable: "DATABASE_PASSWORD" }),
  "in the config, which is refused": () => ({ password: SECRET }),
  "in the config among others": () => ({ password: [{ old: SECRET }], port: 0 }),
  "where the path should be": () => ({ passwordFile: SECRET }),
  "in an address as host": () => ({ host: `postgres://warren:${SECRET}@db/network` }),
  "in an address as the store": () => `postgres://warren:${SECRET}@db/network`,
};

test.each(Object.entries(WAYS))(
  "S0-28 no word anywhere has the password that is %s",
  async (_way, settings) => {
    using directory = new TemporaryDirectory();
    const { path } = directory;
    const [dataDir, log, net] = [join(path, "data"), join(path, "calls.log"), join(path, "net.d")];
    mkdirSync(net);
    writeFileSync(join(path, "password"), `${SECRET}\n`, { mode: 0o600 });
    const given = settings(path);
    const place = { host: path, user: "warren", database: "network" };
    const postgres = typeof given === "string" ? given : { ...place, ...given };
    const ipam = { type: "warren-ipam", subnet: "10.9.0.0/24", dataDir, store: { postgres } };
    const plugin = { type: "warren-ipam", ipam };
    const head = { cniVersion: "1.1.0", name: "pods" };
    writeFileSync(
      join(net, "10-pods.conflist"),
      JSON.stringify({ ...head, plugins: [{ type: "warren-macvlan", master: "lo", dataDir, ipam }] }),
    );
    const told: string[] = [];
    const run = async (command: readonly string[], env: object = {}, stdin = ""): Promise<number> => {
      const child = Bun.spawn([...command], {
        env: {
          ...{ PATH: process.env.PATH, CNI_PATH: PLUGIN_FOLDER, NETCONFPATH: net, DATABASE_PASSWORD: SECRET },
          ...{ CNI_CONTAINERID: "pod", CNI_NETNS: "/nowhere", CNI_IFNAME: "eth0", ...env },
        },
        stdin: new Blob([stdin]),
        stdout: "pipe",
        stderr: "pipe",
      });
      told.push(await new Response(child.stdout).text(), await new Response(child.stderr).text());
      return child.exited;
    };
    // with a recorder in front of the calls, and its view beside it, as text and as lines
    const recorders = ["text", "json"].map((kind) => join(path, kind));
    const snoops = recorders.map((folder, index) => {
      mkdirSync(folder);
      const flags = index === 0 ? [] : ["--json"];
      return Bun.spawn([WARREN, "snoop", "--dir", folder, "--cni-bin-dir", PLUGIN_FOLDER, ...flags], {
        stdout: "pipe",
        stderr: "pipe",
      });
    });
    for (const folder of recorders) {
      while (!readdirSync(folder).includes("warren-snoop")) await Bun.sleep(5);
      for (const verb of ["ADD", "STATUS", "DEL"]) {
        const code = await run(
          [join(folder, "warren-snoop", "warren-ipam")],
          { CNI_COMMAND: verb },
          JSON.stringify({ ...head, ...plugin }),
        );
        if (verb !== "DEL") expect(code).toBe(1);
      }
      // what goes by is raw on its way to the views, for root alone, and gone with them
      expect(statSync(join(folder, "warren-snoop")).mode & 0o777).toBe(0o700);
    }
    for (const [index, snoop] of snoops.entries()) {
      const decoder = new TextDecoder();
      let view = "";
      for await (const part of snoop.stdout) {
        view += decoder.decode(part, { stream: true });
        if (view.includes("DEL")) snoop.kill("SIGINT");
      }
      told.push(view, await new Response(snoop.stderr).text());
      await snoop.exited;
      expect(readdirSync(recorders[index] ?? "")).toEqual([]);
    }
    // warren-trace in the same chain gets the same store in its config
    for (const format of ["text", "json"]) {
      const traced = { ...head, type: "warren-trace", cniOutput: log, format, store: { postgres }, ipam };
      expect(
        await run([join(PLUGIN_FOLDER, "warren-trace")], { CNI_COMMAND: "ADD" }, JSON.stringify(traced)),
      ).toBe(0);
    }
    const recorded = readFileSync(log, "utf8");
    expect(recorded.includes(MASK)).toBe(JSON.stringify(postgres).includes(SECRET));
    told.push(recorded);
    // the operator's own commands
    const commands = [
      ...[
        ["status", "pods"],
        ["conf", "doctor"],
      ],
      ...[
        ["conf", "doctor", "--json"],
        ["conf", "show", "pods"],
        ["conf", "show", "pods", "--json"],
      ],
      ...[
        ["conf", "list"],
        ["conf", "list", "--json"],
        ["leases", "--data-dir", dataDir],
      ],
      ...[
        ["events", "--data-dir", dataDir],
        ["events", "--json", "--data-dir", dataDir],
      ],
      ["status", "--json", "--data-dir", dataDir],
    ];
    await Promise.all(commands.map((words) => run([WARREN, ...words])));
    for (const file of readdirSync(dataDir)) told.push(readFileSync(join(dataDir, file), "latin1"));
    for (const words of told) expect(words).not.toContain(SECRET);
  },
  60_000,
);
