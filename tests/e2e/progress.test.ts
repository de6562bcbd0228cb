// Long work tells on a terminal how far it is, and says nothing of that in a pipe. The terminal is one that script(1) makes.
import { expect } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";

const SLOW = `#!/bin/sh
cat >/dev/null
case $CNI_COMMAND in
  VERSION) echo '{"cniVersion":"1.1.0","supportedVersions":["1.1.0"]}' ;;
  ADD) echo '{"cniVersion":"1.1.0"}' ;;
  DEL | STATUS) sleep 0.8 ;;
esac
`;

testWith(tools.program("script"))(
  "progress is a line on a terminal, which is gone at the end, and nothing in a pipe",
  async () => {
    await using host = await Sandbox.create();
    for (const folder of ["bin", "net.d"]) mkdirSync(join(host.directory, folder));
    writeFileSync(join(host.directory, "bin/slow"), SLOW);
    chmodSync(join(host.directory, "bin/slow"), 0o755);
    const list = { cniVersion: "1.1.0", name: "sleepy", plugins: [{ type: "slow" }] };
    writeFileSync(join(host.directory, "net.d/10-sleepy.conflist"), JSON.stringify(list));
    const env = { NETCONFPATH: join(host.directory, "net.d"), CNI_PATH: join(host.directory, "bin") };
    const add = async () => {
      for (const pod of ["one", "two"]) {
        await host.text([WARREN, "lab", "netns", pod]);
        await host.text([WARREN, "add", "sleepy", pod], { env });
      }
    };
    const onTerminal = (command: string) =>
      host.text(["script", "-qec", `${WARREN} ${command}`, "/dev/null"], { env });

    await add();
    const seen = await onTerminal("gc sleepy");
    const line = "removing attachments from sleepy: 1 of 2 done";
    expect(seen).toContain(`\r\u001b[K${line}`);
    // what stays stands on lines of its own, and behind all of it there is nothing of the progress
    const shown = seen
      .split("\n")
      .map((text) => text.slice(text.lastIndexOf("\u001b[K") + 1).replace(/^\[K|\r$/g, ""));
    expect(shown.filter((text) => text.startsWith("removed cnitool-"))).toHaveLength(2);
    expect(seen.slice(seen.indexOf(line) + line.length)).toContain("\r\u001b[K");
    expect(shown.at(-1)).toBe("");

    await add();
    const piped = await host.run([WARREN, "gc", "sleepy"], { env });
    expect([piped.exitCode, piped.stdout]).toEqual([0, ""]);
    expect(piped.stderr).toMatch(/^(?:removed cnitool-\S+ eth0 \(\S+\) from sleepy\n){2}$/);

    expect(await onTerminal("status")).toContain("\r\u001b[Kasking the network sleepy for its STATUS");
    const status = await host.run([WARREN, "status"], { env });
    expect([status.stderr, status.stdout.includes("\u001b")]).toEqual(["", false]);
  },
  60_000,
);
